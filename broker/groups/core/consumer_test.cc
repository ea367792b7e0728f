// Goal: consumer groups (KIP-848) reconcile step by step: what a member must give up it gives up
// before another gets it; epochs fence who is behind; static members, patterns, elastic streams and
// the way between the two protocols work.
#include "broker/groups/core/reconcile.h"
#include "broker/groups/core/test_machine.h"

namespace broker::groups {
namespace {

using E = GroupError;

Assignment parts(const Topic& topic, std::set<int32_t> partitions) {
  return {{topic.id, std::move(partitions)}};
}

TEST(Consumer, OneMemberGetsEverything) {
  TestMachine t;
  Topic topic = t.topics.add("t", 4);
  auto joined = t.beat(t.first("a", {"t"}));
  EXPECT_EQ(joined.error, E::kNone);
  EXPECT_EQ(joined.member, "a");
  EXPECT_EQ(joined.epoch, 1);
  EXPECT_EQ(joined.heartbeat_ms, 5'000);
  ASSERT_TRUE(joined.assignment);
  EXPECT_EQ(*joined.assignment, parts(topic, {0, 1, 2, 3}));
  EXPECT_EQ(t.state(), "Stable");
  auto again = t.beat("a", 1);
  EXPECT_EQ(again.epoch, 1);
  EXPECT_FALSE(again.assignment);  // nothing new
}

TEST(Consumer, PartitionsAreRevokedBeforeTheyAreGiven) {
  TestMachine t;
  Topic topic = t.topics.add("t", 4);
  t.beat(t.first("a", {"t"}));
  auto b = t.beat(t.first("b", {"t"}));
  EXPECT_EQ(b.epoch, 2);
  EXPECT_TRUE(b.assignment && count(*b.assignment) == 0);
  EXPECT_EQ(t.state(), "Reconciling");
  // a hears what it keeps, and stays in its epoch until it says that the rest is given up.
  auto a = t.beat("a", 1);
  EXPECT_EQ(a.epoch, 1);
  ASSERT_TRUE(a.assignment);
  EXPECT_EQ(count(*a.assignment), 2u);
  Assignment kept = *a.assignment;
  EXPECT_FALSE(t.beat("b", 2).assignment);  // still with a
  EXPECT_EQ(t.beat("a", 1, parts(topic, {0, 1, 2, 3})).epoch, 1);
  a = t.beat("a", 1, kept);
  EXPECT_EQ(a.epoch, 2);
  b = t.beat("b", 2);
  ASSERT_TRUE(b.assignment);
  EXPECT_EQ(count(*b.assignment), 2u);
  for (int32_t p = 0; p < 4; ++p) {
    EXPECT_NE(contains(kept, topic.id, p), contains(*b.assignment, topic.id, p));
  }
  EXPECT_EQ(t.state(), "Stable");
}

TEST(Consumer, AMemberThatDoesNotRevokeInTimeIsFenced) {
  TestMachine t;
  Topic topic = t.topics.add("t", 2);
  t.beat(t.first("a", {"t"}));
  t.beat(t.first("b", {"t"}));
  t.beat("a", 1);
  for (int i = 0; i < 13; ++i) {
    t.beat("a", 1, parts(topic, {0, 1}));
    t.beat("b", 2);
    t.pass(5'000);
  }
  EXPECT_EQ(t.beat("a", 1).error, E::kUnknownMemberId);
  auto b = t.beat("b", 2);
  EXPECT_EQ(count(t.machine->describe_consumer("g").members.at(0).assigned), 2u);
}

TEST(Consumer, LeavingAndSilenceFreePartitions) {
  TestMachine t;
  t.topics.add("t", 2);
  t.beat(t.first("a", {"t"}));
  t.beat(t.first("b", {"t"}));
  auto left = t.beat("a", -1);
  EXPECT_EQ(left.error, E::kNone);
  EXPECT_EQ(left.epoch, -1);
  auto b = t.beat("b", 2);
  EXPECT_EQ(b.epoch, 3);
  EXPECT_EQ(count(*b.assignment), 2u);
  t.pass(45'001);
  EXPECT_EQ(t.state(), "Empty");
  EXPECT_EQ(t.beat("b", 3).error, E::kUnknownMemberId);
}

TEST(Consumer, EpochsFence) {
  TestMachine t;
  Topic topic = t.topics.add("t", 2);
  EXPECT_EQ(t.beat("a", 5).error, E::kGroupIdNotFound);
  t.beat(t.first("a", {"t"}));
  EXPECT_EQ(t.beat("b", 1).error, E::kUnknownMemberId);
  EXPECT_EQ(t.beat("a", 2).error, E::kFencedMemberEpoch);
  t.beat(t.first("b", {"t"}));
  auto a = t.beat("a", 1);
  a = t.beat("a", 1, *a.assignment);
  ASSERT_EQ(a.epoch, 2);
  // The answer with the new epoch was lost: accepted with no more than what is assigned.
  EXPECT_EQ(t.beat("a", 1, parts(topic, {0, 1})).error, E::kFencedMemberEpoch);
  EXPECT_EQ(t.beat("a", 1).error, E::kFencedMemberEpoch);
  EXPECT_EQ(t.beat("a", 1, Assignment{}).epoch, 2);
  // Having given everything up it begins anew.
  auto again = t.beat(t.first("a", {"t"}));
  EXPECT_EQ(again.error, E::kNone);
  EXPECT_EQ(count(*again.assignment), 1u);
}

TEST(Consumer, RequestsThatAreRefused) {
  TestMachine t;
  t.topics.add("t", 1);
  auto expect = [&](E error, auto change) {
    auto r = t.first("a", {"t"});
    change(r);
    auto result = t.beat(r);
    EXPECT_EQ(result.error, error) << result.message;
    EXPECT_EQ(result.message.empty(), error == E::kNone);
  };
  expect(E::kInvalidRequest, [](auto& r) { r.group = ""; });
  expect(E::kInvalidRequest, [](auto& r) { r.epoch = -3; });
  expect(E::kInvalidRequest, [](auto& r) { r.member = "", r.client_makes_id = true; });
  expect(E::kInvalidRequest, [](auto& r) { r.member = "", r.epoch = 1; });
  expect(E::kInvalidRequest, [](auto& r) { r.instance = ""; });
  expect(E::kInvalidRequest, [](auto& r) { r.rack = ""; });
  expect(E::kInvalidRequest, [](auto& r) { r.epoch = -2; });
  expect(E::kInvalidRequest, [](auto& r) { r.rebalance_timeout_ms = -1; });
  expect(E::kInvalidRequest, [](auto& r) { r.owned.reset(); });
  expect(E::kInvalidRequest, [](auto& r) { r.owned->emplace(Uuid{}, std::set<int32_t>{1}); });
  expect(E::kInvalidRequest, [](auto& r) { r.names.reset(); });
  expect(E::kUnsupportedAssignor, [](auto& r) { r.assignor = "sticky"; });
  expect(E::kInvalidRegularExpression, [](auto& r) { r.regex = "("; });
  EXPECT_EQ(t.state(), "");
  expect(E::kNone, [](auto& r) { r.assignor = "range"; });
  auto made = t.first("", {"t"});
  EXPECT_FALSE(t.beat(made).member.empty());  // version 0: the coordinator makes the id
}

TEST(Consumer, AFullGroupTakesNobody) {
  Settings settings;
  settings.group_size_max = 1;
  TestMachine t(settings);
  t.topics.add("t", 1);
  t.beat(t.first("a", {"t"}));
  EXPECT_EQ(t.beat(t.first("b", {"t"})).error, E::kGroupMaxSizeReached);
}

TEST(Consumer, StaticMembersComeBackToWhatTheyHad) {
  TestMachine t;
  Topic topic = t.topics.add("t", 4);
  auto first = t.first("a", {"t"});
  first.instance = "one";
  t.beat(first);
  auto other = t.first("b", {"t"});
  other.instance = "two";
  t.beat(other);
  auto a = t.beat("a", 1);
  Assignment had = *a.assignment;
  t.beat("a", 1, had);
  t.beat("b", 2);
  auto back = t.first("a2", {"t"});
  back.instance = "one";
  EXPECT_EQ(t.beat(back).error, E::kUnreleasedInstanceId);
  ConsumerHeartbeatRequest leave;
  leave.group = "g";
  leave.member = "a";
  leave.epoch = -2;
  leave.instance = "one";
  EXPECT_EQ(t.beat(leave).epoch, -2);
  EXPECT_FALSE(t.beat("b", 2).assignment);  // nobody else gets it meanwhile
  auto returned = t.beat(back);
  EXPECT_EQ(returned.error, E::kNone);
  EXPECT_EQ(returned.epoch, 2);  // no new epoch
  EXPECT_EQ(*returned.assignment, had);
  ConsumerHeartbeatRequest fenced;
  fenced.group = "g";
  fenced.member = "a";
  fenced.epoch = 2;
  fenced.instance = "one";
  EXPECT_EQ(t.beat(fenced).error, E::kUnknownMemberId);
  fenced.member = "b";
  EXPECT_EQ(t.beat(fenced).error, E::kFencedInstanceId);
  leave.member = "a2";
  t.beat(leave);
  t.pass(45'001);
  EXPECT_EQ(t.beat("a2", 2).error, E::kUnknownMemberId);
}

TEST(Consumer, PatternsFollowTheStreamsThereAre) {
  TestMachine t;
  Topic one = t.topics.add("orders-1", 1);
  t.topics.add("other", 1);
  auto r = t.first("a", {});
  r.names.reset();
  r.regex = "orders-.*";
  auto joined = t.beat(r);
  EXPECT_EQ(*joined.assignment, parts(one, {0}));
  Topic two = t.topics.add("orders-2", 1);
  t.machine->on_topics_changed();
  auto next = t.beat("a", joined.epoch);
  EXPECT_GT(next.epoch, joined.epoch);
  EXPECT_EQ(count(*next.assignment), 2u);
  EXPECT_TRUE(contains(*next.assignment, two.id, 0));
}

TEST(Consumer, MorePartitionsAreGivenOut) {
  TestMachine t;
  t.topics.add("t", 1);
  t.beat(t.first("a", {"t"}));
  t.topics.at("t").shards.push_back({1, {}, 0});
  t.machine->on_topics_changed();
  auto more = t.beat("a", 1);
  EXPECT_EQ(more.epoch, 2);
  EXPECT_EQ(count(*more.assignment), 2u);
  t.machine->on_topics_changed();  // something else changed
  EXPECT_EQ(t.beat("a", 2).epoch, 2);
}

// Shard 0 was split into 1 and 2 at offset 10 (the seal is record 9).
TEST(Consumer, ChildrenAreGivenOutWhenTheirParentIsReadToTheEnd) {
  TestMachine t;
  Topic& topic = t.topics.add("e", 1, true);
  auto joined = t.beat(t.first("a", {"e"}));
  EXPECT_EQ(*joined.assignment, parts(topic, {0}));
  topic.shards = {{0, {}, 10}, {1, {0}, 0}, {2, {0}, 0}};
  t.machine->on_topics_changed();
  EXPECT_FALSE(t.beat("a", 1).assignment);
  CommitRequest commit = t.commit_request("e", 0, 8);
  commit.member = "a";
  commit.generation = 1;
  EXPECT_EQ(t.commit(commit), E::kNone);
  EXPECT_FALSE(t.beat("a", 1).assignment);
  commit.items[0].offset = 9;  // the last record's offset plus one: before the seal
  t.commit(commit);
  auto next = t.beat("a", 1, parts(topic, {0}));
  ASSERT_TRUE(next.assignment);  // the parent is given up first
  EXPECT_EQ(count(*next.assignment), 0u);
  next = t.beat("a", 1, Assignment{});
  ASSERT_TRUE(next.assignment);
  EXPECT_EQ(*next.assignment, parts(topic, {1, 2}));
  EXPECT_EQ(next.epoch, 2);
  // Set back by an administrator: the parent is to be read again, before its children.
  t.beat("a", -1);
  CommitRequest reset = t.commit_request("e", 0, 0);
  t.commit(reset);
  auto again = t.beat(t.first("b", {"e"}));
  EXPECT_EQ(*again.assignment, parts(topic, {0}));
}

TEST(Consumer, AChildOfAnEmptyOrForgottenParentIsGivenOutAtOnce) {
  TestMachine t;
  Topic& topic = t.topics.add("e", 1, true);
  topic.shards = {{0, {}, 1}, {2, {0}, 0}, {3, {1}, 0}};  // 1 has been dropped by retention
  auto joined = t.beat(t.first("a", {"e"}));
  EXPECT_EQ(*joined.assignment, parts(topic, {2, 3}));
}

TEST(Consumer, OffsetsNeedTheMembersEpoch) {
  TestMachine t;
  t.topics.add("t", 1);
  t.beat(t.first("a", {"t"}));
  CommitRequest r = t.commit_request("t", 0, 3);
  EXPECT_EQ(t.commit(r), E::kUnknownMemberId);
  r.member = "a";
  r.generation = 2;
  EXPECT_EQ(t.commit(r), E::kStaleMemberEpoch);
  r.generation = 1;
  r.version = 8;
  EXPECT_EQ(t.commit(r), E::kUnsupportedVersion);
  r.version = 9;
  EXPECT_EQ(t.commit(r), E::kNone);
  auto fetch = [&](std::optional<std::string> member, int32_t epoch) {
    FetchOffsetsRequest f{"g", member, epoch, {}};
    return t.ask<FetchOffsetsResult>(
                [&](auto reply, Effects& fx) { t.machine->fetch(f, reply, fx); })
        ->error;
  };
  EXPECT_EQ(fetch("a", 1), E::kNone);
  EXPECT_EQ(fetch("a", 0), E::kStaleMemberEpoch);
  EXPECT_EQ(fetch("b", 1), E::kUnknownMemberId);
  EXPECT_EQ(fetch({}, -1), E::kNone);
}

TEST(Consumer, ATakenOverGroupGoesOnWhereItWas) {
  TestMachine t;
  Topic topic = t.topics.add("t", 4);
  t.beat(t.first("a", {"t"}));
  t.beat(t.first("b", {"t"}));
  auto a = t.beat("a", 1);  // must revoke two
  t.fail_over();
  EXPECT_EQ(t.beat("a", 1, parts(topic, {0, 1, 2, 3})).epoch, 1);
  EXPECT_EQ(t.beat("a", 1, *a.assignment).epoch, 2);
  t.fail_over();
  auto b = t.beat("b", 2);
  EXPECT_EQ(count(*b.assignment), 2u);
  EXPECT_EQ(t.state(), "Stable");
}

TEST(Consumer, RangeGivesContiguousPieces) {
  TestMachine t;
  Topic topic = t.topics.add("t", 5);
  auto a = t.first("a", {"t"}), b = t.first("b", {"t"});
  a.assignor = b.assignor = "range";
  t.beat(a);
  t.beat(b);
  auto described = t.machine->describe_consumer("g");
  EXPECT_EQ(described.protocol, "range");
  EXPECT_EQ(described.members.at(0).target, parts(topic, {0, 1, 2}));
  EXPECT_EQ(described.members.at(1).target, parts(topic, {3, 4}));
}

// --- Between the protocols -----------------------------------------------------------------------

JoinRequest classic_join(TestMachine& t, const std::string& member, NamedAssignment owned = {}) {
  JoinRequest r = t.join_request(member);
  r.protocols = {{"range", subscription({"t"}, owned)}};
  return r;
}

TEST(Migration, AClassicGroupIsTakenOverAndGivenBack) {
  TestMachine t;
  Topic topic = t.topics.add("t", 4);
  auto joined = t.join(classic_join(t, ""));
  t.pass(3'001);
  std::string old = joined->member;
  t.sync(old, 1, {{old, encode_assignment(1, {{"t", {0, 1, 2, 3}}})}});
  auto fresh = t.beat(t.first("new", {"t"}));
  EXPECT_EQ(fresh.error, E::kNone);
  EXPECT_EQ(t.machine->describe_classic("g").error, E::kGroupIdNotFound);
  EXPECT_EQ(count(*fresh.assignment), 0u);  // the classic member has everything still
  EXPECT_EQ(t.heartbeat(old, 1), E::kRebalanceInProgress);
  // It joins with what it owns, learns what it keeps, and joins again without the rest.
  auto rejoined = t.join(classic_join(t, old, {{"t", {0, 1, 2, 3}}}));
  ASSERT_EQ(rejoined->error, E::kNone);
  auto synced = t.sync(old, rejoined->generation);
  auto kept = parse_assignment(synced->assignment);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ((*kept)["t"].size(), 2u);
  EXPECT_EQ(t.heartbeat(old, rejoined->generation), E::kRebalanceInProgress);
  rejoined = t.join(classic_join(t, old, *kept));
  synced = t.sync(old, rejoined->generation);
  EXPECT_EQ(synced->error, E::kNone);
  EXPECT_EQ(t.heartbeat(old, rejoined->generation), E::kNone);
  fresh = t.beat("new", fresh.epoch);
  ASSERT_TRUE(fresh.assignment);
  EXPECT_EQ(count(*fresh.assignment), 2u);
  CommitRequest commit = t.commit_request("t", 0, 7);
  commit.version = 8;
  commit.member = old;
  commit.generation = rejoined->generation;
  EXPECT_EQ(t.commit(commit), E::kNone);
  t.fail_over();
  EXPECT_EQ(t.heartbeat(old, rejoined->generation), E::kNone);
  // The last member of the new protocol leaves: the group is classic again and rebalances.
  t.beat("new", -1);
  EXPECT_EQ(t.state(), "PreparingRebalance");
  EXPECT_EQ(t.committed("t", 0), 7);
  auto alone = t.join(classic_join(t, old));
  ASSERT_TRUE(alone.came());
  EXPECT_EQ(alone->error, E::kNone);
  EXPECT_GT(alone->generation, rejoined->generation);
}

TEST(Migration, ANewClassicMemberJoinsAConsumerGroup) {
  TestMachine t;
  t.topics.add("t", 2);
  t.beat(t.first("new", {"t"}));
  JoinRequest r = classic_join(t, "");
  r.require_known_member = true;
  auto told = t.join(r);
  EXPECT_EQ(told->error, E::kMemberIdRequired);
  r.member = told->member;
  auto joined = t.join(r);
  ASSERT_TRUE(joined.came());  // at once: nobody has to meet
  EXPECT_EQ(joined->error, E::kNone);
  EXPECT_EQ(joined->leader, "");
  EXPECT_EQ(joined->protocol_name, "range");
  EXPECT_EQ(t.sync(joined->member, joined->generation)->error, E::kNone);
  EXPECT_EQ(t.sync(joined->member, joined->generation + 1)->error, E::kIllegalGeneration);
  auto described = t.machine->describe_consumer("g");
  EXPECT_EQ(described.members.size(), 2u);
  auto left = t.leave({{joined->member, {}}, {"nobody", {}}});
  EXPECT_EQ(left.members.at(0).error, E::kNone);
  EXPECT_EQ(left.members.at(1).error, E::kUnknownMemberId);
  EXPECT_EQ(t.machine->describe_consumer("g").members.size(), 1u);
}

TEST(Migration, OtherProtocolTypesAreLeftAlone) {
  TestMachine t;
  t.topics.add("t", 1);
  JoinRequest r = t.join_request();
  r.protocol_type = "connect";
  t.join(r);
  EXPECT_EQ(t.beat(t.first("new", {"t"})).error, E::kGroupIdNotFound);
  t.beat([&] {
    auto first = t.first("new", {"t"});
    first.group = "h";
    return first;
  }());
  JoinRequest connect = t.join_request("", "h");
  connect.protocol_type = "connect";
  EXPECT_EQ(t.join(connect)->error, E::kInconsistentGroupProtocol);
}

TEST(Migration, AnEmptyGroupChangesItsProtocolFreely) {
  TestMachine t;
  t.topics.add("t", 1);
  auto ids = t.stable(1);
  t.leave({{ids[0], {}}});
  auto joined = t.beat(t.first("a", {"t"}));
  EXPECT_EQ(joined.error, E::kNone);
  t.beat("a", -1);
  EXPECT_EQ(t.state(), "Empty");
  auto classic = t.join(t.join_request());
  t.pass(3'001);
  EXPECT_EQ(classic->error, E::kNone);
}

TEST(Migration, CanBeSwitchedOff) {
  Settings settings;
  settings.upgrade = false;
  TestMachine t(settings);
  t.topics.add("t", 1);
  t.stable(1);
  EXPECT_EQ(t.beat(t.first("a", {"t"})).error, E::kGroupIdNotFound);
}

}  // namespace
}  // namespace broker::groups
