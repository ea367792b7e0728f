// Goal: the front door over real sockets. Answers come in order, unknown versions and malformed
// frames get the protocol's answer and hurt nobody else, connections that say nothing are closed,
// and a drain answers what is in flight. There are no streams here: partitions are tested with
// them.
#include "broker/server/kafka/listener.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "broker/env/posix/posix.h"
#include "broker/protocol/kafka/messages/all.h"

namespace broker::server::kafka {
namespace {

namespace wire = ::broker::protocol::kafka;
using handlers::kafka::Services;

// A blocking client.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  bool has_bytes() const {
    char byte;
    return ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }
  // A response without its length; nothing when the connection has ended.
  std::optional<std::string> receive() {
    std::string length;
    if (!read(length, 4)) return std::nullopt;
    std::string frame;
    if (!read(frame, static_cast<size_t>(load_be<int32_t>(length.data())))) return std::nullopt;
    return frame;
  }

 private:
  bool read(std::string& into, size_t size) {
    into.resize(size);
    for (size_t at = 0; at < size;) {
      ssize_t got = ::recv(fd_, into.data() + at, size - at, 0);
      if (got <= 0) return false;
      at += static_cast<size_t>(got);
    }
    return true;
  }
  int fd_;
  bool connected_ = false;
};

class ListenerTest : public ::testing::Test {
 protected:
  void serve(ListenerOptions options = {}) {
    options.host = "127.0.0.1";
    options.port = 0;
    Services services{executor_,
                      clock_,
                      random_,
                      metrics_,
                      metadata_,
                      BrokerId{7},
                      [](const ShardId&) { return nullptr; },
                      [this](auto, int64_t, handlers::kafka::AdminDone done) {
                        if (hold_admin_) return held_.push_back(std::move(done));
                        done(Status(Code::kUnavailable, "no coordinator"));
                      }};
    services.quotas = &quotas_;
    dispatcher_ = std::make_unique<handlers::kafka::Dispatcher>(std::move(services));
    listener_ = std::make_unique<Listener>(executor_, clock_, metrics_, *dispatcher_, options);
    ASSERT_TRUE(listener_->start().ok());
    port_ = listener_->port();
    thread_ = std::thread([this] { executor_.run(); });
  }
  void on_reactor(std::function<void()> task) {
    std::promise<void> done;
    executor_.post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    on_reactor([this] { listener_->stop(); });
    executor_.stop();
    thread_.join();
  }

  env::SystemRandom random_;
  Metrics metrics_;
  cluster::Metadata metadata_;
  // Of the connections and their quotas; stands still where a test holds it.
  class HeldClock : public env::Clock {
   public:
    int64_t mono_ms() const override { return held_ms > 0 ? held_ms.load() : real_.mono_ms(); }
    int64_t mono_us() const override { return mono_ms() * 1000; }
    int64_t wall_ms() const override { return real_.wall_ms(); }
    std::atomic<int64_t> held_ms = 0;

   private:
    env::PosixClock real_;
  };
  HeldClock clock_;
  quotas::ClientQuotas quotas_{clock_, metrics_};
  env::AsioExecutor executor_;
  std::unique_ptr<handlers::kafka::Dispatcher> dispatcher_;
  std::unique_ptr<Listener> listener_;
  std::thread thread_;
  uint16_t port_ = 0;
  bool hold_admin_ = false;
  std::vector<handlers::kafka::AdminDone> held_;
};

template <class Request>
std::string request(int32_t correlation_id, int16_t version, const Request& body = {}) {
  wire::RequestHeader header{Request::kApiKey, version, correlation_id, "test", {}};
  return wire::encode_request(header, body);
}

// Decodes a response and checks whose answer it is.
template <class Response>
Response response(const std::optional<std::string>& frame, int32_t correlation_id,
                  int16_t version) {
  Response body;
  EXPECT_TRUE(frame.has_value());
  if (!frame) return body;
  Buffer bytes = Buffer::copy_of(*frame);
  wire::Reader in(bytes);
  EXPECT_EQ(in.i32(), correlation_id);
  wire::UnknownTags tags;
  if (wire::response_header_version(Response::kApiKey, version) == 1) in.unknown_tags(tags);
  decode_fields(in, version, body);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.remaining(), 0u);
  return body;
}

