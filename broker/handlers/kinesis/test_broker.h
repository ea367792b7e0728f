#pragma once
// One whole broker without sockets, in virtual time, with a router, and the operations with a client's
// view of them. For this folder's tests.
#include <memory>
#include <string>

#include "broker/handlers/kinesis/handlers.h"
#include "tests/support/one_broker.h"

namespace broker::handlers::kinesis {

class NobodyElse : public routing::RequestTransport {
 public:
  void request(BrokerId, std::string, std::vector<Buffer>, Reply reply) override {
    reply(Status(Code::kUnavailable, "there is no other broker"));
  }
};

// What a call came to.
template <class Response>
struct Answer {
  bool answered = false;
  std::string error;  // its type; empty: a success
  std::string message;
  Response response;
  bool ok() const { return answered && error.empty(); }
};

class TestBroker : public sim::OneBroker {
 public:
  explicit TestBroker(Options options = without_rates(),
                      const security::Authorizer* authorizer = nullptr);
  static Options without_rates() {
    Options options;
    options.operation_rates = false;
    return options;
  }

  void handle(wire::CallPtr call) { handlers_->handle(std::move(call)); }
  template <class Request>
  std::shared_ptr<Answer<typename Request::Response>> send(Request request) {
    using Response = typename Request::Response;
    auto answer = std::make_shared<Answer<Response>>();
    auto call = std::make_shared<wire::Call>(
        caller, wire::Format::kJson, [answer](std::string body, const wire::Error* error) {
          EXPECT_FALSE(answer->answered);
          answer->answered = true;
          if (error) {
            answer->error = error->type;
            answer->message = error->message;
            return;
          }
          auto wrong = wire::decode_message(wire::Format::kJson, body, answer->response);
          // Rules are for requests: AWS answers with lists that its model calls too short.
          EXPECT_TRUE(!wrong || wrong->type == "ValidationException") << wrong->message << body;
        });
    call->request() = std::move(request);
    handlers_->handle(std::move(call));
    return answer;
  }
  // The same, and waits for the answer.
  template <class Request>
  Answer<typename Request::Response> call(Request request) {
    auto answer = send(std::move(request));
    EXPECT_TRUE(world.run_until([&] { return answer->answered; }, 60'000'000));
    return *answer;
  }
  // Of a call that must succeed.
  template <class Request>
  typename Request::Response must(Request request) {
    auto answer = call(std::move(request));
    EXPECT_TRUE(answer.ok()) << answer.error << ": " << answer.message;
    return answer.response;
  }
  template <class Request>
  std::string error_of(Request request) {
    return call(std::move(request)).error;
  }

  void create(const std::string& name, int32_t shards);
  void create_topic(const std::string& name, int32_t partitions);
  void set_attribute(const std::string& stream, const std::string& name, const std::string& value);
  wire::PutRecordResponse put(const std::string& stream, const std::string& key,
                              const std::string& data);
  std::string iterator(const std::string& stream, int32_t shard,
                       std::string_view type = wire::ShardIteratorType::kTrimHorizon);
  // All data of a shard from an iterator on, and where that ends (empty: at the shard's end).
  std::vector<std::string> read_all(std::string& iterator);
  void advance_ms(int64_t ms) { world.run_for_us(ms * 1000); }
  // Hours go by for the wall clock alone: the broker has nothing to do in them.
  void pass_hours(int64_t hours) { clock_.shift_wall(hours * 3600 * 1000); }
  int64_t now_ms() const { return clock_.wall_ms(); }
  quotas::ClientQuotas& client_quotas() { return quotas_; }
  routing::Router& router() { return *router_; }

  wire::Caller caller{"AKID", "123456789012", "eu-central-1"};

 private:
  NobodyElse nobody_else_;
  std::unique_ptr<routing::Router> router_;
  std::unique_ptr<Handlers> handlers_;
};

}  // namespace broker::handlers::kinesis
