#include "broker/server/kinesis/front_end.h"

#include <ctime>

#include "broker/base/uuid.h"
#include "broker/protocol/kinesis/base64.h"

namespace broker::server::kinesis {
namespace {

namespace api = protocol::kinesis;
using api::Error;
using api::Format;
using api::Operation;

constexpr std::string_view kJson = "application/x-amz-json-1.1";
constexpr std::string_view kCbor = "application/x-amz-cbor-1.1";
constexpr std::string_view kOldJson = "application/json";  // known, never served
constexpr std::string_view kService = "Kinesis_20131202";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// A refusal of what is not even a call: AWS's gateway writes XML.
HttpResponse xml(int status, std::string_view type, std::string_view message) {
  std::string body;
  if (message.empty()) {
    body = "<" + std::string(type) + "/>\n";
  } else {
    body = "<" + std::string(type) + ">\n  <Message>" + std::string(message) + "</Message>\n</" +
           std::string(type) + ">\n";
  }
  return {status, {}, std::move(body)};
}

HttpResponse old_json(int status, std::string_view type) {
  return {status,
          {{"content-type", std::string(kOldJson)}},
          "{\"Output\":{\"__type\":\"com.amazon.coral.service#" + std::string(type) +
              "\"},\"Version\":\"1.0\"}"};
}

}  // namespace

struct FrontEnd::Exchange {
  Reply reply;
  int64_t began_us = 0;
  std::optional<Operation> operation;
  Format format = Format::kCbor;
  bool cross_origin = false;
};

FrontEnd::FrontEnd(env::Clock& clock, env::Random& random, Metrics& metrics,
                   SignatureCheck& signatures, api::Service& service)
    : clock_(clock),
      random_(random),
      metrics_(metrics),
      signatures_(signatures),
      service_(service) {
  for (size_t i = 0; i < operations_.size(); ++i) {
    std::string name(i < api::kOperationCount ? api::to_string(static_cast<Operation>(i)) : "none");
    operations_[i].requests = &metrics.counter("sluice_kinesis_requests_total",
                                               "Requests of the Kinesis API", {{"operation", name}});
    operations_[i].seconds = &metrics.histogram(
        "sluice_kinesis_request_duration_seconds", "From a whole request to its answer",
        {{"operation", name}}, {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5});
  }
}

void FrontEnd::handle(HttpRequest request, Reply reply) {
  auto exchange = std::make_shared<Exchange>();
  exchange->reply = std::move(reply);
  exchange->began_us = clock_.mono_us();
  exchange->cross_origin = request.has_header("origin");
  if (exchange->cross_origin && request.method == "OPTIONS") {
    return exchange->reply(preflight(request));
  }
  Error refused;
  if (auto refusal = refuse_early(request, *exchange, refused)) {
    return finish(*exchange, std::move(*refusal), &refused);
  }
  call(std::move(request), std::move(exchange));
}

// What AWS looks at before the signature, in its order: method, content type, target.
std::optional<HttpResponse> FrontEnd::refuse_early(const HttpRequest& request, Exchange& exchange,
                                                   Error& error) {
  error = api::access_denied("Unable to determine service/operation name to be authorized");
  if (request.method != "POST") return xml(403, error.type, error.message);
  std::string_view type = request.header("content-type");
  type = trimmed(type.substr(0, type.find(';')));
  const bool known_type = type == kJson || type == kCbor || type == kOldJson;
  exchange.format = type == kJson ? Format::kJson : Format::kCbor;

  std::string_view target = request.header("x-amz-target");
  size_t dot = std::min(target.find('.'), target.size());
  std::string_view service = target.substr(0, dot);
  std::string_view name = dot < target.size() ? target.substr(dot + 1) : std::string_view();
  if (service == kService) exchange.operation = api::find_operation(name);

  if (!request.body.empty() && !known_type && (service.empty() || name.empty())) {
    return xml(403, error.type, error.message);
  }
  const bool object = trimmed(request.body).substr(0, 1) == "{";
  const bool unreadable = request.body.empty() ? exchange.operation.has_value()
                                               : type == kOldJson && !object;
  error = unreadable ? api::serialization("") : api::unknown_operation();
  if (request.body.empty()) return error_response(exchange, error);
  if (!known_type) return xml(404, error.type, "");
  if (type == kOldJson) return old_json(unreadable ? 400 : 404, error.type);
  if (!exchange.operation) return error_response(exchange, error);
  return std::nullopt;
}

void FrontEnd::call(HttpRequest request, ExchangePtr exchange) {
  api::Caller caller;
  if (auto error = signatures_.check(request, caller)) {
    return finish(*exchange, error_response(*exchange, *error), &*error);
  }
  const Format format = exchange->format;
  const Operation operation = *exchange->operation;
  auto call = std::make_shared<api::Call>(
      std::move(caller), format,
      [this, alive = alive_, exchange](std::string body, const Error* error) {
        // A call that is dropped answers too, and the last ones are dropped with the executor.
        if (!*alive) return;
        HttpResponse response;
        if (error) {
          response = error_response(*exchange, *error);
        } else {
          response.headers.emplace_back("content-type",
                                        exchange->format == Format::kJson ? kJson : kCbor);
          response.body = std::move(body);
        }
        finish(*exchange, std::move(response), error);
      });
  if (auto error = api::decode(operation, format, request.body, call->request())) {
    return call->fail(*error);
  }
  request = {};  // the body is long
  service_.handle(std::move(call));
}

HttpResponse FrontEnd::error_response(const Exchange& exchange, const Error& error) const {
  return {error.http_status,
          {{"content-type", std::string(exchange.format == Format::kJson ? kJson : kCbor)},
           {"x-amzn-errortype", error.type}},
          api::encode_error(exchange.format, error)};
}

void FrontEnd::finish(Exchange& exchange, HttpResponse response, const Error* error) {
  add_headers(response, exchange);
  count(exchange, error);
  std::exchange(exchange.reply, nullptr)(std::move(response));
}

HttpResponse FrontEnd::preflight(const HttpRequest& request) {
  HttpResponse response;
  response.headers = {{"x-amzn-requestid", Uuid::from_random(random_.next(), random_.next()).to_string()},
                      {"access-control-allow-origin", "*"},
                      {"access-control-max-age", "172800"},
                      {"date", http_date()}};
  for (const char* what : {"headers", "method"}) {
    std::string_view asked = request.header(std::string("access-control-request-") + what);
    if (asked.empty()) continue;
    response.headers.emplace_back(
        what[0] == 'h' ? "access-control-allow-headers" : "access-control-allow-methods", asked);
  }
  return response;
}

void FrontEnd::add_headers(HttpResponse& response, const Exchange& exchange) {
  std::array<uint64_t, 9> noise;
  for (uint64_t& word : noise) word = random_.next();
  std::string id;
  api::base64_append({reinterpret_cast<const char*>(noise.data()), sizeof noise}, id);
  response.headers.emplace_back("x-amzn-requestid",
                                Uuid::from_random(random_.next(), random_.next()).to_string());
  response.headers.emplace_back("x-amz-id-2", std::move(id));
  response.headers.emplace_back("date", http_date());
  if (!exchange.cross_origin) return;
  response.headers.emplace_back("access-control-allow-origin", "*");
  response.headers.emplace_back("access-control-expose-headers",
                                "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,"
                                "x-amzn-ErrorMessage,Date");
}

const std::string& FrontEnd::http_date() {
  int64_t now_s = clock_.wall_ms() / 1000;
  if (now_s != date_s_) {
    std::time_t time = date_s_ = now_s;
    std::tm parts{};
    gmtime_r(&time, &parts);
    char text[64];
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    date_ = text;
  }
  return date_;
}

void FrontEnd::count(const Exchange& exchange, const Error* error) {
  size_t index = exchange.operation ? static_cast<size_t>(*exchange.operation)
                                    : api::kOperationCount;
  operations_[index].requests->Increment();
  operations_[index].seconds->Observe(
      static_cast<double>(clock_.mono_us() - exchange.began_us) / 1e6);
  if (!error) return;
  std::string name(exchange.operation ? api::to_string(*exchange.operation) : "none");
  metrics_
      .counter("sluice_kinesis_errors_total", "Requests answered with an error, by AWS's type",
               {{"operation", name}, {"type", error->type}})
      .Increment();
}

}  // namespace broker::server::kinesis
