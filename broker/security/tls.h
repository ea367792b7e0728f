#pragma once
// TLS for clients: a server context from files that is loaded again when they change, and one
// connection's session over a non-blocking socket. Used by the front doors on the reactor.
// Invariant: a certificate that cannot be read keeps the one before, and says so; a client without
// a certificate that the listener asks for does not get through the handshake.
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/status.h"

struct ssl_ctx_st;
struct ssl_st;

namespace broker::security {

struct TlsFiles {
  std::string cert, key;  // PEM; the chain and its key
  std::string client_ca;  // PEM; when set, clients must show a certificate of it
  // What the server speaks, best first (ALPN, RFC 7301). A client that offers none of it, or says
  // nothing, goes on without a choice.
  std::vector<std::string> protocols;
};

// When the first certificate of a PEM text ends, Unix seconds; 0 when there is none.
int64_t certificate_end(const std::string& pem);
// In hexadecimal: which bytes a file holds.
std::string sha256_hex(const std::string& bytes);

class TlsContext {
 public:
  static Result<std::shared_ptr<TlsContext>> load(const TlsFiles& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Loads the files again if one has changed; sessions begun before keep what they have.
  // On failure the old context stays.
  Status reload_if_changed();
  // When the server's certificate ends, Unix seconds.
  int64_t not_after() const { return not_after_; }
  ssl_ctx_st* get() const { return context_; }

 private:
  explicit TlsContext(TlsFiles files) : files_(std::move(files)) {}
  Status read();

  TlsFiles files_;
  std::vector<std::pair<int64_t, int64_t>> seen_;  // modification time and inode of each file
  ssl_ctx_st* context_ = nullptr;
  int64_t not_after_ = 0;
};

// The server's side of one connection, over a non-blocking descriptor that it does not own.
class TlsSession {
 public:
  TlsSession(const TlsContext& context, int fd);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  enum class Io { kDone, kWantRead, kWantWrite, kClosed, kFailed };
  // kDone: the handshake is over. The reason of a failure is in error().
  Io handshake();
  Io read(char* into, size_t size, size_t& bytes);
  Io write(const char* from, size_t size, size_t& bytes);
  // Bytes that are here, decrypted: no readiness of the socket announces them.
  bool has_pending() const;
  // Common name of the client's certificate, verified; empty without one.
  std::string client_name() const;
  const std::string& error() const { return error_; }

 private:
  Io judge(int result);
  ssl_st* ssl_;
  std::string error_;
};

}  // namespace broker::security
