#include "operator/kube/client/client.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "operator/kube/client/http.h"

namespace sluice_operator::kube {

using broker::Code;
using broker::Result;
using broker::Status;

namespace {

const std::vector<double> kLatencyBuckets = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                             0.5,   1,    2.5,   5,    10};
constexpr int kThrottledWriteAttempts = 3;

// "?a=b&c=d" of the pairs whose value is not empty.
std::string query(std::initializer_list<std::pair<const char*, std::string>> pairs) {
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (value.empty()) continue;
    out += (out.empty() ? "?" : "&") + std::string(name) + "=" + url_encode(value);
  }
  return out;
}

Result<Json> parsed(const HttpResponse& response) {
  auto object = Json::parse(response.body, nullptr, false);
  if (!object.is_object()) {
    return Status(Code::kInternal, "the API server's answer is not a JSON object");
  }
  return object;
}

// Never throws: text that is not UTF-8 (from a user, in an Event) gets replacement characters.
std::string to_text(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool is_write(const std::string& method) { return method != "GET"; }

}  // namespace

struct Client::Impl {
  ClientConfig config;
  broker::env::Clock& clock;
  broker::env::Random& random;
  broker::Metrics& metrics;
  ClientOptions options;
  TokenSource tokens;
  std::unique_ptr<HttpClient> http;
  StopSignal stopping;

  Impl(ClientConfig c, broker::env::FileSystem& fs, broker::env::Clock& k, broker::env::Random& r,
       broker::Metrics& m, ClientOptions o)
      : config(std::move(c)), clock(k), random(r), metrics(m), options(o), tokens(config, fs, k) {}

  std::string authorization() {
    std::string token = tokens.current();
    return token.empty() ? token : "Bearer " + token;
  }
  // One call as the caller sees it, with its retries. `what` is "get pods ns/name".
  Result<HttpResponse> call(const char* verb, const ResourceType& type, HttpRequest request,
                            const std::string& object);
  std::optional<int64_t> pause_before_retry(const Result<HttpResponse>& answer, bool write,
                                            int attempt);
  Result<HttpResponse> once(const char* verb, const std::string& kind, HttpRequest& request);
  void count(const char* verb, const std::string& kind, const Result<HttpResponse>& answer,
             int64_t started_us);
};

void Client::Impl::count(const char* verb, const std::string& kind,
                         const Result<HttpResponse>& answer, int64_t started_us) {
  std::string code = answer.ok() ? std::to_string(answer->code)
                     : answer.code() == Code::kTimeout ? "timeout"
                                                       : "unreachable";
  metrics
      .counter("sluice_operator_api_requests_total", "Requests to the Kubernetes API.",
               {{"verb", verb}, {"kind", kind}, {"code", code}})
      .Increment();
  metrics
      .histogram("sluice_operator_api_request_duration_seconds",
                 "Time until the Kubernetes API has answered.", {{"verb", verb}}, kLatencyBuckets)
      .Observe(static_cast<double>(clock.mono_us() - started_us) / 1e6);
}

Result<HttpResponse> Client::Impl::once(const char* verb, const std::string& kind,
                                        HttpRequest& request) {
  const int64_t started_us = clock.mono_us();
  request.authorization = authorization();
  auto answer = http->send(request, options.request_timeout_ms, stopping);
  count(verb, kind, answer, started_us);
  if (!answer.ok() || answer->code != 401 || config.token_file.empty()) return answer;
  tokens.refresh();
  std::string renewed = authorization();
  if (renewed == request.authorization) return answer;
  request.authorization = renewed;
  const int64_t again_us = clock.mono_us();
  answer = http->send(request, options.request_timeout_ms, stopping);
  count(verb, kind, answer, again_us);
  return answer;
}

// How long to wait before the same request goes out again; nothing when it must not.
std::optional<int64_t> Client::Impl::pause_before_retry(const Result<HttpResponse>& answer,
                                                        bool write, int attempt) {
  const bool throttled = answer.ok() && answer->code == 429;
  const bool failed = !answer.ok() ? answer.code() != Code::kTooLarge : answer->code >= 500;
  if (write ? !throttled : !throttled && !failed) return std::nullopt;
  if (attempt >= (write ? kThrottledWriteAttempts : options.read_attempts)) return std::nullopt;
  int64_t ceiling_ms = std::min(options.retry_base_ms << attempt, options.retry_cap_ms);
  int64_t pause_ms = ceiling_ms / 2 + static_cast<int64_t>(random.below(ceiling_ms / 2 + 1));
  if (answer.ok()) pause_ms = std::max(pause_ms, answer->retry_after_ms);
  if (pause_ms > options.retry_cap_ms) return std::nullopt;  // not worth a blocked thread
  return pause_ms;
}

