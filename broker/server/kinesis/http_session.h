#pragma once
// One connection's HTTP, without its socket: bytes in, requests out; answers in, bytes out. The
// connection owns it; HTTP/1.1 and HTTP/2 implement it. Reactor only.
#include <deque>
#include <memory>
#include <optional>

#include "broker/base/bytes.h"
#include "broker/server/kinesis/http.h"

namespace broker::server::kinesis {

using ExchangeId = uint64_t;  // one request and its answer, within a session

class HttpSession {
 public:
  virtual ~HttpSession() = default;
  // Bytes of the peer. What comes after finished() is ignored.
  virtual void feed(std::string_view bytes) = 0;
  // The next whole request.
  virtual std::optional<std::pair<ExchangeId, HttpRequest>> take() = 0;
  // The answer, once for each request that take() gave. Forgotten when the peer has given it up.
  virtual void respond(ExchangeId id, HttpResponse response) = 0;
  // Appends what may be sent now.
  virtual void output(std::deque<Buffer>& out) = 0;
  // Takes no new request; what was taken is still answered.
  virtual void drain() = 0;
  // No request will follow, and all are answered: close when all is sent.
  virtual bool finished() const = 0;
  // Requests taken and not answered.
  virtual size_t open_count() const = 0;
  // A request is here in part; bytes held of such.
  virtual bool within_request() const = 0;
  virtual bool within_body() const = 0;
  virtual size_t held_bytes() const = 0;
};

std::unique_ptr<HttpSession> make_http1_session(HttpLimits limits);
std::unique_ptr<HttpSession> make_http2_session(HttpLimits limits);

// What an HTTP/2 client that knows its peer says first (RFC 9113, 3.4). AWS's SDKs for JavaScript
// and Java (async) speak HTTP/2 to Kinesis, without TLS too.
inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace broker::server::kinesis
