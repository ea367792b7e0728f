#include "operator/certs/certs.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <set>

namespace sluice_operator::certs {

using broker::Code;
using broker::Result;
using broker::Status;

namespace {

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* p) const { Free(p); }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Deleter<X509, X509_free>>;
struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, BioFree>;

Status openssl_error(const char* what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  return Status(Code::kInternal, std::string(what) + ": " + text);
}

std::string content(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

Cert read_cert(const std::string& pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

Key read_key(const std::string& pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

Result<KeyPair> to_pem(X509* cert, EVP_PKEY* key) {
  Bio cert_bio(BIO_new(BIO_s_mem())), key_bio(BIO_new(BIO_s_mem()));
  bool good = PEM_write_bio_X509(cert_bio.get(), cert) == 1 &&
              PEM_write_bio_PKCS8PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr,
                                            nullptr) == 1;
  if (!good) return openssl_error("write PEM");
  return KeyPair{content(cert_bio.get()), content(key_bio.get())};
}

bool add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (!extension) return false;
  bool good = X509_add_ext(cert, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return good;
}

// A certificate with a new key, not signed yet.
Result<std::pair<Cert, Key>> prepare(const std::string& common_name, int64_t now_s, int64_t ends_s) {
  Key key(EVP_EC_gen("P-256"));
  Cert cert(X509_new());
  if (!key || !cert) return openssl_error("make a key");
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return openssl_error("random serial");
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert.get()));
  BN_free(number);
  X509_set_version(cert.get(), 2);
  ASN1_TIME_set(X509_getm_notBefore(cert.get()), static_cast<time_t>(now_s - 3600));
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), static_cast<time_t>(ends_s));
  X509_NAME* name = X509_get_subject_name(cert.get());
  std::string shown = common_name.substr(0, kCommonNameMax);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(shown.c_str()), -1, -1, 0);
  X509_set_pubkey(cert.get(), key.get());
  return std::pair(std::move(cert), std::move(key));
}

int64_t to_unix(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return timegm(&parts);
}

// DNS names and addresses, as they are written.
std::set<std::string> hosts_of(X509* cert) {
  std::set<std::string> hosts;
  auto* list = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  if (!list) return hosts;
  for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    const ASN1_STRING* text = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
    hosts.emplace(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                  static_cast<size_t>(ASN1_STRING_length(text)));
  }
  GENERAL_NAMES_free(list);
  return hosts;
}

// An address as its bytes, a DNS name as it is: how hosts_of() sees them.
std::string as_held(const std::string& host) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
  if (!address) return host;
  std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(address)),
                    static_cast<size_t>(ASN1_STRING_length(address)));
  ASN1_OCTET_STRING_free(address);
  return bytes;
}

std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string names;
  for (const auto& host : hosts) {
    names += std::string(names.empty() ? "" : ",") + (as_held(host) == host ? "DNS:" : "IP:") + host;
  }
  return names;
}

std::string common_name_of(X509* cert) {
  char text[256];
  int size = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text, sizeof text);
  return size < 0 ? std::string() : std::string(text, static_cast<size_t>(size));
}

