// Like kube/client/http.cc, a place where cpprestsdk's exceptions end.
#include "operator/webhook/webhook.h"

#include <boost/asio/ssl.hpp>
#include <cpprest/http_listener.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "broker/base/log.h"
#include "operator/kube/client/base64.h"
#include "operator/kube/client/http.h"
#include "operator/webhook/live_world.h"

namespace sluice_operator::webhook {

using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;
namespace http = web::http;
namespace ssl = boost::asio::ssl;
using Listener = http::experimental::listener::http_listener;

namespace {

constexpr size_t kReviewBytesMax = 3 << 20;  // two objects of etcd's size, and some
constexpr size_t kWaitingMax = 64;           // the API server gives up on the rest by itself
constexpr const char* kPath = "/validate";
const std::vector<double> kDurationBuckets = {0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5};

const kube::ResourceType& configurations() {
  static const kube::ResourceType type{"admissionregistration.k8s.io", "v1",
                                       "validatingwebhookconfigurations",
                                       "ValidatingWebhookConfiguration", false};
  return type;
}

http::status_code code_of(const Status& status) {
  return status.code() == Code::kInvalidArgument ? http::status_codes::BadRequest
                                                 : http::status_codes::InternalError;
}

}  // namespace

std::optional<Json> with_ca(const Json& configuration, const std::string& ca_pem) {
  const std::string wanted = kube::base64_encode(ca_pem);
  Json changed = configuration;
  bool differs = false;
  auto webhooks = changed.find("webhooks");
  if (webhooks == changed.end() || !webhooks->is_array()) return std::nullopt;
  for (auto& hook : *webhooks) {
    auto& bundle = hook["clientConfig"]["caBundle"];
    differs = differs || bundle != wanted;
    bundle = wanted;
  }
  return differs ? std::optional<Json>(std::move(changed)) : std::nullopt;
}

namespace {

// What the library's threads use of a webhook: questions that wait for a worker, and the certificate
// to show. The library calls them after the webhook's end, too; they are kept by whoever may do so.
class Reception {
 public:
  // For every connection anew, so that a renewed certificate needs no restart.
  void show_certificate(ssl::context& context);
  void set_keys(ServerKeys keys);
  void queue(http::http_request request);
  // The next question; absent at the end. Blocks.
  std::optional<http::http_request> next();
  // Turns away whatever waits, and whoever comes.
  void end();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  ServerKeys keys_;
  std::deque<http::http_request> waiting_;
  bool ended_ = false;
};

void Reception::show_certificate(ssl::context& context) {
  std::lock_guard lock(mutex_);
  // This one the library takes: it closes the connection.
  if (ended_) throw boost::system::system_error(boost::asio::error::shut_down);
  context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                      ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  context.use_certificate_chain(boost::asio::buffer(keys_.cert));
  context.use_private_key(boost::asio::buffer(keys_.key), ssl::context::pem);
}

void Reception::set_keys(ServerKeys keys) {
  std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
}

void Reception::queue(http::http_request request) {
  {
    std::lock_guard lock(mutex_);
    if (!ended_ && waiting_.size() < kWaitingMax) {
      waiting_.push_back(std::move(request));
      changed_.notify_one();
      return;
    }
  }
  request.reply(http::status_codes::ServiceUnavailable);
}

std::optional<http::http_request> Reception::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ended_ || !waiting_.empty(); });
  if (ended_) return std::nullopt;
  http::http_request request = std::move(waiting_.front());
  waiting_.pop_front();
  return request;
}

void Reception::end() {
  std::deque<http::http_request> left;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    left.swap(waiting_);
  }
  changed_.notify_all();
  for (auto& request : left) {
    try {
      request.reply(http::status_codes::ServiceUnavailable);
    } catch (const std::exception&) {
      // The library has answered it: its connection is gone.
    }
  }
}

// On the library's few threads, which the client below needs as well: only hands over.
void take(const std::shared_ptr<Reception>& reception, http::http_request request) {
  const bool known = request.request_uri().path() == kPath;
  const auto length = request.headers().content_length();
  if (!known || length > kReviewBytesMax) {
    request.reply(known ? http::status_codes::RequestEntityTooLarge : http::status_codes::NotFound);
    return;
  }
  // Whole before a worker takes it up: a client that sends slowly keeps nobody waiting.
  request.content_ready().then([reception, request](pplx::task<http::http_request> whole) mutable {
    try {
      reception->queue(whole.get());
    } catch (const std::exception& error) {
      broker::log_debug("webhook", "a question broke off", {{"error", error.what()}});
      // Until it is answered the library keeps the connection, and the socket.
      try {
        request.reply(http::status_codes::BadRequest);
      } catch (const std::exception&) {
        // It is answered.
      }
    }
  });
}

}  // namespace

struct Webhook::Impl {
  WebhookOptions options;
  kube::Client& client;
  broker::env::Clock& clock;
  broker::Metrics& metrics;
  LiveWorld world;
  std::shared_ptr<Reception> reception = std::make_shared<Reception>();
  std::unique_ptr<Listener> listener;
  kube::StopSignal stop;
  std::vector<kube::Thread> threads;

