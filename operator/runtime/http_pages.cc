// Like kube/client/http.cc, a place where cpprestsdk's exceptions end.
#include "operator/runtime/http_pages.h"

#include <cpprest/http_listener.h>

#include "operator/kube/client/http.h"

namespace sluice_operator::runtime {

using broker::Code;
using broker::Result;
using broker::Status;
namespace http = web::http;

struct HttpPages::Impl {
  http::experimental::listener::http_listener listener;
  const broker::Metrics& metrics;
  Check live, ready;

  void answer(http::http_request request) const;
};

namespace {

void reply_check(http::http_request& request, const HttpPages::Check& check) {
  Status status = check();
  request.reply(status.ok() ? http::status_codes::OK : http::status_codes::ServiceUnavailable,
                status.ok() ? "ok\n" : status.message() + "\n", "text/plain; charset=utf-8");
}

}  // namespace

void HttpPages::Impl::answer(http::http_request request) const {
  const std::string path = request.request_uri().path();
  if (path == "/metrics") {
    request.reply(http::status_codes::OK, metrics.expose(),
                  "text/plain; version=0.0.4; charset=utf-8");
  } else if (path == "/livez") {
    reply_check(request, live);
  } else if (path == "/readyz") {
    reply_check(request, ready);
  } else {
    request.reply(http::status_codes::NotFound, "the pages are /metrics, /livez and /readyz\n",
                  "text/plain; charset=utf-8");
  }
}

HttpPages::HttpPages(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpPages::~HttpPages() {
  try {
    impl_->listener.close().wait();
  } catch (const std::exception&) {
    // Nothing to be done about a socket that does not close.
  }
}

Result<std::unique_ptr<HttpPages>> HttpPages::open(const std::string& address,
                                                   const broker::Metrics& metrics, Check live,
                                                   Check ready) {
  kube::limit_http_library_threads();
  try {
    std::unique_ptr<Impl> impl(
        new Impl{http::experimental::listener::http_listener(web::uri("http://" + address)), metrics,
                 std::move(live), std::move(ready)});
    impl->listener.support(http::methods::GET,
                           [raw = impl.get()](http::http_request request) { raw->answer(request); });
    impl->listener.open().wait();
    return std::unique_ptr<HttpPages>(new HttpPages(std::move(impl)));
  } catch (const std::exception& error) {
    return Status(Code::kUnavailable, "cannot listen on " + address + ": " + error.what());
  }
}

}  // namespace sluice_operator::runtime
