// The tree of `sluice status`: what counts as unhealthy, and that the reason is on the screen.
#include "broker/cli/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace broker::cli {
namespace {

using Json = nlohmann::json;

Json condition(const char* type, const char* status, const char* reason, const char* message) {
  return {{"type", type}, {"status", status}, {"reason", reason}, {"message", message}};
}

Json cluster(bool third_ready = true) {
  Json states = Json::array();
  for (int id = 0; id < 3; ++id) {
    const bool ready = id < 2 || third_ready;
    states.push_back({{"id", id},
                      {"pod", "q-" + std::to_string(id)},
                      {"zone", "z" + std::to_string(id)},
                      {"ready", ready},
                      {"updated", true},
                      {"state", ready ? "Running" : "Down"},
                      {"leaders", 1},
                      {"shards", 2},
                      {"bytes", int64_t{3} << 30}});
  }
  return {{"kind", "StreamCluster"},
          {"metadata", {{"namespace", "default"}, {"name", "q"}, {"generation", 2}}},
          {"spec", {{"brokers", 3}, {"storage", {{"size", "10Gi"}}}}},
          {"status",
           {{"observedGeneration", 2},
            {"brokerStates", states},
            {"conditions",
             {condition("Ready", third_ready ? "True" : "False", "AllBrokersReady", "3 of 3"),
              condition("Progressing", "False", "Settled", ""),
              condition("Degraded", "False", "Healthy", "")}}}}};
}

Json stream(const char* name = "s") {
  return {{"kind", "Stream"},
          {"metadata", {{"namespace", "default"}, {"name", name}}},
          {"spec", {{"cluster", "q"}, {"mode", "Partitioned"}, {"partitions", 2}}},
          {"status", {{"openShards", 2}, {"conditions", {condition("Ready", "True", "Ready", "")}}}}};
}

Json shard(int index, std::vector<int> replicas, int leader) {
  Json list = Json::array();
  for (int id : replicas) list.push_back({{"broker", id}, {"directory", "d"}});
  Json out{{"index", index}, {"state", "SHARD_STATE_OPEN"}, {"replicas", list}};
  if (leader >= 0) out["leader"] = leader;
  return out;
}

Json map(std::vector<Json> shards, const char* name = "s") {
  return {{"kind", "ShardMap"},
          {"metadata",
           {{"namespace", "default"}, {"name", name}, {"labels", {{"sluice.dev/cluster", "q"}}}}},
          {"spec",
           {{"streamId", "id"},
            {"stream", name},
            {"config", {{"replication", 2}}},
            {"shards", shards}}}};
}

TEST(Health, AHealthyClusterIsATreeWithoutReasons) {
  auto health = health_of({stream(), cluster(), map({shard(0, {0, 1}, 0), shard(1, {1, 2}, 2)})});
  ASSERT_EQ(health.size(), 1u);
  EXPECT_TRUE(health[0].healthy());
  EXPECT_TRUE(health[0].reasons.empty());
  ASSERT_EQ(health[0].streams.size(), 1u);
  EXPECT_EQ(health[0].streams[0].open, 2);
  const std::string text = tree_text(health);
  EXPECT_NE(text.find("✔ default/q  AllBrokersReady: 3 of 3"), std::string::npos) << text;
  EXPECT_NE(text.find("└─ ✔  2  q-2  z2  Running  leaders 1  replicas 2  3.0 GiB of 10Gi"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("✔  s  2 shards"), std::string::npos) << text;
  EXPECT_EQ(to_json(health)["healthy"], true);
}

TEST(Health, ABrokerThatIsDownShowsWhichShardsMissIt) {
  auto health =
      health_of({stream(), cluster(false), map({shard(0, {0, 1}, 0), shard(1, {1, 2}, 2)})});
  EXPECT_FALSE(health[0].healthy());
  const auto& s = health[0].streams[0];
  EXPECT_EQ(s.leaderless, std::vector<int32_t>{1});
  EXPECT_EQ(s.under_replicated, std::vector<int32_t>{1});
  const std::string text = tree_text(health);
  EXPECT_NE(text.find("Down, not ready"), std::string::npos) << text;
  EXPECT_NE(text.find("leaderless: 1; under-replicated: 1"), std::string::npos) << text;
  EXPECT_EQ(to_json(health)["healthy"], false);
}

TEST(Health, AShardWithoutALeaderOrWithTooFewCopiesIsBad) {
  EXPECT_FALSE(health_of({cluster(), stream(), map({shard(0, {0, 1}, -1)})})[0].healthy());
  EXPECT_FALSE(health_of({cluster(), stream(), map({shard(0, {0}, 0)})})[0].healthy());
}

TEST(Health, ConditionsAreShownWithTheirReasons) {
  auto object = cluster();
  object["status"]["conditions"][2] =
      condition("Degraded", "True", "DrainRefused", "2 brokers would stay");
  auto health = health_of({object});
  EXPECT_FALSE(health[0].healthy());
  EXPECT_NE(tree_text(health).find("Degraded True, DrainRefused: 2 brokers would stay"),
            std::string::npos);
  auto waiting = stream();
  waiting["status"]["conditions"][0] = condition("Ready", "False", "Waiting", "needs 5 brokers");
  health = health_of({cluster(), waiting});
  EXPECT_FALSE(health[0].healthy());
  EXPECT_NE(tree_text(health).find("Ready False, Waiting: needs 5 brokers"), std::string::npos);
}

// Every stream at rest was shown as one that is changing.
// Seen on a real cluster: every stream was marked as changing whose shards stood still, none whose shards
// were being split.
TEST(Health, AStreamWhoseShardsRestIsAsItShouldBe) {
  auto of = stream();
  auto& conditions = of["status"]["conditions"];
  conditions.push_back(condition("Scaling", "False", "Steady", "the shards are as they are"));
  auto health = health_of({cluster(), of});
  EXPECT_EQ(health[0].streams[0].mark, Mark::kGood);
  EXPECT_TRUE(health[0].streams[0].reasons.empty());
  conditions.back() = condition("Scaling", "True", "Resharding", "a split is under way");
  health = health_of({cluster(), of});
  EXPECT_TRUE(health[0].healthy());
  EXPECT_EQ(health[0].streams[0].mark, Mark::kChanging);
  EXPECT_EQ(health[0].streams[0].reasons,
            std::vector<std::string>{"Scaling True, Resharding: a split is under way"});
}

TEST(Health, WhoScalesTheBrokersIsShownAndIsNoFaultUntilTwoDo) {
  auto of = cluster();
  auto& conditions = of["status"]["conditions"];
  conditions.push_back(condition("BrokersScaled", "True", "ScaleSubresource", "an HPA decides"));
  auto health = health_of({of});
  EXPECT_EQ(health[0].mark, Mark::kGood);
  EXPECT_EQ(health[0].reasons,
            std::vector<std::string>{"BrokersScaled True, ScaleSubresource: an HPA decides"});
  conditions.back() = condition("BrokersScaled", "False", "Contended", "two would");
  health = health_of({of});
  EXPECT_EQ(health[0].mark, Mark::kChanging);
  EXPECT_EQ(health[0].reasons,
            std::vector<std::string>{"BrokersScaled False, Contended: two would"});
}

TEST(Health, AChangeUnderWayIsNotUnhealthy) {
  auto object = cluster();
  object["status"]["conditions"][1] = condition("Progressing", "True", "Rolling", "broker 1");
  object["metadata"]["generation"] = 3;
  auto health = health_of({object});
  EXPECT_TRUE(health[0].healthy());
  EXPECT_EQ(health[0].mark, Mark::kChanging);
  EXPECT_EQ(health[0].reasons.size(), 2u);
}

TEST(Health, ObjectsOfAnotherKindOfDataAreNamedNotThrown) {
  auto object = cluster();
  object["spec"]["brokers"] = "three";
  auto health = health_of({object, {{"kind", "Pod"}}, {{"metadata", {{"name", "x"}}}}});
  ASSERT_EQ(health.size(), 1u);
  EXPECT_NE(health[0].summary.find("brokers"), std::string::npos);
  EXPECT_FALSE(health[0].healthy());
  auto broken = map({});
  broken["spec"]["shards"] = "none";
  health = health_of({cluster(), stream(), broken});
  EXPECT_NE(health[0].streams[0].reasons.at(0).find("ShardMap cannot be read"), std::string::npos);
}

Json lease(const char* holder, const char* renewed) {
  return {{"kind", "Lease"}, {"spec", {{"holderIdentity", holder}, {"renewTime", renewed}}}};
}

// Seen on a real cluster: with the operator uninstalled, all was well on this screen, as it had been then.
TEST(Health, WhereNoOperatorRunsEveryClusterSaysSo) {
  const int64_t now_ms = 1'796'040'000'000;  // 2026-11-30T12:00:00Z
  auto told = [&](const std::vector<Json>& leases) {
    auto health = health_of({cluster(), stream()});
    tell_of_operators(leases, now_ms, health);
    return health[0].healthy() ? std::string() : health[0].reasons.at(0);
  };
  EXPECT_EQ(told({}), "");
  EXPECT_EQ(told({lease("a", "2026-11-30T11:59:55.123456Z")}), "");
  EXPECT_EQ(told({lease("a", "2026-11-30T12:00:40.000000Z")}), "") << "clocks are apart";
  EXPECT_EQ(told({lease("", "2026-11-30T11:59:55.123456Z")}), "") << "a standby takes it over";
  const std::string since = "NoOperator: none has run since 2026-11-30T11:59:";
  EXPECT_THAT(told({lease("", "2026-11-30T11:59:30.5Z")}), testing::StartsWith(since + "30Z"));
  EXPECT_EQ(told({lease("a", "2026-11-30T11:59:00Z")}), "");
  EXPECT_THAT(told({lease("a", "2026-11-30T10:00:00.5Z"), lease("b", "2026-11-30T11:58:00.5Z")}),
              testing::StartsWith("NoOperator: none has run since 2026-11-30T11:58:00Z"));
  EXPECT_EQ(told({lease("a", "2026-11-30T10:00:00.5Z"), lease("b", "2026-11-30T11:59:50.5Z")}), "");
}

}  // namespace
}  // namespace broker::cli