TEST_F(ListenerTest, ApiVersionsInKnownAndUnknownVersions) {
  serve();
  Client client(port_);
  for (int16_t version = 0; version <= 4; ++version) {
    client.send(request(version, version, wire::ApiVersionsRequest{}));
    auto answer = response<wire::ApiVersionsResponse>(client.receive(), version, version);
    EXPECT_EQ(answer.error_code, 0);
    EXPECT_EQ(answer.api_keys.size(), wire::kApis.size());
  }
  client.send(request(99, 4711, wire::ApiVersionsRequest{}));
  auto answer = response<wire::ApiVersionsResponse>(client.receive(), 99, 0);
  EXPECT_EQ(answer.error_code, wire::wire(wire::Error::kUnsupportedVersion));
  EXPECT_FALSE(answer.api_keys.empty());
}

// KIP-219: the answer comes at once and tells the pause; what follows on the connection waits for its
// end, and other connections do not.
TEST_F(ListenerTest, AClientOverItsQuotaIsMuted) {
  sluice::v1::ClientQuotas quotas;
  auto* quota = quotas.add_quotas();
  auto* part = quota->add_entity();
  part->set_type("client-id");
  part->set_name("test");
  (*quota->mutable_values())["producer_byte_rate"] = 100'000;
  quotas_.update(quotas);
  clock_.held_ms = 1'000'000;
  serve();
  Client client(port_), other(port_);
  wire::ProduceRequest produce;
  produce.acks = -1;
  produce.topics.emplace_back().name = "missing";
  produce.topics[0].partitions.emplace_back().records =
      wire::Records{{Buffer::from_string(std::string(1'002'000, 'r'))}};
  client.send(request(1, 9, produce));
  auto told = response<wire::ProduceResponse>(client.receive(), 1, 9);
  EXPECT_GT(told.throttle_time_ms, 0);
  EXPECT_LT(told.throttle_time_ms, 100);
  client.send(request(2, 3, wire::ApiVersionsRequest{}));
  other.send(request(3, 3, wire::ApiVersionsRequest{}));
  response<wire::ApiVersionsResponse>(other.receive(), 3, 3);
  EXPECT_FALSE(client.has_bytes());
  clock_.held_ms = clock_.held_ms + told.throttle_time_ms;
  response<wire::ApiVersionsResponse>(client.receive(), 2, 3);
  EXPECT_NE(metrics_.expose().find("sluice_kafka_connection_mutes_total{listener=\"default\"} 1"),
            std::string::npos);
}

// The first request waits for the coordinator; the second's answer must wait for it.
TEST_F(ListenerTest, PipelinedAnswersKeepTheirOrder) {
  hold_admin_ = true;
  serve();
  Client client(port_);
  wire::InitProducerIdRequest init;
  client.send(request(1, 4, init) + request(2, 9, wire::MetadataRequest{}));
  bool asked = false;
  while (!asked) on_reactor([&] { asked = !held_.empty(); });
  sluice::v1::AdminResponse block;
  block.set_first_producer_id(5000);
  on_reactor([&] { held_.front()(block); });
  auto first = response<wire::InitProducerIdResponse>(client.receive(), 1, 4);
  EXPECT_EQ(first.producer_id, 5000);
  EXPECT_EQ(first.producer_epoch, 0);
  auto second = response<wire::MetadataResponse>(client.receive(), 2, 9);
  EXPECT_EQ(second.controller_id, -1);
}

TEST_F(ListenerTest, BadFramesEndTheirConnectionOnly) {
  serve();
  Client good(port_);
  using namespace std::string_view_literals;
  for (std::string_view bytes :
       {"\x7f\xff\xff\xff"sv,                                       // length above the limit
        "\xff\xff\xff\xff"sv,                                       // negative length
        "\0\0\0\2\0\0"sv,                                           // shorter than a header
        "\0\0\0\x0a\x12\x34\0\0\0\0\0\1\xff\xff"sv,                 // unknown API
        "\0\0\0\x0a\0\3\0\x63\0\0\0\1\xff\xff"sv,                   // unknown Metadata version
        "\0\0\0\x0e\0\3\0\1\0\0\0\1\xff\xff\x7f\xff\xff\xff"sv}) {  // a count that cannot be
    Client bad(port_);
    bad.send(bytes);
    EXPECT_FALSE(bad.receive().has_value());
  }
  good.send(request(1, 0, wire::ApiVersionsRequest{}));
  EXPECT_TRUE(good.receive().has_value());
}

// What was asked before the bad frame is answered.
TEST_F(ListenerTest, AnswersBeforeABadFrameAreSent) {
  serve();
  Client client(port_);
  client.send(request(1, 0, wire::ApiVersionsRequest{}) +
              std::string("\0\0\0\x0a\x12\x34\0\0\0\0\0\1\xff\xff", 14));
  EXPECT_TRUE(client.receive().has_value());
  EXPECT_FALSE(client.receive().has_value());
}

