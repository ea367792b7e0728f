// Two brokers' links over real loopback sockets: they find each other, carry messages and requests,
// and notice when the other is gone.
#include "broker/link/links.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace broker::link