bool self_signed(X509* cert) {
  return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

std::vector<Cert> read_certs(const std::string& pem) {
  std::vector<Cert> out;
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (Cert cert{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    out.push_back(std::move(cert));
  }
  ERR_clear_error();  // the end of the text is one
  return out;
}

std::string write_cert(X509* cert) {
  Bio bio(BIO_new(BIO_s_mem()));
  return PEM_write_bio_X509(bio.get(), cert) == 1 ? content(bio.get()) : std::string();
}

Validity validity_of(X509* cert) {
  return {to_unix(X509_get0_notBefore(cert)), to_unix(X509_get0_notAfter(cert))};
}

struct StoreFree {
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
};

}  // namespace

Subject for_hosts(const std::vector<std::string>& hosts) { return {hosts.at(0), hosts}; }
Subject for_user(const std::string& name) { return {name, {}}; }

Result<KeyPair> make_ca(const std::string& common_name, int64_t now_s) {
  ASSIGN_OR_RETURN(auto prepared, prepare(common_name, now_s, now_s + kCaDays * 86400));
  X509* cert = prepared.first.get();
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  bool good = add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
              X509_sign(cert, prepared.second.get(), EVP_sha256()) > 0;
  if (!good) return openssl_error("make the CA");
  return to_pem(cert, prepared.second.get());
}

Result<KeyPair> issue(const KeyPair& ca, const Subject& subject, int64_t now_s) {
  Cert ca_cert = read_cert(ca.cert);
  Key ca_key = read_key(ca.key);
  if (!ca_cert || !ca_key) return Status(Code::kCorruption, "the CA's certificate or key is damaged");
  const bool user = subject.hosts.empty();
  // A host's is only shown; a user's is who they are.
  if (user && (subject.common_name.empty() || subject.common_name.size() > kCommonNameMax)) {
    return Status(Code::kInvalidArgument, "a name in a certificate has 1 to 64 characters");
  }
  const int64_t ends_s = std::min(now_s + kLeafDays * 86400, validity_of(ca_cert.get()).ends_s);
  ASSIGN_OR_RETURN(auto prepared, prepare(subject.common_name, now_s, ends_s));
  X509* cert = prepared.first.get();
  X509_set_issuer_name(cert, X509_get_subject_name(ca_cert.get()));
  bool good = add_extension(cert, ca_cert.get(), NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(cert, ca_cert.get(), NID_key_usage, "critical,digitalSignature") &&
              add_extension(cert, ca_cert.get(), NID_ext_key_usage,
                            user ? "clientAuth" : "serverAuth,clientAuth") &&
              (user || add_extension(cert, ca_cert.get(), NID_subject_alt_name,
                                     alternative_names(subject.hosts))) &&
              add_extension(cert, ca_cert.get(), NID_authority_key_identifier, "keyid") &&
              X509_sign(cert, ca_key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_error("issue a certificate");
  ASSIGN_OR_RETURN(auto leaf, to_pem(cert, prepared.second.get()));
  if (!self_signed(ca_cert.get())) leaf.cert += ca.cert;
  return leaf;
}

Result<Validity> validity(const std::string& cert_pem) {
  Cert cert = read_cert(cert_pem);
  if (!cert) return Status(Code::kCorruption, "not a certificate");
  return validity_of(cert.get());
}

bool wears_out(const std::string& cert_pem, int64_t now_s) {
  auto life = validity(cert_pem);
  return !life.ok() || now_s > life->ends_s - (life->ends_s - life->begins_s) / 3;
}

bool issued_by(const std::string& cert_pem, const std::string& ca_pem) {
  Cert cert = read_cert(cert_pem), ca = read_cert(ca_pem);
  return cert && ca && X509_verify(cert.get(), X509_get0_pubkey(ca.get())) == 1;
}

bool needs_issue(const KeyPair& leaf, const std::string& ca_pem, const Subject& subject,
                 int64_t now_s) {
  Cert cert = read_cert(leaf.cert);
  Key key = read_key(leaf.key);
  if (!cert || !key || X509_check_private_key(cert.get(), key.get()) != 1) {
    ERR_clear_error();
    return true;
  }
  if (!issued_by(leaf.cert, ca_pem)) return true;
  std::set<std::string> hosts;
  for (const auto& host : subject.hosts) hosts.insert(as_held(host));
  if (hosts_of(cert.get()) != hosts) return true;
  if (hosts.empty() && common_name_of(cert.get()) != subject.common_name) return true;
  return wears_out(leaf.cert, now_s);
}

std::string pair_problem(const KeyPair& pair, bool authority, int64_t now_s) {
  Cert cert = read_cert(pair.cert);
  if (!cert) return "tls.crt holds no certificate in PEM";
  Key key = read_key(pair.key);
  if (!key) return "tls.key holds no private key in PEM";
  const bool match = X509_check_private_key(cert.get(), key.get()) == 1;
  ERR_clear_error();
  if (!match) return "tls.key is not the key of tls.crt";
  if (authority && X509_check_ca(cert.get()) < 1) {
    return "tls.crt is no CA: issue it with isCA: true";
  }
  if (validity_of(cert.get()).ends_s <= now_s) return "tls.crt has expired";
  return {};
}

bool verifies(const std::string& chain_pem, const std::string& bundle_pem, int64_t now_s) {
  auto chain = read_certs(chain_pem);
  if (chain.empty()) return false;
  std::unique_ptr<X509_STORE, StoreFree> store(X509_STORE_new());
  for (const auto& cert : read_certs(bundle_pem)) X509_STORE_add_cert(store.get(), cert.get());
  STACK_OF(X509)* between = sk_X509_new_null();
  for (const auto& cert : chain) sk_X509_push(between, cert.get());
  std::unique_ptr<X509_STORE_CTX, StoreFree> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), between);
  X509_STORE_CTX_set_time(context.get(), 0, static_cast<time_t>(now_s));
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_PARTIAL_CHAIN);
  const bool good = X509_verify_cert(context.get()) == 1;
  sk_X509_free(between);
  ERR_clear_error();
  return good;
}

std::vector<std::string> split(const std::string& pem) {
  std::vector<std::string> out;
  for (const auto& cert : read_certs(pem)) out.push_back(write_cert(cert.get()));
  return out;
}

}  // namespace sluice_operator::certs
