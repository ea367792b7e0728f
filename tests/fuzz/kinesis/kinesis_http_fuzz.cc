// libFuzzer target: a client's bytes, in pieces, through both HTTP sessions; each request is
// answered at once. The sessions must stay within their bounds.
#include <string>

#include "broker/base/check.h"
#include "broker/server/kinesis/http_session.h"

namespace broker::server::kinesis {
namespace {

void run(std::unique_ptr<HttpSession> session, std::string_view bytes, size_t step) {
  std::deque<Buffer> out;
  while (!bytes.empty() && !session->finished()) {
    session->feed(bytes.substr(0, step));
    bytes.remove_prefix(std::min(step, bytes.size()));
    while (auto next = session->take()) {
      CHECK_LE(next->second.body.size(), size_t{1000});
      session->respond(next->first, {200, {{"content-type", "text/plain"}}, "ok"});
    }
    session->output(out);
    out.clear();
  }
  CHECK_EQ(session->open_count(), 0u);
}

}  // namespace
}  // namespace broker::server::kinesis

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace broker::server::kinesis;
  if (size < 1) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const HttpLimits limits{.head_bytes_max = 500, .headers_max = 10, .body_bytes_max = 1000};
  size_t step = 1 + data[0];
  run(make_http1_session(limits), bytes, step);
  run(make_http2_session(limits), std::string(kHttp2Preface) + std::string(bytes), step);
  return 0;
}
