#pragma once
// One whole broker without sockets, in virtual time, and the dispatcher with a client's view of it. For
// the handlers' tests.
#include <memory>
#include <string>

#include "broker/handlers/kafka/dispatch.h"
#include "broker/protocol/kafka/messages/all.h"
#include "tests/support/one_broker.h"

namespace broker::handlers::kafka {

class TestBroker : public sim::OneBroker {
 public:
  explicit TestBroker(Options options = {}, const security::Authorizer* authorizer = nullptr);
  ~TestBroker();
  // What waits for a shard is told that there are none any more, as at a broker's end.
  void end_shards() { partitions_->end(); }
  // Nothing of what is stored is in memory any more, neither here nor in the system's cache.
  void leave_only_on_disk() {
    world.run_for_us(1'000'000);
    store_->trim_cache(0);
    disk_.set_cold(100);
  }

  // Sends a request; its answer is decoded when it comes.
  template <class Response>
  struct Pending {
    bool answered = false, closed = false;
    Response response;
  };
  template <class Response, class Request>
  std::shared_ptr<Pending<Response>> send(int16_t version, const Request& request) {
    auto pending = std::make_shared<Pending<Response>>();
    auto exchange = std::make_shared<Exchange>();
    wire::RequestHeader header{Request::kApiKey, version, 42, "test", {}};
    exchange->frame = Buffer::from_string(wire::encode_request(header, request).substr(4));
    if (client) exchange->client = client;
    exchange->close = [pending] { pending->closed = true; };
    exchange->reply = [pending, version](std::vector<Buffer> pieces) {
      ASSERT_FALSE(pending->answered);
      pending->answered = true;
      if (pieces.empty()) return;
      Buffer frame = Buffer::from_string(wire::Records{std::move(pieces)}.flatten().substr(4));
      wire::Reader in(frame);
      EXPECT_EQ(in.i32(), 42);
      wire::UnknownTags tags;
      if (wire::response_header_version(Response::kApiKey, version) == 1) in.unknown_tags(tags);
      decode_fields(in, version, pending->response);
      EXPECT_TRUE(in.ok() && in.remaining() == 0);
    };
    dispatcher_->dispatch(std::move(exchange));
    return pending;
  }
  // The same, and waits for the answer.
  template <class Response, class Request>
  Response call(int16_t version, const Request& request) {
    auto pending = send<Response>(version, request);
    EXPECT_TRUE(world.run_until([&] { return pending->answered || pending->closed; }, 60'000'000));
    EXPECT_TRUE(pending->answered);
    return pending->response;
  }
  // A frame as it is; what becomes of it is nobody's business.
  void send_raw(std::string frame) {
    auto exchange = std::make_shared<Exchange>();
    exchange->frame = Buffer::from_string(std::move(frame));
    exchange->client = std::make_shared<Client>();  // what it does to its connection is its own
    exchange->reply = [](std::vector<Buffer>) {};
    exchange->close = [] {};
    dispatcher_->dispatch(std::move(exchange));
  }
  void create_stream(const std::string& name, v1::StreamMode mode, int32_t partitions);

  // Answers in the coordinator's place what it takes (true); null: the coordinator does.
  std::function<bool(const v1::AdminRequest&, const AdminDone&)> take_admin;
  std::optional<int64_t> catch_up_limit;  // bytes/s, as clients have asked for
  std::shared_ptr<Client> client;  // whose requests are sent; null: anonymous ones

 private:
  std::unique_ptr<Dispatcher> dispatcher_;
};

}  // namespace broker::handlers::kafka
