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

struct Webhook::Impl {
  WebhookOptions options;
  kube::Client& client;
  broker::env::Clock& clock;
  broker::Metrics& metrics;
  LiveWorld world;
  std::unique_ptr<http::experimental::listener::http_listener> listener;

  std::mutex mutex;
  std::condition_variable changed;
  ServerKeys keys;
  std::deque<http::http_request> waiting;
  bool stopping = false;
  kube::StopSignal stop;
  std::vector<kube::Thread> threads;

  Impl(WebhookOptions o, kube::Client& c, broker::env::Clock& k, broker::Metrics& m)
      : options(std::move(o)), client(c), clock(k), metrics(m), world(c) {}

  void show_certificate(ssl::context& context);
  void take(http::http_request request);
  void queue(http::http_request request);
  void work();
  void answer(http::http_request& request);
  Result<Json> judge(const std::string& text);
  void keep_fresh();
  Status refresh();
};

// For every connection anew, so that a renewed certificate needs no restart.
void Webhook::Impl::show_certificate(ssl::context& context) {
  std::lock_guard lock(mutex);
  context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                      ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  context.use_certificate_chain(boost::asio::buffer(keys.cert));
  context.use_private_key(boost::asio::buffer(keys.key), ssl::context::pem);
}

// On the library's few threads, which the client below needs as well: only hands over.
void Webhook::Impl::take(http::http_request request) {
  const bool known = request.request_uri().path() == kPath;
  const auto length = request.headers().content_length();
  if (!known || length > kReviewBytesMax) {
    request.reply(known ? http::status_codes::RequestEntityTooLarge : http::status_codes::NotFound);
    return;
  }
  // Whole before a worker takes it up: a client that sends slowly keeps nobody waiting.
  request.content_ready().then([this](pplx::task<http::http_request> whole) {
    try {
      queue(whole.get());
    } catch (const std::exception& error) {
      broker::log_debug("webhook", "a question broke off", {{"error", error.what()}});
    }
  });
}

void Webhook::Impl::queue(http::http_request request) {
  std::lock_guard lock(mutex);
  if (stopping || waiting.size() >= kWaitingMax) {
    request.reply(http::status_codes::ServiceUnavailable);
    return;
  }
  waiting.push_back(std::move(request));
  changed.notify_one();
}

void Webhook::Impl::work() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return stopping || !waiting.empty(); });
    if (stopping) return;
    http::http_request request = std::move(waiting.front());
    waiting.pop_front();
    lock.unlock();
    try {
      answer(request);
    } catch (const std::exception& error) {
      broker::log_warn("webhook", "a question is not answered", {{"error", error.what()}});
    }
    lock.lock();
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
  {
    std::lock_guard lock(mutex);
    keys = fresh;
  }
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
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_all();
  for (auto& thread : impl_->threads) thread.join();
  try {
    for (auto& request : impl_->waiting) request.reply(http::status_codes::ServiceUnavailable);
    impl_->listener->close().wait();
  } catch (const std::exception&) {
    // Nothing to be done about a socket that does not close.
  }
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
    config.set_ssl_context_callback(
        [raw = impl.get()](ssl::context& context) { raw->show_certificate(context); });
    impl->listener = std::make_unique<http::experimental::listener::http_listener>(
        web::uri("https://" + impl->options.listen), config);
    impl->listener->support(http::methods::POST, [raw = impl.get()](http::http_request request) {
      raw->take(std::move(request));
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
