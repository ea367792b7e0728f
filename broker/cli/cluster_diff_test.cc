// What an edit is said to do: which brokers restart, which objects change, what is refused.
#include "broker/cli/cluster_diff.h"

#include <gtest/gtest.h>

#include "operator/plan/stream_cluster.h"

namespace broker::cli {
namespace {

namespace api = sluice_operator::api;
namespace plan = sluice_operator::plan;
using Json = nlohmann::json;

// Three brokers that run with what the live spec says.
DiffInput settled() {
  DiffInput input;
  input.live.metadata.ns = "default";
  input.live.metadata.name = "q";
  input.live.metadata.uid = "uid";
  input.live.status.image = "sluice:1";
  auto settings = plan::pod_settings(input.live.spec, "sluice:1", "operator:9443");
  input.stateful_set = {
      {"metadata",
       {{"annotations",
         {{plan::kDefaultImageAnnotation, "sluice:1"},
          {plan::kSettingsAnnotation, settings.to_text()},
          {plan::kGoodSettingsAnnotation, settings.to_text()}}}}},
      {"spec",
       {{"volumeClaimTemplates",
         {{{"spec", {{"resources", {{"requests", {{"storage", "10Gi"}}}}}}}}}}}}};
  for (int id = 0; id < 3; ++id) {
    input.pods.push_back(
        {{"metadata",
          {{"name", plan::broker_pod_name("q", id)},
           {"annotations", {{plan::kSpecHashAnnotation, settings.hash()}}}}}});
  }
  input.edited = input.live;
  return input;
}

std::vector<std::string> kinds(const ClusterDiff& diff) {
  std::vector<std::string> out;
  for (const auto& object : diff.objects) out.push_back(object.kind);
  return out;
}

TEST(ClusterDiff, NothingIsNothing) {
  auto diff = diff_clusters(settled());
  EXPECT_TRUE(diff.empty());
  EXPECT_EQ(diff_text(diff), "nothing changes\n");
}

TEST(ClusterDiff, AnImageRestartsEveryBrokerAndSaysWhy) {
  auto input = settled();
  input.edited.spec.image = "sluice:2";
  auto diff = diff_clusters(input);
  EXPECT_EQ(diff.rolled, (std::vector<int32_t>{0, 1, 2}));
  ASSERT_EQ(diff.roll_reasons.size(), 1u);
  EXPECT_EQ(diff.roll_reasons[0].path, "image");
  EXPECT_EQ(diff.roll_reasons[0].before, "sluice:1");
  EXPECT_EQ(diff.roll_reasons[0].after, "sluice:2");
  EXPECT_EQ(kinds(diff), std::vector<std::string>{"StatefulSet"});
  EXPECT_NE(diff_text(diff).find("because of ~ image: sluice:1 -> sluice:2"), std::string::npos);
}

// Seen: the command ended in an exception where the edit adds objects (a listener from outside, a broker
// behind one), and compared objects of different names where it takes some away.
TEST(ClusterDiff, ObjectsOfAListenerComeAndGo) {
  auto input = settled();
  auto& listener = input.edited.spec.listeners.emplace_back();
  listener.name = "nodes";
  listener.port = 9093;
  listener.type = api::ListenerType::kNodePort;
  auto diff = diff_clusters(input);
  std::vector<std::string> fresh;
  for (const auto& object : diff.objects) {
    if (object.added) fresh.push_back(object.name);
  }
  EXPECT_EQ(fresh, (std::vector<std::string>{"q-nodes-all", "q-nodes-0", "q-nodes-1", "q-nodes-2"}));
  EXPECT_NE(diff_text(diff).find("  Service q-nodes-1 (new)\n"), std::string::npos) << diff_text(diff);
  std::swap(input.live.spec, input.edited.spec);
  diff = diff_clusters(input);
  EXPECT_NE(diff_text(diff).find("  Service q-nodes-1 (removed)\n"), std::string::npos) << diff_text(diff);
  for (const auto& object : diff.objects) {
    if (object.added || object.removed) EXPECT_TRUE(object.changes.empty());
  }
}

TEST(ClusterDiff, WhatPodsDoNotHaveRestartsNone) {
  auto input = settled();
  input.edited.spec.rebalancing.paused = true;
  auto diff = diff_clusters(input);
  EXPECT_TRUE(diff.rolled.empty());
  EXPECT_TRUE(diff.objects.empty());
  ASSERT_EQ(diff.spec.size(), 1u);
  EXPECT_EQ(diff.spec[0].path, "rebalancing.paused");
  EXPECT_NE(diff_text(diff).find("none restarts"), std::string::npos);
}

TEST(ClusterDiff, ABrokerThatHasTheSettingsAlreadyIsNotRestarted) {
  auto input = settled();
  input.edited.spec.image = "sluice:2";  // a roll that is half done and edited back
  input.pods[1]["metadata"]["annotations"][plan::kSpecHashAnnotation] =
      plan::pod_settings(input.edited.spec, "sluice:1", "operator:9443").hash();
  EXPECT_EQ(diff_clusters(input).rolled, (std::vector<int32_t>{0, 2}));
}

TEST(ClusterDiff, ScalingShowsWhoComesAndWhoGoes) {
  auto input = settled();
  input.edited.spec.brokers = 5;
  auto diff = diff_clusters(input);
  EXPECT_EQ(diff.added, (std::vector<int32_t>{3, 4}));
  EXPECT_TRUE(diff.rolled.empty());
  EXPECT_EQ(kinds(diff), std::vector<std::string>{"StatefulSet"});
  input = settled();
  input.live.spec.replication.factor = input.edited.spec.replication.factor = 1;
  input.edited.spec.brokers = 2;
  diff = diff_clusters(input);
  EXPECT_EQ(diff.removed, std::vector<int32_t>{2});
  EXPECT_TRUE(diff.objects.empty());  // it stays until it is empty
}

TEST(ClusterDiff, ADrainThatWouldTakeCopiesIsRefused) {
  auto input = settled();
  input.edited.spec.drain = {1};
  api::Stream stream;
  stream.metadata.name = stream.spec.name = "s";
  stream.spec.cluster = "q";
  stream.spec.partitions = 1;
  input.streams.push_back(stream);
  auto diff = diff_clusters(input);
  ASSERT_EQ(diff.refusals.size(), 1u);
  EXPECT_NE(diff.refusals[0].find("keeps 3 copies of each shard, and 2 brokers would stay"),
            std::string::npos);
  EXPECT_NE(diff_text(diff).find("✘ refused: spec.drain"), std::string::npos);
}

TEST(ClusterDiff, VolumesGrowAroundThePods) {
  auto input = settled();
  input.edited.spec.storage.size = "20Gi";
  auto diff = diff_clusters(input);
  EXPECT_EQ(diff.volumes, "10Gi -> 20Gi");
  EXPECT_TRUE(diff.rolled.empty());
  ASSERT_EQ(diff.objects.size(), 1u);
  EXPECT_TRUE(diff.objects[0].made_again);
  input.edited.spec.storage.size = "5Gi";
  diff = diff_clusters(input);
  EXPECT_EQ(diff.volumes, "");
  ASSERT_EQ(diff.warnings.size(), 1u);
}

TEST(ClusterDiff, AListenerChangesServicesAndPods) {
  auto input = settled();
  input.edited.spec.listeners.push_back({"secure", 9093, true, api::ListenerAuthentication::kScram});
  auto diff = diff_clusters(input);
  EXPECT_EQ(diff.rolled.size(), 3u);
  EXPECT_EQ(kinds(diff), (std::vector<std::string>{"Service", "Service", "NetworkPolicy", "StatefulSet"}));
}

}  // namespace
}  // namespace broker::cli
