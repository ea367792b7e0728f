// Goal: the classic protocol answers every situation as Apache Kafka 4 does: joining, leading,
// syncing, time-outs, static members, size limits, and a coordinator that takes over.
#include "broker/groups/core/test_machine.h"

namespace broker::groups {
namespace {

using E = GroupError;

TEST(Classic, AGroupOfOneLivesThroughAllStates) {
  TestMachine t;
  auto joined = t.join(t.join_request());
  EXPECT_FALSE(joined.came());
  EXPECT_EQ(t.state(), "PreparingRebalance");
  t.pass(t.settings.initial_rebalance_delay_ms);
  ASSERT_TRUE(joined.came());
  EXPECT_EQ(joined->error, E::kNone);
  EXPECT_EQ(joined->generation, 1);
  EXPECT_EQ(joined->leader, joined->member);
  EXPECT_EQ(joined->protocol_name, "range");
  ASSERT_EQ(joined->members.size(), 1u);
  EXPECT_EQ(joined->members[0].metadata, subscription({"t"}));
  EXPECT_EQ(t.state(), "CompletingRebalance");
  EXPECT_EQ(t.heartbeat(joined->member, 1), E::kNone);
  auto synced = t.sync(joined->member, 1, {{joined->member, "mine"}});
  EXPECT_EQ(synced->assignment, "mine");
  EXPECT_EQ(t.state(), "Stable");
  EXPECT_EQ(t.leave({{joined->member, {}}}).members.at(0).error, E::kNone);
  EXPECT_EQ(t.state(), "Empty");
}

TEST(Classic, ANewGroupWaitsAgainWhenAMemberCameMeanwhile) {
  TestMachine t;
  auto a = t.join(t.join_request());
  t.pass(t.settings.initial_rebalance_delay_ms - 1);
  auto b = t.join(t.join_request());
  t.pass(t.settings.initial_rebalance_delay_ms);
  EXPECT_FALSE(a.came());
  t.pass(1);
  EXPECT_TRUE(a.came() && b.came());
  EXPECT_EQ(a->generation, 1);
}

TEST(Classic, AMemberThatLeadsAssignsForAll) {
  TestMachine t;
  auto a = t.join(t.join_request()), b = t.join(t.join_request());
  t.pass(6'001);
  ASSERT_TRUE(a.came() && b.came());
  std::string leader = a->leader, other = a->member == leader ? b->member : a->member;
  EXPECT_EQ((a->member == leader ? a : b)->members.size(), 2u);
  EXPECT_TRUE((a->member == leader ? b : a)->members.empty());
  auto waiting = t.sync(other, 1);
  EXPECT_FALSE(waiting.came());
  auto led = t.sync(leader, 1, {{leader, "1"}, {other, "2"}});
  EXPECT_EQ(led->assignment, "1");
  EXPECT_EQ(waiting->assignment, "2");
  // Asked again, the same.
  EXPECT_EQ(t.sync(other, 1)->assignment, "2");
}

TEST(Classic, TheProtocolWithMostVotesOfAllIsChosen) {
  TestMachine t;
  auto with = [&](std::vector<Protocol> protocols) {
    JoinRequest r = t.join_request();
    r.protocols = std::move(protocols);
    return t.join(r);
  };
  auto a = with({{"x", "ax"}, {"y", "ay"}, {"z", "az"}});
  auto b = with({{"y", "by"}, {"z", "bz"}});
  auto c = with({{"z", "cz"}, {"y", "cy"}});
  t.pass(9'001);
  EXPECT_EQ(a->protocol_name, "y");
  auto none = with({{"x", ""}});
  EXPECT_EQ(none->error, E::kInconsistentGroupProtocol);
  JoinRequest connect = t.join_request();
  connect.protocol_type = "connect";
  EXPECT_EQ(t.join(connect)->error, E::kInconsistentGroupProtocol);
  JoinRequest empty = t.join_request("", "other");
  empty.protocols.clear();
  EXPECT_EQ(t.join(empty)->error, E::kInconsistentGroupProtocol);
}

TEST(Classic, RequestsThatAreRefused) {
  TestMachine t;
  EXPECT_EQ(t.join(t.join_request("", ""))->error, E::kInvalidGroupId);
  JoinRequest r = t.join_request();
  r.session_timeout_ms = 5'999;
  EXPECT_EQ(t.join(r)->error, E::kInvalidSessionTimeout);
  r.session_timeout_ms = 1'800'001;
  EXPECT_EQ(t.join(r)->error, E::kInvalidSessionTimeout);
  EXPECT_EQ(t.join(t.join_request("nobody"))->error, E::kUnknownMemberId);
  EXPECT_EQ(t.state(), "");  // none of them made a group
  EXPECT_EQ(t.heartbeat("nobody", 1), E::kUnknownMemberId);
  EXPECT_EQ(t.sync("nobody", 1)->error, E::kUnknownMemberId);
  EXPECT_EQ(t.leave({{"nobody", {}}}).error, E::kUnknownMemberId);
  auto ids = t.stable(2);
  EXPECT_EQ(t.heartbeat("nobody", 1), E::kUnknownMemberId);
  EXPECT_EQ(t.heartbeat(ids[0], 2), E::kIllegalGeneration);
  EXPECT_EQ(t.sync(ids[0], 0)->error, E::kIllegalGeneration);
  SyncRequest other{"g", ids[0], {}, "connect", {}, 1, {}};
  EXPECT_EQ(t.sync(other)->error, E::kInconsistentGroupProtocol);
  other.protocol_type = "consumer";
  other.protocol_name = "roundrobin";
  EXPECT_EQ(t.sync(other)->error, E::kInconsistentGroupProtocol);
  EXPECT_EQ(t.leave({{"nobody", {}}}).members.at(0).error, E::kUnknownMemberId);
  EXPECT_EQ(t.state(), "Stable");
}

TEST(Classic, AMemberMustComeBackWithTheIdItIsGiven) {
  TestMachine t;
  JoinRequest r = t.join_request();
  r.require_known_member = true;
  auto told = t.join(r);
  EXPECT_EQ(told->error, E::kMemberIdRequired);
  EXPECT_FALSE(told->member.empty());
  EXPECT_EQ(told->member.rfind("client-", 0), 0u);
  r.member = told->member;
  auto joined = t.join(r);
  t.pass(6'001);
  ASSERT_TRUE(joined.came());
  EXPECT_EQ(joined->member, told->member);
  // One that never comes back is forgotten with its session.
  r.member.clear();
  auto lost = t.join(r);
  t.pass(10'001);
  r.member = lost->member;
  EXPECT_EQ(t.join(r)->error, E::kUnknownMemberId);
}

TEST(Classic, ARebalanceWaitsForAllMembersAndDropsTheLate) {
  TestMachine t;
  auto ids = t.stable(2);
  auto newcomer = t.join(t.join_request());
  EXPECT_EQ(t.state(), "PreparingRebalance");
  EXPECT_EQ(t.heartbeat(ids[0], 1), E::kRebalanceInProgress);
  EXPECT_EQ(t.sync(ids[0], 1)->error, E::kRebalanceInProgress);
  auto back = t.join(t.join_request(ids[0]));
  // The other one heartbeats, but does not join.
  for (int i = 0; i < 12; ++i) {
    EXPECT_FALSE(newcomer.came());
    t.heartbeat(ids[1], 1);
    t.pass(5'000);
  }
  t.pass(1);
  ASSERT_TRUE(newcomer.came() && back.came());
  EXPECT_EQ(newcomer->generation, 2);
  EXPECT_EQ(back->leader, ids[0]);
  EXPECT_EQ(back->members.size(), 2u);
  EXPECT_EQ(t.heartbeat(ids[1], 1), E::kUnknownMemberId);
}

TEST(Classic, ASilentMemberIsRemoved) {
  TestMachine t;
  auto ids = t.stable(2);
  for (int i = 0; i < 3; ++i) {
    t.pass(4'000);
    t.heartbeat(ids[0], 1);
  }
  EXPECT_EQ(t.state(), "PreparingRebalance");
  EXPECT_EQ(t.heartbeat(ids[1], 1), E::kUnknownMemberId);
  auto joined = t.join(t.join_request(ids[0]));
  ASSERT_TRUE(joined.came());
  EXPECT_EQ(joined->members.size(), 1u);
}

TEST(Classic, AMemberThatWaitsIsNotSilent) {
  TestMachine t;
  auto ids = t.stable(2);
  auto waiting = t.join(t.join_request(ids[0]));  // the leader asks for a rebalance
  for (int i = 0; i < 5; ++i) {
    t.pass(8'000);
    EXPECT_EQ(t.heartbeat(ids[1], 1), E::kRebalanceInProgress);
  }
  EXPECT_FALSE(waiting.came());
  auto other = t.join(t.join_request(ids[1]));
  EXPECT_TRUE(waiting.came() && other.came());
  EXPECT_EQ(waiting->error, E::kNone);
}

TEST(Classic, MembersThatDoNotSyncAreRemoved) {
  TestMachine t;
  auto a = t.join(t.join_request()), b = t.join(t.join_request());
  t.pass(6'001);
  std::string leader = a->leader, other = a->member == leader ? b->member : a->member;
  auto led = t.sync(leader, 1, {});
  EXPECT_EQ(t.state(), "Stable");
  for (int i = 0; i < 13; ++i) {
    t.heartbeat(leader, 1);
    t.heartbeat(other, 1);
    t.pass(5'000);
  }
  EXPECT_EQ(t.state(), "PreparingRebalance");
  EXPECT_EQ(t.heartbeat(other, 1), E::kUnknownMemberId);
}

TEST(Classic, ANewMemberInterruptsTheSyncs) {
  TestMachine t;
  auto a = t.join(t.join_request()), b = t.join(t.join_request());
  t.pass(6'001);
  std::string leader = a->leader, other = a->member == leader ? b->member : a->member;
  auto waiting = t.sync(other, 1);
  t.join(t.join_request());
  EXPECT_EQ(waiting->error, E::kRebalanceInProgress);
  EXPECT_EQ(t.state(), "PreparingRebalance");
}

TEST(Classic, AnswersThatWereLostAreGivenAgain) {
  TestMachine t;
  auto a = t.join(t.join_request()), b = t.join(t.join_request());
  t.pass(6'001);
  std::string leader = a->leader, other = a->member == leader ? b->member : a->member;
  auto again = t.join(t.join_request(leader));
  EXPECT_EQ(again->generation, 1);
  EXPECT_EQ(again->members.size(), 2u);
  t.sync(leader, 1, {});
  t.sync(other, 1);
  auto follower = t.join(t.join_request(other));
  EXPECT_EQ(follower->generation, 1);
  EXPECT_EQ(t.state(), "Stable");
  JoinRequest changed = t.join_request(other);
  changed.protocols[0].metadata = subscription({"t", "u"});
  EXPECT_FALSE(t.join(changed).came());
  EXPECT_EQ(t.state(), "PreparingRebalance");
}

TEST(Classic, AStaticMemberRestartsWithoutARebalance) {
  TestMachine t;
  auto ids = t.stable(2, {"one", "two"});
  JoinRequest r = t.join_request();
  r.instance = ids[0] == "" ? "" : (t.machine->describe_classic("g").members[0].instance);
  std::string old_id = t.machine->describe_classic("g").members[0].member;
  auto back = t.join(r);
  ASSERT_TRUE(back.came());
  EXPECT_EQ(back->error, E::kNone);
  EXPECT_EQ(back->generation, 1);
  EXPECT_NE(back->member, old_id);
  EXPECT_TRUE(back->members.empty());
  EXPECT_EQ(t.state(), "Stable");
  EXPECT_EQ(t.sync(back->member, 1)->error, E::kNone);
  EXPECT_EQ(t.heartbeat(old_id, 1, r.instance), E::kFencedInstanceId);
  EXPECT_EQ(t.heartbeat(old_id, 1), E::kUnknownMemberId);
  EXPECT_EQ(t.heartbeat(back->member, 1, r.instance), E::kNone);
  EXPECT_EQ(t.heartbeat(back->member, 1, "nobody"), E::kUnknownMemberId);
  JoinRequest fenced = t.join_request(old_id);
  fenced.instance = r.instance;
  EXPECT_EQ(t.join(fenced)->error, E::kFencedInstanceId);
}

TEST(Classic, AStaticLeaderThatRestartsLearnsThatNothingIsToBeAssigned) {
  TestMachine t;
  auto ids = t.stable(1, {"one"});
  JoinRequest r = t.join_request();
  r.instance = "one";
  r.supports_skip_assignment = true;
  auto back = t.join(r);
  EXPECT_TRUE(back->skip_assignment);
  EXPECT_EQ(back->leader, back->member);
  EXPECT_EQ(back->members.size(), 1u);
  r.supports_skip_assignment = false;
  auto older = t.join(r);
  EXPECT_FALSE(older->skip_assignment);
  EXPECT_NE(older->leader, older->member);  // else it would assign
}

TEST(Classic, AStaticMembersPlaceIsKeptThroughARebalance) {
  TestMachine t;
  auto ids = t.stable(2, {"one", "two"});
  JoinRequest r = t.join_request(ids[1]);
  for (const auto& m : t.machine->describe_classic("g").members) {
    if (m.member == ids[1]) r.instance = m.instance;
  }
  r.protocols[0].metadata = subscription({"u"});
  r.session_timeout_ms = 120'000;
  auto waiting = t.join(r);
  EXPECT_FALSE(waiting.came());
  for (int i = 0; i < 7; ++i) {
    t.heartbeat(ids[0], 1);
    t.pass(9'000);
  }
  ASSERT_TRUE(waiting.came());  // after the rebalance time-out, with both in the group
  EXPECT_EQ(waiting->members.size(), 2u);
}

TEST(Classic, AnAdministratorRemovesAStaticMember) {
  TestMachine t;
  auto ids = t.stable(2, {"one", "two"});
  auto left = t.leave({{"", "one"}, {"", "nobody"}, {"wrong", "two"}});
  EXPECT_EQ(left.members.at(0).error, E::kNone);
  EXPECT_EQ(left.members.at(1).error, E::kUnknownMemberId);
  EXPECT_EQ(left.members.at(2).error, E::kFencedInstanceId);
  EXPECT_EQ(t.state(), "PreparingRebalance");
}

TEST(Classic, AFullGroupTakesNobody) {
  Settings settings;
  settings.group_size_max = 2;
  TestMachine t(settings);
  auto ids = t.stable(2);
  EXPECT_EQ(t.join(t.join_request())->error, E::kGroupMaxSizeReached);
  auto a = t.join(t.join_request(ids[0]));
  EXPECT_NE(t.state(), "Stable");
}

TEST(Classic, MetadataThatNoRecordCouldHoldIsRefused) {
  Settings settings;
  settings.group_bytes_max = 1'000;
  TestMachine t(settings);
  auto ids = t.stable(1);
  JoinRequest r = t.join_request();
  r.protocols[0].metadata = std::string(1'000, 'x');
  EXPECT_EQ(t.join(r)->error, E::kGroupMaxSizeReached);
  auto joined = t.join(t.join_request(ids[0]));
  auto synced = t.sync(ids[0], 2, {{ids[0], std::string(1'001, 'x')}});
  EXPECT_EQ(synced->error, E::kInvalidRequest);
  EXPECT_EQ(t.state(), "CompletingRebalance");
  EXPECT_EQ(t.sync(ids[0], 2, {{ids[0], "small"}})->assignment, "small");
}

TEST(Classic, ATakenOverGroupKeepsGenerationMembersAndAssignments) {
  TestMachine t;
  auto ids = t.stable(3, {"one", "two", "three"});
  t.fail_over();
  EXPECT_EQ(t.state(), "Stable");
  for (const auto& id : ids) EXPECT_EQ(t.heartbeat(id, 1), E::kNone);
  EXPECT_EQ(t.sync(ids[1], 1)->assignment, encode_assignment(1, {}));
  t.pass(10'001);  // sessions began anew; nobody heartbeats now
  EXPECT_EQ(t.state(), "Empty");
  t.fail_over();
  EXPECT_EQ(t.state(), "Empty");
  auto joined = t.join(t.join_request());
  t.pass(6'001);
  EXPECT_GT(joined->generation, 1);
}

TEST(Classic, WhoWaitsIsToldWhenTheCoordinatorMoves) {
  TestMachine t;
  auto joined = t.join(t.join_request());
  t.step([&](Effects& fx) { t.machine->abandon(E::kNotCoordinator, fx); });
  ASSERT_TRUE(joined.came());
  EXPECT_EQ(joined->error, E::kNotCoordinator);
}

TEST(Classic, DescriptionsTellMetadataOnlyWhenStable) {
  TestMachine t;
  t.stable(1);
  auto described = t.machine->describe_classic("g");
  EXPECT_EQ(described.protocol, "range");
  EXPECT_EQ(described.members.at(0).metadata, subscription({"t"}));
  EXPECT_EQ(described.members.at(0).client_host, "/host");
  t.join(t.join_request());
  described = t.machine->describe_classic("g");
  EXPECT_EQ(described.state, "PreparingRebalance");
  EXPECT_EQ(described.protocol, "");
  EXPECT_EQ(described.members.at(0).metadata, "");
  EXPECT_EQ(t.machine->describe_classic("none").error, E::kGroupIdNotFound);
  EXPECT_EQ(t.machine->describe_classic("none").state, "Dead");
}

}  // namespace
}  // namespace broker::groups
