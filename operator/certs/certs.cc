#include "operator/certs/certs.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

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
Result<std::pair<Cert, Key>> prepare(const std::string& common_name, int64_t now_s, int64_t days) {
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
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), static_cast<time_t>(now_s + days * 86400));
  X509_NAME* name = X509_get_subject_name(cert.get());
  std::string shown = common_name.substr(0, 64);  // the field's limit
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

std::set<std::string> dns_names_of(X509* cert) {
  std::set<std::string> names;
  auto* list = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  if (!list) return names;
  for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (name->type != GEN_DNS) continue;
    names.emplace(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                  static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(list);
  return names;
}

}  // namespace

Result<KeyPair> make_ca(const std::string& common_name, int64_t now_s) {
  ASSIGN_OR_RETURN(auto prepared, prepare(common_name, now_s, kCaDays));
  X509* cert = prepared.first.get();
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  bool good = add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
              X509_sign(cert, prepared.second.get(), EVP_sha256()) > 0;
  if (!good) return openssl_error("make the CA");
  return to_pem(cert, prepared.second.get());
}

Result<KeyPair> issue(const KeyPair& ca, const std::vector<std::string>& dns_names,
                      int64_t now_s) {
  Cert ca_cert = read_cert(ca.cert);
  Key ca_key = read_key(ca.key);
  if (!ca_cert || !ca_key) return Status(Code::kCorruption, "the CA's certificate or key is damaged");
  ASSIGN_OR_RETURN(auto prepared, prepare(dns_names.at(0), now_s, kLeafDays));
  X509* cert = prepared.first.get();
  X509_set_issuer_name(cert, X509_get_subject_name(ca_cert.get()));
  std::string names;
  for (const auto& name : dns_names) names += (names.empty() ? "DNS:" : ",DNS:") + name;
  bool good = add_extension(cert, ca_cert.get(), NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(cert, ca_cert.get(), NID_key_usage, "critical,digitalSignature") &&
              add_extension(cert, ca_cert.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
              add_extension(cert, ca_cert.get(), NID_subject_alt_name, names) &&
              add_extension(cert, ca_cert.get(), NID_authority_key_identifier, "keyid") &&
              X509_sign(cert, ca_key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_error("issue a certificate");
  return to_pem(cert, prepared.second.get());
}

Result<int64_t> expires_at(const std::string& cert_pem) {
  Cert cert = read_cert(cert_pem);
  if (!cert) return Status(Code::kCorruption, "not a certificate");
  return to_unix(X509_get0_notAfter(cert.get()));
}

bool needs_issue(const std::string& cert_pem, const std::string& ca_pem,
                 const std::vector<std::string>& dns_names, int64_t now_s) {
  Cert cert = read_cert(cert_pem), ca = read_cert(ca_pem);
  if (!cert || !ca) return true;
  if (X509_verify(cert.get(), X509_get0_pubkey(ca.get())) != 1) return true;
  if (dns_names_of(cert.get()) != std::set<std::string>(dns_names.begin(), dns_names.end())) {
    return true;
  }
  int64_t begin = to_unix(X509_get0_notBefore(cert.get()));
  int64_t end = to_unix(X509_get0_notAfter(cert.get()));
  return now_s > end - (end - begin) / 3;
}

}  // namespace sluice_operator::certs
