#include "operator/kube/client/http.h"

#include <cpprest/http_client.h>
#include <openssl/ssl.h>
#include <pplx/threadpool.h>

#include <mutex>

#include "operator/kube/client/http_exchange.h"

namespace sluice_operator::kube {

using broker::Code;
using broker::Result;
using broker::Status;
namespace http = web::http;

namespace {

// The library's default is 40 threads; ours only pass bytes on.
constexpr size_t kLibraryThreads = 2;

bool certainly_not_sent(const http::http_exception& error) {
  std::string_view what = error.what();
  const auto& code = error.error_code();
  return what.starts_with("Failed to connect") || what.starts_with("Error resolving") ||
         what.starts_with("Error in SSL handshake") || code == std::errc::connection_refused ||
         code == std::errc::network_unreachable || code == std::errc::host_unreachable;
}

Status to_status(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const http::http_exception& error) {
    return Status(certainly_not_sent(error) ? Code::kUnavailable : Code::kTimeout, error.what());
  } catch (const std::exception& error) {
    return Status(Code::kTimeout, error.what());
  } catch (...) {
    return Status(Code::kTimeout, "an unknown failure in the HTTP library");
  }
}

int64_t retry_after_ms(const http::http_headers& headers) {
  auto it = headers.find("Retry-After");
  if (it == headers.end() || it->second.empty() || it->second.size() > 6) return -1;
  int64_t seconds = 0;
  for (char c : it->second) {
    if (c < '0' || c > '9') return -1;  // a date: nobody sends those to API clients
    seconds = seconds * 10 + (c - '0');
  }
  return seconds * 1000;
}

using Store = std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)>;

// The certificates that may vouch for the server; null when the system's do.
Result<Store> trust_store(const std::string& pem) {
  Store store(nullptr, X509_STORE_free);
  if (pem.empty()) return store;
  store.reset(X509_STORE_new());
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  int count = 0;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(store.get(), certificate);
    X509_free(certificate);
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return Status(Code::kInvalidArgument, "the certificate authority has no certificate");
  return store;
}

}  // namespace

void limit_http_library_threads() {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      crossplat::threadpool::initialize_with_threads(kLibraryThreads);
    } catch (const std::exception&) {
      // Somebody has used the library before: its pool stays as it is.
    }
  });
}

struct HttpClient::Impl {
  broker::env::Clock& clock;
  Store trusted;
  std::string certificate, key;
  std::unique_ptr<http::client::http_client> client;

  std::shared_ptr<Exchange> start(const HttpRequest& request);
  void configure_tls(boost::asio::ssl::context& context);
};

void HttpClient::Impl::configure_tls(boost::asio::ssl::context& context) {
  namespace asio = boost::asio;
  // A watch mostly waits, each on a connection of its own: without buffers meanwhile.
  SSL_CTX_set_mode(context.native_handle(), SSL_MODE_RELEASE_BUFFERS);
  if (trusted) {
    X509_STORE_up_ref(trusted.get());
    SSL_CTX_set_cert_store(context.native_handle(), trusted.get());  // in place of the system's
  }
  if (certificate.empty()) return;
  context.use_certificate_chain(asio::buffer(certificate));
  context.use_private_key(asio::buffer(key), asio::ssl::context::pem);
}

