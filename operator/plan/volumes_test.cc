// Volumes: what is never removed, what is after its time, growth only.
#include "operator/plan/volumes.h"

#include <gtest/gtest.h>

namespace sluice_operator::plan {
namespace {

constexpr int64_t kNow = 1'800'000'000'000;

api::StreamCluster cluster() {
  api::StreamCluster out;
  out.metadata.name = "c";
  out.metadata.uid = "uid-1";
  out.spec.storage.size = "10Gi";
  out.spec.storage.deletion_policy = api::DeletionPolicy::kDelete;
  out.spec.storage.deletion_delay_seconds = 3600;
  return out;
}

Claim claim(int32_t broker) {
  Claim out;
  out.name = "data-c-" + std::to_string(broker);
  out.uid = "claim-" + std::to_string(broker);
  out.broker = broker;
  out.size = "10Gi";
  out.phase = "Bound";
  out.annotations = {{kClusterUidAnnotation, "uid-1"},
                     {kDirectoryAnnotation, "dir-" + std::to_string(broker)}};
  return out;
}

// Three brokers remain; the fourth one's claim is left over.
VolumeInput input(const api::StreamCluster& of) {
  VolumeInput out{of, {claim(0), claim(1), claim(2), claim(3)}, {}, true, {}, 3, kNow};
  for (int32_t id = 0; id < 3; ++id) {
    out.brokers[id] = {"dir-" + std::to_string(id), true, 5};
    out.directories_in_use.push_back("dir-" + std::to_string(id));
  }
  return out;
}

TEST(Volumes, ARemovedBrokersClaimGoesAfterItsTimeAndNotBefore) {
  auto of = cluster();
  auto in = input(of);
  auto step = plan_volumes(in);
  ASSERT_EQ(step.patches.size(), 1u);
  EXPECT_EQ(step.patches[0].claim, "data-c-3");
  const std::string after = step.patches[0].annotations.at(kDeleteAfterAnnotation);
  EXPECT_EQ(after, api::rfc3339(kNow + 3'600'000));
  EXPECT_TRUE(step.removals.empty());

  in.claims[3].annotations[kDeleteAfterAnnotation] = after;
  in.now_ms = kNow + 3'599'000;
  step = plan_volumes(in);
  EXPECT_TRUE(step.patches.empty());
  EXPECT_TRUE(step.removals.empty());

  in.now_ms = kNow + 3'600'000;
  step = plan_volumes(in);
  ASSERT_EQ(step.removals.size(), 1u);
  EXPECT_EQ(step.removals[0].uid, "claim-3");
}

// What redpanda-operator#1866 and redpanda#11303 were about: volumes of running brokers deleted,
// because labels or ordinals were taken for proof.
TEST(Volumes, NothingIsRemovedWithoutProof) {
  const auto due = [](VolumeInput in) {
    in.claims[3].annotations[kDeleteAfterAnnotation] = api::rfc3339(kNow - 1000);
    return in;
  };
  auto of = cluster();
  ASSERT_EQ(plan_volumes(due(input(of))).removals.size(), 1u);

  auto other = due(input(of));
  other.claims[3].annotations[kClusterUidAnnotation] = "uid-of-an-earlier-cluster";
  auto unknown = due(input(of));
  unknown.claims[3].annotations.erase(kDirectoryAnnotation);
  auto in_use = due(input(of));
  in_use.directories_in_use.push_back("dir-3");
  auto alive = due(input(of));
  alive.brokers[3] = {"dir-3", true, 0};
  auto kept = due(input(of));
  kept.claims[3].annotations[kKeepAnnotation] = "true";
  for (const auto& in : {other, unknown, in_use, alive, kept}) {
    auto step = plan_volumes(in);
    EXPECT_TRUE(step.removals.empty());
    ASSERT_EQ(step.patches.size(), 1u);  // the intent is taken back
    EXPECT_EQ(step.patches[0].annotations.at(kDeleteAfterAnnotation), "");
  }
  auto retain = cluster();
  retain.spec.storage.deletion_policy = api::DeletionPolicy::kRetain;
  EXPECT_TRUE(plan_volumes(due(input(retain))).removals.empty());
}

TEST(Volumes, TheIntentGoesWhenTheBrokerComesBack) {
  auto of = cluster();
  auto in = input(of);
  in.claims[3].annotations[kDeleteAfterAnnotation] = api::rfc3339(kNow - 1000);
  in.replicas = 4;
  auto step = plan_volumes(in);
  EXPECT_TRUE(step.removals.empty());
  ASSERT_EQ(step.patches.size(), 1u);
  EXPECT_EQ(step.patches[0].annotations.at(kDeleteAfterAnnotation), "");
}

// Seen on a real cluster: each operator that began took the intent away until its coordinator had loaded, and wrote a new
// one then: where operators were restarted more often than once in deletionDelaySeconds, no volume ever went.
TEST(Volumes, TheIntentStaysWhileTheCoordinatorIsNotReady) {
  auto of = cluster();
  auto in = input(of);
  in.claims[3].annotations[kDeleteAfterAnnotation] = api::rfc3339(kNow - 1000);
  in.loaded = false;
  in.directories_in_use.clear();
  auto step = plan_volumes(in);
  EXPECT_TRUE(step.patches.empty());
  EXPECT_TRUE(step.removals.empty());
}

TEST(Volumes, GrowAndNeverShrink) {
  auto of = cluster();
  of.spec.storage.size = "20Gi";
  auto in = input(of);
  in.claims[1].size = "50Gi";  // an outside resizer was here
  in.claims[2].size = "20480Mi";
  auto step = plan_volumes(in);
  EXPECT_EQ(step.growing, 1);
  EXPECT_EQ(step.patches[0].claim, "data-c-0");
  EXPECT_EQ(step.patches[0].size, "20Gi");
  EXPECT_EQ(larger_size("20Gi", "50Gi"), "50Gi");
  EXPECT_EQ(larger_size("20Gi", "10Gi"), "20Gi");
  EXPECT_EQ(larger_size("20Gi", "much"), "20Gi");
}

TEST(Volumes, NotesWhoseDirectoryItIs) {
  auto of = cluster();
  auto in = input(of);
  in.claims.resize(2);
  in.claims[0].annotations.clear();
  in.claims[1].annotations.clear();
  in.brokers[1].alive = false;
  auto step = plan_volumes(in);
  ASSERT_EQ(step.patches.size(), 1u);
  EXPECT_EQ(step.patches[0].annotations,
            (std::map<std::string, std::string>{{kClusterUidAnnotation, "uid-1"},
                                                {kDirectoryAnnotation, "dir-0"}}));
}

TEST(Volumes, ALostVolumeIsReplaced) {
  auto of = cluster();
  of.spec.storage.deletion_policy = api::DeletionPolicy::kRetain;
  auto in = input(of);
  in.claims[1].phase = "Lost";
  EXPECT_TRUE(plan_volumes(in).removals.empty());  // its broker still writes to it
  in.brokers[1].alive = false;
  auto step = plan_volumes(in);
  ASSERT_EQ(step.removals.size(), 1u);
  EXPECT_TRUE(step.removals[0].lost);
  EXPECT_EQ(step.removals[0].broker, 1);
}

TEST(Volumes, OnlyTheClustersOwnNames) {
  EXPECT_EQ(broker_of_claim("data-c-12", "c"), 12);
  EXPECT_EQ(broker_of_claim("data-c-", "c"), -1);
  EXPECT_EQ(broker_of_claim("data-c-1x", "c"), -1);
  EXPECT_EQ(broker_of_claim("data-c-b-1", "c"), -1);
  EXPECT_EQ(broker_of_claim("data-c-99999999999", "c"), -1);
}

}  // namespace
}  // namespace sluice_operator::plan
