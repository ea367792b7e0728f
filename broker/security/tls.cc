#include "broker/security/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <array>

namespace broker::security {
namespace {

std::string last_error() {
  std::array<char, 256> text{};
  unsigned long code = ERR_get_error();
  if (code == 0) return "unknown TLS error";
  ERR_error_string_n(code, text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

int64_t end_of(const X509* certificate) {
  tm when{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1) return 0;
  return timegm(&when);
}

std::vector<std::pair<int64_t, int64_t>> look_at(const TlsFiles& files) {
  std::vector<std::pair<int64_t, int64_t>> out;
  for (const auto* path : {&files.cert, &files.key, &files.client_ca}) {
    struct stat info {};
    if (!path->empty() && stat(path->c_str(), &info) != 0) info = {};
    out.emplace_back(info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec, info.st_ino);
  }
  return out;
}

struct ContextCloser {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

}  // namespace

int64_t certificate_end(const std::string& pem) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
  ERR_clear_error();
  return certificate ? end_of(certificate.get()) : 0;
}

std::string sha256_hex(const std::string& bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  std::string out;
  for (unsigned char byte : digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

// The first of `protocols` (the TlsContext's, which outlives its handshakes) that is offered: names
// with a byte of length before each.
static int choose(SSL*, const unsigned char** out, unsigned char* out_size,
                  const unsigned char* offered, unsigned int offered_size, void* protocols) {
  for (const auto& wanted : *static_cast<const std::vector<std::string>*>(protocols)) {
    for (unsigned int at = 0; at < offered_size; at += 1 + offered[at]) {
      if (at + offered[at] >= offered_size) break;
      if (std::string_view(reinterpret_cast<const char*>(offered + at + 1), offered[at]) == wanted) {
        *out = offered + at + 1;
        *out_size = offered[at];
        return SSL_TLSEXT_ERR_OK;
      }
    }
  }
  return SSL_TLSEXT_ERR_NOACK;
}

Result<std::shared_ptr<TlsContext>> TlsContext::load(const TlsFiles& files) {
  std::shared_ptr<TlsContext> out(new TlsContext(files));
  RETURN_IF_ERROR(out->read());
  return out;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

Status TlsContext::read() {
  auto seen = look_at(files_);
  std::unique_ptr<SSL_CTX, ContextCloser> context(SSL_CTX_new(TLS_server_method()));
  CHECK(context);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (SSL_CTX_use_certificate_chain_file(context.get(), files_.cert.c_str()) != 1) {
    return Status(Code::kInvalidArgument, "certificate " + files_.cert + ": " + last_error());
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), files_.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return Status(Code::kInvalidArgument, "key " + files_.key + ": " + last_error());
  }
  if (!files_.client_ca.empty()) {
    if (SSL_CTX_load_verify_locations(context.get(), files_.client_ca.c_str(), nullptr) != 1) {
      return Status(Code::kInvalidArgument, "client CA " + files_.client_ca + ": " + last_error());
    }
    // What the file names is trusted, be it a root or not: cert-manager's issuers often are not.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.get()), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(files_.client_ca.c_str()));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  if (!files_.protocols.empty()) SSL_CTX_set_alpn_select_cb(context.get(), choose, &files_.protocols);
  // Sessions are resumed by tickets only within this context, and only by clients it has verified.
  static constexpr unsigned char kSessionId[] = "sluice";
  SSL_CTX_set_session_id_context(context.get(), kSessionId, sizeof kSessionId - 1);
  not_after_ = end_of(SSL_CTX_get0_certificate(context.get()));
  SSL_CTX_free(context_);
  context_ = context.release();
  seen_ = std::move(seen);
  return {};
}

Status TlsContext::reload_if_changed() {
  if (look_at(files_) == seen_) return {};
  return read();
}

TlsSession::TlsSession(const TlsContext& context, int fd) : ssl_(SSL_new(context.get())) {
  CHECK(ssl_);
  SSL_set_fd(ssl_, fd);
  SSL_set_accept_state(ssl_);
}

TlsSession::~TlsSession() {
  SSL_free(ssl_);
}

TlsSession::Io TlsSession::judge(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return Io::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return Io::kWantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return Io::kClosed;
    case SSL_ERROR_SYSCALL:
      error_ = "the connection broke";
      ERR_clear_error();
      return Io::kFailed;
    default:
      error_ = last_error();
      return Io::kFailed;
  }
}

TlsSession::Io TlsSession::handshake() {
  ERR_clear_error();
  int result = SSL_do_handshake(ssl_);
  return result == 1 ? Io::kDone : judge(result);
}

TlsSession::Io TlsSession::read(char* into, size_t size, size_t& bytes) {
  ERR_clear_error();
  int result = SSL_read_ex(ssl_, into, size, &bytes);
  return result == 1 ? Io::kDone : judge(result);
}

TlsSession::Io TlsSession::write(const char* from, size_t size, size_t& bytes) {
  ERR_clear_error();
  int result = SSL_write_ex(ssl_, from, size, &bytes);
  return result == 1 ? Io::kDone : judge(result);
}

bool TlsSession::has_pending() const {
  return SSL_has_pending(ssl_) == 1;
}

std::string TlsSession::client_name() const {
  const X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (!certificate || SSL_get_verify_result(ssl_) != X509_V_OK) return {};
  const X509_NAME* subject = X509_get_subject_name(certificate);
  int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* text = nullptr;
  int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string out(reinterpret_cast<char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  // A name with a NUL inside reads as another name elsewhere.
  return out.find('\0') == std::string::npos ? out : std::string();
}

}  // namespace broker::security
