#include "broker/cli/http_get.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <cstdio>
#include <optional>

namespace broker::cli {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

struct Url {
  bool tls = false;
  std::string host, port, prefix;
};

std::optional<Url> parse_url(const std::string& text) {
  Url url;
  size_t begin = 7;
  if (text.rfind("https://", 0) == 0) {
    url.tls = true;
    begin = 8;
  } else if (text.rfind("http://", 0) != 0) {
    return std::nullopt;
  }
  size_t slash = std::min(text.find('/', begin), text.size());
  std::string place = text.substr(begin, slash - begin);
  url.prefix = text.substr(slash);
  while (!url.prefix.empty() && url.prefix.back() == '/') url.prefix.pop_back();
  size_t colon = place.find(']') == std::string::npos ? place.rfind(':')
                                                      : place.find(':', place.find(']'));
  url.host = place.substr(0, std::min(colon, place.size()));
  url.port = colon == std::string::npos ? (url.tls ? "443" : "80") : place.substr(colon + 1);
  if (url.host.size() > 1 && url.host.front() == '[') url.host = url.host.substr(1, url.host.size() - 2);
  if (url.host.empty() || url.port.empty()) return std::nullopt;
  return url;
}

// Runs one exchange on an io_context of its own; `run` returns when it is done or its time is over.
class Exchange {
 public:
  Exchange(const HttpGet& get, const Url& url) : get_(get), url_(url) {}

  Result<std::string> run() {
    beast::error_code error;
    tcp::resolver resolver(io_);
    auto places = resolver.resolve(url_.host, url_.port, error);
    if (error) return failed("cannot be found", error);
    if (url_.tls) {
      if (get_.ca_path.empty()) tls_.set_default_verify_paths(error);
      else tls_.load_verify_file(get_.ca_path, error);
      if (error) return failed("the certificates of --ca cannot be read", error);
    }
    beast::ssl_stream<beast::tcp_stream> stream(io_, tls_);
    auto& plain = beast::get_lowest_layer(stream);
    plain.expires_after(std::chrono::milliseconds(get_.timeout_ms));
    error = step([&](auto done) {
      plain.async_connect(places, [done](auto e, const auto&) { done(e); });
    });
    if (error) return failed("cannot be reached", error);
    if (!url_.tls) return exchange(plain);
    stream.set_verify_mode(asio::ssl::verify_peer);
    stream.set_verify_callback(asio::ssl::host_name_verification(url_.host));
    if (!SSL_set_tlsext_host_name(stream.native_handle(), url_.host.c_str())) {
      return Status(Code::kInvalidArgument, "'" + url_.host + "' is no name for TLS");
    }
    error = step([&](auto done) { stream.async_handshake(asio::ssl::stream_base::client, done); });
    if (error) return failed("its certificate or its TLS is not accepted", error);
    return exchange(stream);
  }

 private:
  template <class Begin>
  beast::error_code step(Begin begin) {
    beast::error_code result;
    begin([&result](beast::error_code error) { result = error; });
    io_.restart();
    io_.run();
    return result;
  }

  template <class Stream>
  Result<std::string> exchange(Stream& stream) {
    http::request<http::empty_body> request(http::verb::get, url_.prefix + get_.target, 11);
    request.set(http::field::host, url_.host + ":" + url_.port);
    request.set(http::field::connection, "close");
    if (!get_.token.empty()) request.set(http::field::authorization, "Bearer " + get_.token);
    auto error = step([&](auto done) {
      http::async_write(stream, request, [done](auto e, size_t) { done(e); });
    });
    if (error) return failed("the request could not be sent", error);
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(64 << 20);
    error = step([&](auto done) {
      http::async_read(stream, buffer, parser, [done](auto e, size_t) { done(e); });
    });
    if (error) return failed("it did not answer", error);
    auto& response = parser.get();
    if (response.result_int() != 200) {
      return Status(Code::kUnavailable, get_.url + " answered " +
                                            std::to_string(response.result_int()) + ": " +
                                            response.body().substr(0, 300));
    }
    return std::move(response.body());
  }

  Status failed(const std::string& what, const beast::error_code& error) const {
    return {Code::kUnavailable, get_.url + ": " + what + " (" + error.message() + ")"};
  }

  const HttpGet& get_;
  const Url& url_;
  asio::io_context io_;
  asio::ssl::context tls_{asio::ssl::context::tls_client};
};

}  // namespace

Result<std::string> http_get(const HttpGet& get) {
  auto url = parse_url(get.url);
  if (!url) {
    return Status(Code::kInvalidArgument,
                  "'" + get.url + "' is no address such as http://prometheus:9090");
  }
  return Exchange(get, *url).run();
}

std::string url_encode(const std::string& text) {
  std::string out;
  for (unsigned char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += static_cast<char>(c);
    } else {
      char hex[4];
      std::snprintf(hex, sizeof hex, "%%%02X", c);
      out += hex;
    }
  }
  return out;
}

}  // namespace broker::cli
