// What admission refuses, and what it must not refuse.
#include "operator/admission/decide.h"

#include <gtest/gtest.h>

namespace sluice_operator::admission {
namespace {

api::Stream stream(const std::string& resource, const std::string& name = "") {
  api::Stream out;
  out.metadata.name = resource;
  out.spec.cluster = "c";
  out.spec.name = name.empty() ? resource : name;
  out.spec.partitions = 1;
  return out;
}

api::StreamCluster cluster(int32_t brokers) {
  api::StreamCluster out;
  out.metadata.name = "c";
  out.spec.brokers = brokers;
  for (int32_t id = 0; id < brokers; ++id) {
    auto& state = out.status.broker_states.emplace_back();
    state.id = id;
    state.bytes = int64_t{6} << 30;
  }
  return out;
}

std::string refused(const Verdict& verdict) { return api::to_string(verdict.refusals); }

TEST(AdmitStream, ANameThatAnotherResourceHasIsRefused) {
  const auto c = cluster(3);
  auto verdict = decide(stream("mine", "orders"), nullptr, &c, {stream("orders")});
  EXPECT_EQ(refused(verdict), "spec.name: 'orders' is the name of Stream 'orders' in cluster 'c' "
                              "already; give another in spec.name");
  auto elsewhere = stream("orders");
  elsewhere.spec.cluster = "d";
  EXPECT_TRUE(decide(stream("mine", "orders"), nullptr, &c, {elsewhere}).allowed());
  auto leaving = stream("orders");
  leaving.metadata.deleting = true;
  EXPECT_TRUE(decide(stream("mine", "orders"), nullptr, &c, {leaving}).allowed());
}

TEST(AdmitStream, IsNotItsOwnRival) {
  const auto c = cluster(3);
  auto before = stream("orders"), after = before;
  after.spec.partitions = 2;
  EXPECT_TRUE(decide(after, &before, &c, {before}).allowed());
}

TEST(AdmitStream, MoreCopiesThanBrokersAreRefused) {
  const auto c = cluster(3);
  auto s = stream("s");
  s.spec.replication = 5;
  EXPECT_EQ(refused(decide(s, nullptr, &c, {})),
            "spec.replication: 5 copies need 5 brokers, the cluster has 3");
}

TEST(AdmitStream, WithoutItsClusterItIsWarnedOf) {
  auto verdict = decide(stream("s"), nullptr, nullptr, {});
  EXPECT_TRUE(verdict.allowed());
  ASSERT_EQ(verdict.warnings.size(), 1u);
  EXPECT_NE(verdict.warnings[0].find("there is no StreamCluster 'c'"), std::string::npos);
}

TEST(AdmitStream, WhatIsWrongAlreadyCanStillBeEditedAndDeleted) {
  const auto c = cluster(2);  // has shrunk below it
  auto before = stream("s");
  before.spec.replication = 3;
  auto after = before;
  after.metadata.labels["team"] = "a";
  EXPECT_TRUE(decide(after, &before, &c, {}).allowed());
  after.spec.replication = 4;
  EXPECT_FALSE(decide(after, &before, &c, {}).allowed());
  after.metadata.deleting = true;
  EXPECT_TRUE(decide(after, &before, &c, {}).allowed());
}

TEST(AdmitCluster, AScaleInOrDrainThatTakesCopiesIsRefused) {
  const auto before = cluster(4);
  auto s = stream("s");
  s.spec.replication = 3;
  auto after = before;
  after.spec.brokers = 3;
  EXPECT_TRUE(decide(after, &before, {s}).allowed());
  after.spec.brokers = 2;
  EXPECT_NE(refused(decide(after, &before, {s}))
                .find("spec.brokers: stream 's' keeps 3 copies of each shard, and 2 brokers would stay"),
            std::string::npos);
  after = before;
  after.spec.drain = {0, 3};
  EXPECT_EQ(refused(decide(after, &before, {s})),
            "spec.drain: stream 's' keeps 3 copies of each shard, and 2 brokers would stay");
  auto elsewhere = s;
  elsewhere.spec.cluster = "d";
  EXPECT_TRUE(decide(after, &before, {elsewhere}).allowed());
}

// Seen: `drain: [7]` of a cluster of three was taken without a word, and did nothing.
TEST(AdmitCluster, ADrainOfNobodyIsWarnedOf) {
  const auto before = cluster(4);
  auto after = before;
  after.spec.drain = {3, 7};
  auto verdict = decide(after, &before, {});
  EXPECT_TRUE(verdict.allowed());
  EXPECT_EQ(verdict.warnings, std::vector<std::string>{"spec.drain: there is no broker 7, they are 0 to 3"});
  // A drained broker that goes with the next scale-in is a way to go.
  auto fewer = after;
  fewer.spec.brokers = 3;
  EXPECT_TRUE(decide(fewer, &after, {}).warnings.empty());
}

TEST(AdmitCluster, AStreamThatSaysNothingKeepsTheCopiesThatItWasMadeWith) {
  const auto before = cluster(3);
  auto after = before;
  after.spec.brokers = 2;
  EXPECT_EQ(refused(decide(after, &before, {stream("s")})),
            "spec.brokers: stream 's' keeps 3 copies of each shard, and 2 brokers would stay");
  after.spec.replication.factor = 2;  // it follows the cluster's wish
  EXPECT_TRUE(decide(after, &before, {stream("s")}).allowed());
}

TEST(AdmitCluster, ARefusedDrainCanBeTakenBackAndOtherFieldsEdited) {
  auto before = cluster(3);
  before.spec.drain = {2};  // written while the webhook was away
  const auto s = stream("s");
  auto after = before;
  after.spec.image = "another";
  EXPECT_TRUE(decide(after, &before, {s}).allowed());
  after.spec.drain = {};
  EXPECT_TRUE(decide(after, &before, {s}).allowed());
}

TEST(AdmitCluster, TooLittleRoomIsWarnedOfBecauseVolumesMayHaveGrown) {
  const auto before = cluster(4);  // 6 GiB on each of 10 GiB
  auto after = before;
  after.spec.brokers = 3;
  EXPECT_TRUE(decide(after, &before, {}).warnings.empty());  // 6 GiB into 3 times 3 GiB
  after.spec.brokers = 2;
  after.spec.replication.factor = 2;
  auto verdict = decide(after, &before, {});
  EXPECT_TRUE(verdict.allowed());
  ASSERT_EQ(verdict.warnings.size(), 1u);
  EXPECT_NE(verdict.warnings[0].find("12.00 GiB would have to move"), std::string::npos);
}

api::StreamUser user(const std::string& name) {
  api::StreamUser out;
  out.metadata.name = name;
  out.metadata.uid = "uid-" + name;
  out.spec.cluster = "c";
  out.spec.name = out.spec.secret_name = name;
  return out;
}

TEST(AdmitUser, ASecretOfAnotherIsRefused) {
  const auto c = cluster(3);
  auto ann = user("ann");
  EXPECT_TRUE(decide(ann, nullptr, &c, {}, {}).allowed());
  EXPECT_TRUE(decide(ann, nullptr, &c, {}, {true, "uid-ann", "StreamUser 'ann'"}).allowed());
  EXPECT_EQ(refused(decide(ann, nullptr, &c, {}, {true, "x", "StreamUser 'bob'"})),
            "spec.secretName: Secret 'ann' belongs to StreamUser 'bob' and would be left alone; "
            "name another");
  EXPECT_FALSE(decide(ann, nullptr, &c, {}, {true, "", ""}).allowed());
  auto bob = user("bob");
  bob.spec.secret_name = "ann";
  EXPECT_FALSE(decide(ann, nullptr, &c, {bob}, {}).allowed());
  // It was so before: only a change to such a Secret is refused.
  EXPECT_TRUE(decide(ann, &ann, &c, {}, {true, "x", ""}).allowed());
  auto moved = ann;
  moved.spec.secret_name = "other";
  EXPECT_FALSE(decide(moved, &ann, &c, {}, {true, "x", ""}).allowed());
}

TEST(AdmitUser, ANameThatIsTakenIsRefused) {
  const auto c = cluster(3);
  auto bob = user("bob");
  bob.spec.name = "ann";
  EXPECT_NE(refused(decide(user("ann"), nullptr, &c, {bob}, {})).find("StreamUser 'bob'"),
            std::string::npos);
  EXPECT_EQ(decide(user("ann"), nullptr, nullptr, {}, {}).warnings.size(), 1u);
}

}  // namespace
}  // namespace sluice_operator::admission