Result<HttpResponse> Client::Impl::call(const char* verb, const ResourceType& type,
                                        HttpRequest request, const std::string& object) {
  const std::string what = std::string(verb) + " " + type.plural + (object.empty() ? "" : " ") + object;
  const bool write = is_write(request.method);
  for (int attempt = 1;; ++attempt) {
    auto answer = once(verb, type.kind, request);
    if (answer.ok() && answer->code >= 200 && answer->code < 300) return answer;
    auto pause_ms = stopping.stopped() ? std::nullopt : pause_before_retry(answer, write, attempt);
    if (pause_ms && !stopping.wait_ms(*pause_ms)) continue;
    if (!answer.ok()) return answer.status().with_context(what);
    return api_error(answer->code, answer->body, write).with_context(what);
  }
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() { stop(); }
void Client::stop() { impl_->stopping.stop(); }
const std::string& Client::default_namespace() const { return impl_->config.ns; }

Result<std::unique_ptr<Client>> Client::open(ClientConfig config, broker::env::FileSystem& fs,
                                             broker::env::Clock& clock,
                                             broker::env::Random& random, broker::Metrics& metrics,
                                             ClientOptions options) {
  auto impl = std::make_unique<Impl>(std::move(config), fs, clock, random, metrics, options);
  ASSIGN_OR_RETURN(impl->http, HttpClient::open(impl->config, clock));
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Result<Json> Client::get(const ResourceType& type, const std::string& ns, const std::string& name) {
  ASSIGN_OR_RETURN(auto response, impl_->call("get", type, {"GET", resource_path(type, ns, name)},
                                              ObjectKey{ns, name}.to_string()));
  return parsed(response);
}

namespace {

// Moves a page's items over and returns the token of the next page, empty at the end.
Result<std::string> take_page(const ResourceType& type, const ListOptions& options, Json page,
                              ListResult& result) {
  auto items = page.find("items");
  auto metadata = page.find("metadata");
  if (items == page.end() || metadata == page.end()) {
    return Status(Code::kInternal, "list " + type.plural + ": the answer is not a list");
  }
  if (items->is_array()) {
    for (auto& item : *items) {
      item["apiVersion"] = type.api_version();
      item["kind"] = type.kind;
      if (options.transform) options.transform(item);
      if (options.take) {
        options.take(std::move(item));
      } else {
        result.items.push_back(std::move(item));
      }
    }
  }
  result.resource_version = metadata->value("resourceVersion", "");
  return metadata->value("continue", "");
}

}  // namespace

Result<ListResult> Client::list(const ResourceType& type, const Selection& selection,
                                const ListOptions& options) {
  constexpr int kRestartsMax = 3;
  for (int restarts = 0;; ++restarts) {
    ListResult result;
    std::string next;
    Status failure;
    do {
      auto target = resource_path(type, selection.ns) +
                    query({{"limit", std::to_string(options.page_size)},
                           {"labelSelector", selection.label_selector},
                           {"fieldSelector", selection.field_selector},
                           {"continue", next}});
      auto response = impl_->call("list", type, {"GET", target}, selection.ns);
      failure = response.status();
      if (!failure.ok()) break;
      ASSIGN_OR_RETURN(Json page, parsed(*response));
      ASSIGN_OR_RETURN(next, take_page(type, options, std::move(page), result));
    } while (!next.empty());
    if (failure.ok()) return result;
    if (!is_expired(failure) || next.empty() || restarts == kRestartsMax) return failure;
    if (options.again) options.again();
  }
}

Result<Json> Client::create(const ResourceType& type, const Json& object) {
  ObjectKey key = key_of(object);
  HttpRequest request{"POST", resource_path(type, key.ns) + query({{"fieldManager", kFieldManager}})};
  request.content_type = "application/json";
  request.body = to_text(object);
  ASSIGN_OR_RETURN(auto response, impl_->call("create", type, std::move(request), key.to_string()));
  return parsed(response);
}

Result<Json> Client::apply(const ResourceType& type, const Json& object,
                           const ApplyOptions& options) {
  ObjectKey key = key_of(object);
  HttpRequest request{"PATCH", resource_path(type, key.ns, key.name, options.subresource) +
                                   query({{"fieldManager", kFieldManager},
                                          {"force", options.force ? "true" : ""}})};
  request.content_type = "application/apply-patch+yaml";  // JSON is YAML
  request.body = to_text(object);
  ASSIGN_OR_RETURN(auto response, impl_->call("apply", type, std::move(request), key.to_string()));
  if (options.created) *options.created = response.code == 201;
  return parsed(response);
}

Result<Json> Client::merge_patch(const ResourceType& type, const ObjectKey& key, const Json& patch,
                                 const std::string& subresource) {
  HttpRequest request{"PATCH", resource_path(type, key.ns, key.name, subresource) +
                                   query({{"fieldManager", kFieldManager}})};
  request.content_type = "application/merge-patch+json";
  request.body = to_text(patch);
  ASSIGN_OR_RETURN(auto response, impl_->call("patch", type, std::move(request), key.to_string()));
  return parsed(response);
}

Result<Json> Client::replace(const ResourceType& type, const Json& object,
                             const std::string& subresource) {
  ObjectKey key = key_of(object);
  if (metadata_text(object, "resourceVersion").empty()) {
    return Status(Code::kInvalidArgument, "replace " + type.plural + " " + key.to_string() +
                                              ": metadata.resourceVersion is missing");
  }
  HttpRequest request{"PUT", resource_path(type, key.ns, key.name, subresource) +
                                 query({{"fieldManager", kFieldManager}})};
  request.content_type = "application/json";
  request.body = to_text(object);
  ASSIGN_OR_RETURN(auto response, impl_->call("replace", type, std::move(request), key.to_string()));
  return parsed(response);
}

Status Client::remove(const ResourceType& type, const ObjectKey& key, const DeleteOptions& options) {
  Json body = {{"apiVersion", "v1"}, {"kind", "DeleteOptions"}};
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (!options.resource_version.empty()) {
    body["preconditions"]["resourceVersion"] = options.resource_version;
  }
  if (!options.propagation.empty()) body["propagationPolicy"] = options.propagation;
  HttpRequest request{"DELETE", resource_path(type, key.ns, key.name)};
  request.content_type = "application/json";
  request.body = to_text(body);
  return impl_->call("delete", type, std::move(request), key.to_string()).status();
}

Status Client::watch(const ResourceType& type, const Selection& selection,
                     const WatchOptions& options, StopSignal& stop, const WatchHandler& handler) {
  HttpRequest request{"GET", resource_path(type, selection.ns) +
                                 query({{"watch", "true"},
                                        {"allowWatchBookmarks", "true"},
                                        {"resourceVersion", options.resource_version},
                                        {"labelSelector", selection.label_selector},
                                        {"fieldSelector", selection.field_selector},
                                        {"timeoutSeconds",
                                         std::to_string(options.server_timeout_seconds)}})};
  request.authorization = impl_->authorization();
  OnStop client_stopped(impl_->stopping, [&stop] { stop.stop(); });
  WatchDecoder decoder(handler);
  auto response = impl_->http->stream(request, impl_->options.request_timeout_ms,
                                      options.idle_timeout_ms, stop,
                                      [&](std::string_view bytes) { return decoder.feed(bytes); });
  const std::string code = response.ok() ? std::to_string(response->code) : "broken";
  impl_->metrics
      .counter("sluice_operator_api_requests_total", "Requests to the Kubernetes API.",
               {{"verb", "watch"}, {"kind", type.kind}, {"code", code}})
      .Increment();
  if (!response.ok()) return response.status().with_context("watch " + type.plural);
  if (response->code == 401) impl_->tokens.refresh();
  if (response->code == 200) return {};
  return api_error(response->code, response->body, false).with_context("watch " + type.plural);
}

Result<std::string> Client::get_raw(const std::string& path) {
  static const ResourceType raw{"", "", "path", "Path", false};
  ASSIGN_OR_RETURN(auto response, impl_->call("get", raw, {"GET", path}, path));
  return response.body;
}

}  // namespace sluice_operator::kube
