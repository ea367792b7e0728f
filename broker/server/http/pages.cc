#include "broker/server/http/pages.h"

#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace broker::server::http {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using boost::system::error_code;

struct Pages::Impl : std::enable_shared_from_this<Pages::Impl> {
  Impl(env::AsioExecutor& e, PagesOptions o, std::function<std::string()> m,
       std::function<Health()> r)
      : options(std::move(o)), metrics(std::move(m)), ready(std::move(r)), acceptor(e.context()) {}

  struct Connection {
    Connection(tcp::socket socket, std::shared_ptr<Impl> owner)
        : stream(std::move(socket)), impl(std::move(owner)) {
      impl->connections++;
    }
    ~Connection() { impl->connections--; }
    beast::tcp_stream stream;
    beast::flat_buffer buffer{16 << 10};
    http::request<http::empty_body> request;
    http::response<http::string_body> response;
    std::shared_ptr<Impl> impl;
  };

  Status listen() {
    error_code error;
    auto address = boost::asio::ip::make_address(options.host, error);
    tcp::endpoint endpoint(address, options.port);
    if (!error) acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
    if (!error) return {};
    return Status(Code::kUnavailable, "cannot serve metrics on " + options.host + ":" +
                                          std::to_string(options.port) + ": " + error.message());
  }

  void accept() {
    acceptor.async_accept([me = shared_from_this()](error_code error, tcp::socket socket) {
      if (me->stopped) return;
      if (!error && me->connections < me->options.connections_max) {
        me->read(std::make_shared<Connection>(std::move(socket), me));
      }
      me->accept();
    });
  }

  void read(std::shared_ptr<Connection> c) {
    c->request = {};
    c->stream.expires_after(std::chrono::milliseconds(options.idle_ms));
    http::async_read(c->stream, c->buffer, c->request, [c](error_code error, size_t) {
      if (!error && !c->impl->stopped) c->impl->answer(c);
    });
  }

  void answer(std::shared_ptr<Connection> c) {
    auto& response = c->response;
    response = {};
    response.version(c->request.version());
    response.keep_alive(c->request.keep_alive());
    response.set(http::field::content_type, "text/plain; charset=utf-8");
    auto target = c->request.target();
    bool read_only = c->request.method() == http::verb::get ||
                     c->request.method() == http::verb::head;
    if (!read_only) {
      response.result(http::status::method_not_allowed);
      response.body() = "only GET\n";
    } else if (target == "/metrics") {
      response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
      response.body() = metrics();
    } else if (target == "/livez") {
      response.body() = "ok\n";
    } else if (target == "/readyz") {
      Health health = ready();
      response.result(health.ok ? http::status::ok : http::status::service_unavailable);
      response.body() = health.text + "\n";
    } else {
      response.result(http::status::not_found);
      response.body() = "here are /metrics, /livez and /readyz\n";
    }
    response.prepare_payload();
    if (c->request.method() == http::verb::head) response.body().clear();
    http::async_write(c->stream, response, [c](error_code error, size_t) {
      if (!error && c->response.keep_alive()) c->impl->read(c);
    });
  }

  const PagesOptions options;
  const std::function<std::string()> metrics;
  const std::function<Health()> ready;
  tcp::acceptor acceptor;
  size_t connections = 0;
  bool stopped = false;
};

Pages::Pages(env::AsioExecutor& executor, PagesOptions options,
             std::function<std::string()> metrics, std::function<Health()> ready)
    : impl_(std::make_shared<Impl>(executor, std::move(options), std::move(metrics),
                                   std::move(ready))) {}

Pages::~Pages() {
  impl_->stopped = true;
  error_code ignored;
  impl_->acceptor.close(ignored);
}

Status Pages::start() {
  RETURN_IF_ERROR(impl_->listen());
  impl_->accept();
  return {};
}

uint16_t Pages::port() const { return impl_->acceptor.local_endpoint().port(); }

}  // namespace broker::server::http