TEST_F(ListenerTest, OldMessageFormatsAreRefusedInTheirOwnVersion) {
  serve();
  wire::ProduceRequest produce;
  produce.acks = 1;
  auto& topic = produce.topics.emplace_back();
  topic.name = "t";
  topic.partitions.emplace_back().records.emplace();
  for (int16_t version = 0; version <= 2; ++version) {
    Client client(port_);
    client.send(request(3, version, produce));
    auto answer = response<wire::ProduceResponse>(client.receive(), 3, version);
    EXPECT_EQ(answer.responses.at(0).partitions.at(0).error_code,
              wire::wire(wire::Error::kUnsupportedVersion));
  }
}

TEST_F(ListenerTest, UnknownTopics) {
  serve();
  Client client(port_);
  wire::MetadataRequest metadata;
  metadata.topics.emplace();
  metadata.topics->emplace_back().name = "missing";
  metadata.topics->emplace_back().name = "not legal!";
  client.send(request(1, 12, metadata));
  auto answer = response<wire::MetadataResponse>(client.receive(), 1, 12);
  EXPECT_EQ(answer.topics.at(0).error_code, wire::wire(wire::Error::kUnknownTopicOrPartition));
  EXPECT_EQ(answer.topics.at(1).error_code, wire::wire(wire::Error::kInvalidTopicException));

  wire::ProduceRequest produce;
  produce.acks = 1;
  auto& topic = produce.topics.emplace_back();
  topic.topic_id = Uuid::from_random(1, 2);
  topic.partitions.emplace_back();
  client.send(request(2, 13, produce));
  auto produced = response<wire::ProduceResponse>(client.receive(), 2, 13);
  EXPECT_EQ(produced.responses.at(0).partitions.at(0).error_code,
            wire::wire(wire::Error::kUnknownTopicId));
  // Without responses, an error ends the connection.
  produce.acks = 0;
  client.send(request(3, 13, produce));
  EXPECT_FALSE(client.receive().has_value());
}

TEST_F(ListenerTest, SilentAndSlowConnectionsAreClosed) {
  serve({.first_request_ms = 100, .idle_close_ms = 300});
  Client silent(port_), slow(port_), idle(port_);
  slow.send(std::string_view("\0\0\0", 3));
  idle.send(request(1, 0, wire::ApiVersionsRequest{}));
  EXPECT_TRUE(idle.receive().has_value());
  EXPECT_FALSE(silent.receive().has_value());
  EXPECT_FALSE(slow.receive().has_value());
  EXPECT_FALSE(idle.receive().has_value());
}

TEST_F(ListenerTest, TooManyConnectionsAreTurnedAway) {
  serve({.connections_max = 1});
  Client first(port_);
  first.send(request(1, 0, wire::ApiVersionsRequest{}));
  EXPECT_TRUE(first.receive().has_value());
  Client second(port_);
  EXPECT_FALSE(second.receive().has_value());
}

// A client that sends without reading: the broker stops reading from it, and all is answered once
// it reads.
TEST_F(ListenerTest, BackPressureLosesNothing) {
  serve({.connection_in_flight_bytes_max = 10'000, .connection_in_flight_requests_max = 4});
  Client client(port_);
  constexpr int kRequests = 2000;
  std::thread sender([&] {
    for (int i = 0; i < kRequests; ++i) client.send(request(i, 0, wire::ApiVersionsRequest{}));
  });
  for (int i = 0; i < kRequests; ++i) {
    response<wire::ApiVersionsResponse>(client.receive(), i, 0);
    if (HasFailure()) break;
  }
  sender.join();
}

TEST_F(ListenerTest, ADrainAnswersWhatIsInFlight) {
  hold_admin_ = true;
  serve();
  Client busy(port_), idle(port_);
  busy.send(request(1, 4, wire::InitProducerIdRequest{}));
  idle.send(request(1, 0, wire::ApiVersionsRequest{}));
  EXPECT_TRUE(idle.receive().has_value());
  bool asked = false;
  while (!asked) on_reactor([&] { asked = !held_.empty(); });
  std::promise<void> drained;
  on_reactor([&] { listener_->drain(10'000, [&] { drained.set_value(); }); });
  EXPECT_FALSE(idle.receive().has_value());
  on_reactor([&] { held_.front()(Status(Code::kUnavailable, "stopping")); });
  auto answer = response<wire::InitProducerIdResponse>(busy.receive(), 1, 4);
  EXPECT_EQ(answer.error_code, wire::wire(wire::Error::kCoordinatorLoadInProgress));
  EXPECT_FALSE(busy.receive().has_value());
  drained.get_future().wait();
  EXPECT_FALSE(Client(port_).connected());
}

}  // namespace
}  // namespace broker::server::kafka
