#pragma once
// From an HTTP request to a call of the API and back: AWS's front end. Target and content type,
// signature, decoding, and the headers and error forms that AWS answers with, in AWS's order. Made
// by the listener; the reactor's.
#include <array>
#include <functional>
#include <map>
#include <memory>

#include "broker/base/metrics.h"
#include "broker/protocol/kinesis/call.h"
#include "broker/server/kinesis/sigv4.h"

namespace broker::server::kinesis {

class FrontEnd {
 public:
  using Reply = std::function<void(HttpResponse)>;  // once

  FrontEnd(env::Clock& clock, env::Random& random, Metrics& metrics, SignatureCheck& signatures,
           protocol::kinesis::Service& service);
  // What is not answered by then has no answer.
  ~FrontEnd() { *alive_ = false; }
  void handle(HttpRequest request, Reply reply);

 private:
  struct Exchange;
  using ExchangePtr = std::shared_ptr<Exchange>;
  // Nothing: the request goes on.
  std::optional<HttpResponse> refuse_early(const HttpRequest& request, Exchange& exchange,
                                           protocol::kinesis::Error& error);
  void call(HttpRequest request, ExchangePtr exchange);
  void finish(Exchange& exchange, HttpResponse response, const protocol::kinesis::Error* error);
  HttpResponse error_response(const Exchange& exchange, const protocol::kinesis::Error& error) const;
  HttpResponse preflight(const HttpRequest& request);
  void add_headers(HttpResponse& response, const Exchange& exchange);
  const std::string& http_date();
  void count(const Exchange& exchange, const protocol::kinesis::Error* error);

  env::Clock& clock_;
  env::Random& random_;
  Metrics& metrics_;
  SignatureCheck& signatures_;
  protocol::kinesis::Service& service_;
  struct OperationMetrics {
    prometheus::Counter* requests = nullptr;
    prometheus::Histogram* seconds = nullptr;
  };
  // One for each operation, then one for what is none.
  std::array<OperationMetrics, protocol::kinesis::kOperationCount + 1> operations_;
  std::string date_;
  int64_t date_s_ = -1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false for late answers
};

}  // namespace broker::server::kinesis
