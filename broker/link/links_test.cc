// Two brokers' links over real loopback sockets: they find each other, carry messages and requests,
// and notice when the other is gone.
#include "broker/link/links.h"

#include <gtest/gtest.h>

#include <boost/asio.hpp>

#include "broker/env/posix/posix.h"

namespace broker::link {
namespace {

struct End {
  End(env::AsioExecutor& e, env::Clock& c, int id)
      : links(std::make_unique<Links>(e, c, metadata,
                                      Hello{"test", BrokerId{id}, Uuid::from_random(5, id)},
                                      LinkOptions{})) {}
  cluster::Metadata metadata;
  std::unique_ptr<Links> links;
  std::vector<std::pair<int, bool>> peers;
  int messages = 0;
};

void know(End& end, int id, uint16_t port) {
  cluster::v1::MetadataUpdate update;
  auto* broker = update.add_brokers();
  broker->set_id(id);
  broker->mutable_replication()->set_host("127.0.0.1");
  broker->mutable_replication()->set_port(port);
  end.metadata.apply(update);
}

// Versions are to follow one another in a running cluster.
TEST(Hello, OfALaterVersionIsUnderstood) {
  const Hello hello{"test", BrokerId{7}, Uuid::from_random(5, 7)};
  std::string body = encode_hello(hello);
  EXPECT_EQ(decode_hello(body + "more").code(), Code::kCorruption);
  body[0]++;
  auto later = decode_hello(body + "more");
  ASSERT_TRUE(later.ok()) << later.status().to_string();
  EXPECT_EQ(later->broker, hello.broker);
  EXPECT_EQ(later->cluster, hello.cluster);
  body[0] = 0;
  EXPECT_EQ(decode_hello(body).code(), Code::kUnsupported);
  EXPECT_EQ(decode_hello(std::string_view(body).substr(0, 10)).code(), Code::kCorruption);
}

TEST(Links, FindEachOtherCarryAndNoticeDeath) {
  env::AsioExecutor executor;
  env::PosixClock clock;
  End a(executor, clock, 1), b(executor, clock, 2);
  std::string answered;
  bool b_gone = false;
  ASSERT_TRUE(a.links->listen().ok());
  ASSERT_TRUE(b.links->listen().ok());
  a.links->start({[&](BrokerId from, const ShardId&, replication::Message) {
                    EXPECT_EQ(from, BrokerId{2});
                    a.messages++;
                  },
                  [&](const replication::Member& m, bool up) {
                    a.peers.emplace_back(m.broker.value, up);
                    if (!up && b_gone) executor.stop();
                  },
                  [&](const Buffer& request, auto reply) {
                    reply("re:" + std::string(request.view()), {Buffer::copy_of("!")});
                  }});
  b.links->start({[&](BrokerId, const ShardId&, replication::Message) { b.messages++; },
                  [&](const replication::Member& m, bool up) {
                    b.peers.emplace_back(m.broker.value, up);
                    if (!up) return;
                    replication::AppendReply message{Term{1}, 2, Offset{3}, true, false};
                    for (int i = 0; i < 3; i++) {
                      b.links->send(BrokerId{1}, {Uuid::from_random(1, 1), 0}, message);
                    }
                    b.links->request(BrokerId{1}, "ping", {}, [&](Result<Buffer> reply) {
                      if (!reply.ok()) return;
                      answered = std::string(reply->view());
                      b_gone = true;
                      executor.post([&] { b.links.reset(); });
                    });
                  },
                  [](const Buffer&, auto) {}});
  know(b, 1, a.links->port());
  executor.schedule_after(10'000, [&] { executor.stop(); });
  executor.run();
  EXPECT_EQ(answered, "re:ping!");
  EXPECT_EQ(a.messages, 3);
  ASSERT_FALSE(a.peers.empty());
  EXPECT_EQ(a.peers.front(), (std::pair<int, bool>(2, true)));
  EXPECT_EQ(a.peers.back(), (std::pair<int, bool>(2, false)));
}

// A clock that the test moves.
struct HandClock : env::Clock {
  int64_t mono_ms() const override { return now_ms; }
  int64_t mono_us() const override { return now_ms * 1000; }
  int64_t wall_ms() const override { return now_ms; }
  int64_t now_ms = 1000;
};

// A broker (1) whose peer (2) is a bare socket, which reads when the test says so.
class BarePeer : public testing::Test {
 protected:
  using tcp = boost::asio::ip::tcp;
  static constexpr BrokerId kPeer{2};
  static constexpr size_t kRequest = 64 << 10;

  void SetUp() override {
    options.heartbeat_ms = 5;
    options.silent_ms = INT64_MAX / 2;  // the peer's heartbeats do not matter here
    options.stuck_ms = 1000;
    options.requests_bytes_max = 16 << 20;
    links = std::make_unique<Links>(executor, clock, metadata,
                                    Hello{"test", BrokerId{1}, Uuid::from_random(5, 1)}, options);
    acceptor = std::make_unique<tcp::acceptor>(
        executor.context(), tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    ASSERT_TRUE(links->listen().ok());
    acceptor->async_accept([this](boost::system::error_code error, tcp::socket socket) {
      ASSERT_FALSE(error);
      peer = std::make_unique<tcp::socket>(std::move(socket));
      std::string hello = encode_hello({"test", kPeer, Uuid::from_random(5, 2)}), frame;
      ByteWriter out(frame);
      out.u32(static_cast<uint32_t>(1 + hello.size()));
      out.u8(static_cast<uint8_t>(FrameKind::kHello));
      boost::asio::write(*peer, boost::asio::buffer(frame + hello));
    });
    links->start({[](BrokerId, const ShardId&, replication::Message) {},
                  [this](const replication::Member&, bool is_up) { up = is_up; },
                  [](const Buffer&, auto) {}});
    cluster::v1::MetadataUpdate update;
    auto* broker = update.add_brokers();
    broker->set_id(kPeer.value);
    broker->mutable_replication()->set_host("127.0.0.1");
    broker->mutable_replication()->set_port(acceptor->local_endpoint().port());
    metadata.apply(update);
    ASSERT_TRUE(run_until([this] { return up; }));
  }
  void TearDown() override {
    links.reset();
    executor.context().poll();
  }

  // Runs the reactor until `condition` holds; false after half a minute.
  bool run_until(const std::function<bool()>& condition) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    executor.context().restart();
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      executor.context().run_one_for(std::chrono::milliseconds(10));
    }
    return true;
  }
  // Queues requests until the link takes no more; how many bytes that were.
  size_t fill() {
    const std::string body(kRequest, 'x');
    size_t sent = 0;
    while (!refused && sent < options.requests_bytes_max * 4) {
      sent += kRequest;
      links->request(kPeer, "", {Buffer::copy_of(body)}, [this](Result<Buffer> reply) {
        refused = refused || reply.code() == Code::kUnavailable;
      });
    }
    return sent;
  }
  void read_some() {
    std::vector<char> bytes(256 << 10);
    boost::system::error_code error;
    peer->non_blocking(true);
    peer->read_some(boost::asio::buffer(bytes), error);
  }

  env::AsioExecutor executor;
  HandClock clock;
  cluster::Metadata metadata;
  LinkOptions options;
  std::unique_ptr<Links> links;
  std::unique_ptr<tcp::acceptor> acceptor;
  std::unique_ptr<tcp::socket> peer;
  bool up = false, refused = false;
};

TEST_F(BarePeer, WhatIsQueuedForASlowPeerDoesNotEndItsConnection) {
  fill();
  EXPECT_TRUE(refused) << "requests above the bound are refused, not queued";
  EXPECT_TRUE(up);
  // It reads, slowly: much longer than a peer may stand still.
  for (int i = 0; i < 3; i++) {
    const size_t before = links->queued_bytes(kPeer);
    ASSERT_GT(before, 0u);
    ASSERT_TRUE(run_until([&] {
      read_some();
      return links->queued_bytes(kPeer) < before || !up;
    }));
    clock.now_ms += options.stuck_ms * 9 / 10;
    bool beaten = false;
    executor.schedule_after(4 * options.heartbeat_ms, [&] { beaten = true; });
    ASSERT_TRUE(run_until([&] { return beaten; }));
    EXPECT_TRUE(up) << i;
  }
}

TEST_F(BarePeer, APeerThatTakesNothingIsGivenUp) {
  fill();
  ASSERT_TRUE(run_until([&] {
    clock.now_ms += 10;
    return !up;
  }));
  EXPECT_EQ(links->queued_bytes(kPeer), 0u) << "nothing is kept for it";
}

// A broker that stops closes its log after its links: heartbeats and replicas asked for links that were
// gone (a crash in one of twenty stops).
TEST_F(BarePeer, AfterAStopItAnswersAndSendsNothing) {
  fill();
  ASSERT_TRUE(up);
  links->stop();
  EXPECT_TRUE(run_until([&] { return links->heard().empty(); }));
  EXPECT_EQ(links->queued_bytes(kPeer), 0u);
  links->send(kPeer, {Uuid::from_random(1, 1), 0}, replication::AppendReply{});
  Status answer;
  links->request(kPeer, "late", {}, [&](Result<Buffer> reply) { answer = reply.status(); });
  EXPECT_EQ(answer.code(), Code::kUnavailable);
}

}  // namespace
}  // namespace broker::link