std::shared_ptr<Exchange> HttpClient::Impl::start(const HttpRequest& request) {
  auto exchange = std::make_shared<Exchange>();
  try {
    http::http_request message(request.method);
    message.set_request_uri(web::uri(request.target));
    message.headers().add("Accept", "application/json");
    message.headers().add("User-Agent", "sluice-operator");
    if (!request.authorization.empty()) {
      message.headers().add("Authorization", request.authorization);
    }
    if (!request.body.empty()) {
      auto body = std::make_shared<OnceBody>(request.body);
      message.set_body(Concurrency::streams::streambuf<uint8_t>(body).create_istream(),
                       request.body.size(), request.content_type);
    }
    auto buffer = std::make_shared<ResponseBuffer>(exchange);
    message.set_response_stream(Concurrency::streams::streambuf<uint8_t>(buffer).create_ostream());
    client->request(message, exchange->token())
        .then([exchange](http::http_response response) {
          exchange->set_head(response.status_code(), retry_after_ms(response.headers()));
          return response.content_ready();
        })
        .then([exchange](pplx::task<http::http_response> last) {
          try {
            last.get();
            exchange->finish({});
          } catch (...) {
            exchange->finish(to_status(std::current_exception()));
          }
        });
  } catch (...) {
    exchange->finish(to_status(std::current_exception()));
  }
  return exchange;
}

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::open(const ClientConfig& config,
                                                     broker::env::Clock& clock) {
  limit_http_library_threads();
  ASSIGN_OR_RETURN(Store trusted, trust_store(config.ca_pem));
  std::unique_ptr<Impl> impl(new Impl{clock, std::move(trusted), config.client_cert_pem,
                                      config.client_key_pem, nullptr});
  http::client::http_client_config settings;
  settings.set_validate_certificates(config.verify_server);
  settings.set_timeout(std::chrono::hours(24));  // Exchange keeps the time, per request
  settings.set_ssl_context_callback(
      [raw = impl.get()](boost::asio::ssl::context& context) { raw->configure_tls(context); });
  try {
    impl->client = std::make_unique<http::client::http_client>(web::uri(config.server), settings);
  } catch (const std::exception& error) {
    return Status(Code::kInvalidArgument, "server '" + config.server + "': " + error.what());
  }
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

Result<HttpResponse> HttpClient::send(const HttpRequest& request, int64_t timeout_ms,
                                      StopSignal& stop) {
  auto exchange = impl_->start(request);
  OnStop interrupt(stop, [exchange] { exchange->interrupt(); });
  const int64_t deadline_ms = impl_->clock.mono_ms() + timeout_ms;
  HttpResponse response;
  std::string bytes;
  while (true) {
    auto wake = exchange->wait(std::max<int64_t>(0, deadline_ms - impl_->clock.mono_ms()), bytes);
    if (wake == Exchange::Wake::kDone) break;
    if (wake == Exchange::Wake::kBytes && response.body.size() + bytes.size() <= kBodyBytesMax) {
      response.body += bytes;
      continue;
    }
    exchange->abandon();
    if (wake == Exchange::Wake::kBytes) return Status(Code::kTooLarge, "the answer is too long");
    return Status(Code::kTimeout, wake == Exchange::Wake::kTimeout
                                      ? "no answer within " + std::to_string(timeout_ms) + " ms"
                                      : "stopped while waiting for the answer");
  }
  RETURN_IF_ERROR(exchange->result());
  response.code = exchange->code();
  response.retry_after_ms = exchange->retry_after_ms();
  return response;
}

Result<HttpResponse> HttpClient::stream(const HttpRequest& request, int64_t head_timeout_ms,
                                        int64_t idle_timeout_ms, StopSignal& stop,
                                        const OnBytes& on_bytes) {
  auto exchange = impl_->start(request);
  OnStop interrupt(stop, [exchange] { exchange->interrupt(); });
  HttpResponse response;
  std::string bytes;
  const int64_t head_deadline_ms = impl_->clock.mono_ms() + head_timeout_ms;
  while (true) {
    const bool had_head = exchange->has_head();
    int64_t patience_ms = had_head ? idle_timeout_ms : std::min(head_timeout_ms, idle_timeout_ms);
    switch (exchange->wait(patience_ms, bytes)) {
      case Exchange::Wake::kBytes: {
        if (exchange->code() != 200) {
          response.body.append(bytes, 0, 64 << 10);
          continue;
        }
        Status status = on_bytes(bytes);
        if (status.ok()) continue;
        exchange->abandon();
        return status;
      }
      case Exchange::Wake::kDone: {
        Status status = exchange->result();
        if (!status.ok()) return Status(Code::kUnavailable, status.message());
        response.code = exchange->code();
        response.retry_after_ms = exchange->retry_after_ms();
        return response;
      }
      case Exchange::Wake::kTimeout:
        // The headers may have come without a byte of the body.
        if (!had_head && exchange->has_head()) continue;
        if (!had_head && impl_->clock.mono_ms() < head_deadline_ms) continue;
        exchange->abandon();
        return Status(Code::kTimeout, "nothing heard for " + std::to_string(patience_ms) + " ms");
      case Exchange::Wake::kInterrupted:
        exchange->abandon();
        return Status(Code::kUnavailable, "stopped");
    }
  }
}

}  // namespace sluice_operator::kube