  Impl(WebhookOptions o, kube::Client& c, broker::env::Clock& k, broker::Metrics& m)
      : options(std::move(o)), client(c), clock(k), metrics(m), world(c) {}

  void work();
  void answer(http::http_request& request);
  Result<Json> judge(const std::string& text);
  void keep_fresh();
  Status refresh();
};

void Webhook::Impl::work() {
  while (auto request = reception->next()) {
    try {
      answer(*request);
    } catch (const std::exception& error) {
      broker::log_warn("webhook", "a question is not answered", {{"error", error.what()}});
    }
  }
}

Result<Json> Webhook::Impl::judge(const std::string& text) {
  Json question = Json::parse(text, nullptr, false);
  // The JSON library throws where an object's fields are not of the kind that is expected.
  try {
    return admission::review(question, world);
  } catch (const Json::exception& error) {
    return Status(Code::kInvalidArgument, error.what());
  }
}

void Webhook::Impl::answer(http::http_request& request) {
  const int64_t started_us = clock.mono_us();
  const std::string text = request.extract_utf8string(true).get();
  auto result = text.size() > kReviewBytesMax
                    ? Result<Json>(Status(Code::kInvalidArgument, "the review is too large"))
                    : judge(text);
  const char* said = !result.ok()                          ? "error"
                     : (*result)["response"]["allowed"] == true ? "allowed"
                                                            : "refused";
  metrics
      .counter("sluice_operator_admission_reviews_total",
               "Questions of the API server by answer: allowed, refused, error.",
               {{"result", said}})
      .Increment();
  metrics
      .histogram("sluice_operator_admission_review_duration_seconds",
                 "Time from a question of the API server to its answer.", {}, kDurationBuckets)
      .Observe(static_cast<double>(clock.mono_us() - started_us) / 1e6);
  if (!result.ok()) {
    broker::log_warn("webhook", "nothing is decided", {{"error", result.status().to_string()}});
    request.reply(code_of(result.status()), result.status().message()).wait();
    return;
  }
  if (std::string(said) == "refused") {
    broker::log_info("webhook", "refused",
                     {{"why", (*result)["response"]["status"].value("message", std::string())}});
  }
  request.reply(http::status_codes::OK,
                result->dump(-1, ' ', false, Json::error_handler_t::replace), "application/json")
      .wait();
}

void Webhook::Impl::keep_fresh() {
  while (!stop.wait_ms(options.refresh_ms)) {
    Status status = refresh();
    if (!status.ok() && !stop.stopped()) {
      broker::log_warn("webhook", "cannot renew", {{"error", status.to_string()}});
    }
  }
}

Status Webhook::Impl::refresh() {
  ASSIGN_OR_RETURN(ServerKeys fresh, options.keys());
  reception->set_keys(fresh);
  auto live = client.get(configurations(), "", options.configuration);
  if (live.code() == Code::kNotFound) {
    broker::log_debug("webhook", "there is no configuration", {{"name", options.configuration}});
    return {};
  }
  if (!live.ok()) return live.status();
  auto wanted = with_ca(*live, fresh.ca);
  if (!wanted) return {};
  Status written = client.replace(configurations(), *wanted).status();
  if (written.code() == Code::kConflict) return {};  // the other replica's; seen at the next look
  if (written.ok()) {
    broker::log_info("webhook", "CA written", {{"configuration", options.configuration}});
  }
  return written;
}

Webhook::Webhook(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Webhook::~Webhook() {
  impl_->stop.stop();
  impl_->reception->end();
  for (auto& thread : impl_->threads) thread.join();
  try {
    impl_->listener->close().wait();
  } catch (const std::exception&) {
    // Nothing to be done about a socket that does not close.
  }
  // As long as the process has another listener, the library goes on to accept connections here,
  // and to call this one's function for each.
  static auto* closed = new std::vector<std::unique_ptr<Listener>>;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  closed->push_back(std::move(impl_->listener));
}

Result<std::unique_ptr<Webhook>> Webhook::open(WebhookOptions options, kube::Client& client,
                                               broker::env::Clock& clock,
                                               broker::Metrics& metrics) {
  constexpr int kWorkers = 2;
  kube::limit_http_library_threads();
  auto impl = std::make_unique<Impl>(std::move(options), client, clock, metrics);
  RETURN_IF_ERROR(impl->refresh());
  try {
    http::experimental::listener::http_listener_config config;
    config.set_ssl_context_callback([reception = impl->reception](ssl::context& context) {
      reception->show_certificate(context);
    });
    impl->listener = std::make_unique<Listener>(web::uri("https://" + impl->options.listen), config);
    impl->listener->support(http::methods::POST,
                            [reception = impl->reception](http::http_request request) {
                              take(reception, std::move(request));
                            });
    impl->listener->open().wait();
  } catch (const std::exception& error) {
    return Status(Code::kUnavailable,
                  "cannot listen on " + impl->options.listen + ": " + error.what());
  }
  for (int i = 0; i < kWorkers; ++i) {
    impl->threads.emplace_back("webhook", [raw = impl.get()] { raw->work(); });
  }
  impl->threads.emplace_back("webhook-keys", [raw = impl.get()] { raw->keep_fresh(); });
  return std::unique_ptr<Webhook>(new Webhook(std::move(impl)));
}

}  // namespace sluice_operator::webhook
