// Goal: offsets are committed by whom they may, kept, deleted and expired as Kafka does.
#include "broker/groups/core/test_machine.h"

namespace broker::groups {
namespace {

using E = GroupError;
constexpr int64_t kDayMs = 24 * 3'600'000;

TEST(Offsets, AConsumerWithoutAGroupCommits) {
  TestMachine t;
  t.topics.add("t", 2);
  EXPECT_EQ(t.committed("t", 0), -1);
  EXPECT_EQ(t.commit(t.commit_request("t", 0, 42)), E::kNone);
  EXPECT_EQ(t.committed("t", 0), 42);
  EXPECT_EQ(t.committed("t", 1), -1);
  EXPECT_EQ(t.state(), "Empty");
  t.fail_over();
  EXPECT_EQ(t.committed("t", 0), 42);
  EXPECT_EQ(t.state(), "Empty");
}

TEST(Offsets, WhoMayCommit) {
  TestMachine t;
  t.topics.add("t", 1);
  CommitRequest r = t.commit_request("t", 0, 1);
  r.generation = 1;
  r.member = "m";
  EXPECT_EQ(t.commit(r), E::kGroupIdNotFound);
  r.version = 8;
  EXPECT_EQ(t.commit(r), E::kIllegalGeneration);
  auto ids = t.stable(1, {"one"});
  EXPECT_EQ(t.commit(r), E::kUnknownMemberId);
  r.member = ids[0];
  EXPECT_EQ(t.commit(r), E::kNone);
  r.generation = 0;
  EXPECT_EQ(t.commit(r), E::kIllegalGeneration);
  r.generation = 1;
  r.instance = "nobody";
  EXPECT_EQ(t.commit(r), E::kUnknownMemberId);
  r.instance = "one";
  EXPECT_EQ(t.commit(r), E::kNone);
  CommitRequest anonymous = t.commit_request("t", 0, 9);
  EXPECT_EQ(t.commit(anonymous), E::kUnknownMemberId);  // the group has members
  auto back = t.join([&] {
    auto join = t.join_request(ids[0]);
    join.instance = "one";
    return join;
  }());
  ASSERT_EQ(back->generation, 2);
  r.generation = 2;
  EXPECT_EQ(t.commit(r), E::kRebalanceInProgress);  // the leader has not assigned yet
  EXPECT_EQ(t.committed("t", 0), 1);
}

TEST(Offsets, ACommitKeepsItsMemberAlive) {
  TestMachine t;
  t.topics.add("t", 1);
  auto ids = t.stable(1);
  CommitRequest r = t.commit_request("t", 0, 1);
  r.generation = 1;
  r.member = ids[0];
  for (int i = 0; i < 4; ++i) {
    t.pass(8'000);
    EXPECT_EQ(t.commit(r), E::kNone);
  }
}

TEST(Offsets, MetadataHasALimit) {
  TestMachine t;
  t.topics.add("t", 1);
  CommitRequest r = t.commit_request("t", 0, 1);
  r.items[0].metadata = std::string(4'097, 'x');
  EXPECT_EQ(t.commit(r), E::kOffsetMetadataTooLarge);
  EXPECT_EQ(t.committed("t", 0), -1);
  r.items[0].metadata.pop_back();
  EXPECT_EQ(t.commit(r), E::kNone);
}

TEST(Offsets, OfASimpleConsumerExpireByTheirCommit) {
  TestMachine t;
  t.topics.add("t", 2);
  t.commit(t.commit_request("t", 0, 1));
  t.now.wall_ms += 4 * kDayMs;
  t.commit(t.commit_request("t", 1, 1));
  t.now.wall_ms += 3 * kDayMs;
  t.step([&](Effects& fx) { t.machine->expire(t.now, fx); });
  EXPECT_EQ(t.committed("t", 0), -1);
  EXPECT_EQ(t.committed("t", 1), 1);
  t.now.wall_ms += 4 * kDayMs;
  t.step([&](Effects& fx) { t.machine->expire(t.now, fx); });
  EXPECT_EQ(t.state(), "");  // nothing of the group is left
  t.fail_over();
  EXPECT_EQ(t.state(), "");
  EXPECT_TRUE(t.machine->snapshot().empty());
}

TEST(Offsets, OfAGroupExpireAfterItIsEmpty) {
  TestMachine t;
  t.topics.add("t", 1);
  t.topics.add("u", 1);
  auto ids = t.stable(1);
  for (const char* topic : {"t", "u"}) {
    CommitRequest r = t.commit_request(topic, 0, 1);
    r.generation = 1;
    r.member = ids[0];
    t.commit(r);
  }
  t.now.wall_ms += 8 * kDayMs;
  t.step([&](Effects& fx) { t.machine->expire(t.now, fx); });
  EXPECT_EQ(t.committed("t", 0), 1);
  EXPECT_EQ(t.committed("u", 0), -1);  // nobody reads it any more
  t.leave({{ids[0], {}}});
  t.now.wall_ms += 6 * kDayMs;
  t.step([&](Effects& fx) { t.machine->expire(t.now, fx); });
  EXPECT_EQ(t.committed("t", 0), 1);
  t.now.wall_ms += kDayMs;
  t.step([&](Effects& fx) { t.machine->expire(t.now, fx); });
  EXPECT_EQ(t.committed("t", 0), -1);
}

TEST(Offsets, AnOldClientsRetentionIsKept) {
  TestMachine t;
  t.topics.add("t", 1);
  CommitRequest r = t.commit_request("t", 0, 1);
  r.version = 3;
  r.retention_ms = 1'000;
  t.commit(r);
  t.now.wall_ms += 1'000;
  t.step([&](Effects& fx) { t.machine->expire(t.now, fx); });
  EXPECT_EQ(t.committed("t", 0), -1);
}

TEST(Offsets, OfADeletedTopicGoWithIt) {
  TestMachine t;
  Uuid id = t.topics.add("t", 1).id;
  t.commit(t.commit_request("t", 0, 1));
  t.topics.remove("t");
  t.step([&](Effects& fx) { t.machine->on_topic_deleted("t", id, fx); });
  EXPECT_EQ(t.committed("t", 0), -1);
  // Deleted and made again while the coordinator was away: found by the id.
  t.topics.add("t", 1);
  t.commit(t.commit_request("t", 0, 1));
  t.topics.add("t", 1);
  t.step([&](Effects& fx) { t.machine->expire(t.now, fx); });
  EXPECT_EQ(t.committed("t", 0), -1);
}

TEST(Offsets, AreDeletedUnlessTheTopicIsRead) {
  TestMachine t;
  t.topics.add("t", 1);
  t.topics.add("u", 1);
  DeleteOffsetsRequest r{"g", {{"t", {0}}, {"u", {0, 7}}}};
  auto ask = [&] {
    return *t.ask<DeleteOffsetsResult>(
        [&](auto reply, Effects& fx) { t.machine->delete_offsets(r, reply, fx); });
  };
  EXPECT_EQ(ask().error, E::kGroupIdNotFound);
  auto ids = t.stable(1);
  for (const char* topic : {"t", "u"}) {
    CommitRequest commit = t.commit_request(topic, 0, 1);
    commit.generation = 1;
    commit.member = ids[0];
    t.commit(commit);
  }
  auto result = ask();
  EXPECT_EQ(result.topics.at("t"), E::kGroupSubscribedToTopic);
  EXPECT_EQ(result.topics.at("u"), E::kNone);
  EXPECT_EQ(t.committed("t", 0), 1);
  EXPECT_EQ(t.committed("u", 0), -1);
}

TEST(Offsets, AGroupIsDeletedWithItsOffsetsWhenEmpty) {
  TestMachine t;
  t.topics.add("t", 1);
  auto drop = [&](const std::string& group) {
    return t.ask<DeleteGroupResult>([&](auto reply, Effects& fx) {
              t.machine->delete_group(group, reply, fx);
            })->error;
  };
  EXPECT_EQ(drop("g"), E::kGroupIdNotFound);
  EXPECT_EQ(drop(""), E::kInvalidGroupId);
  auto ids = t.stable(1);
  EXPECT_EQ(drop("g"), E::kNonEmptyGroup);
  t.leave({{ids[0], {}}});
  t.commit(t.commit_request("t", 0, 5));
  EXPECT_EQ(drop("g"), E::kNone);
  EXPECT_EQ(t.committed("t", 0), -1);
  EXPECT_TRUE(t.machine->snapshot().empty());
  t.fail_over();
  EXPECT_EQ(t.state(), "");
}

}  // namespace
}  // namespace broker::groups
