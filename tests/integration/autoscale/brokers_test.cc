// The autoscaler's figures from real brokers on loopback, which publishers load at every broker and
// a group reads from: what producers wait and how far the group is behind reach the decisions. The
// cluster is made by autoscale_test.py, which says in SLUICE_TEST_METRICS and SLUICE_TEST_BROKERS
// where it is. Time runs ten times as fast for the planner; what is waited for is a condition, and
// its deadline only ends a hung test.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "broker/env/posix/posix.h"
#include "operator/reconcile/load_source.h"
#include "operator/reconcile/scaling_input.h"

namespace sluice_operator::reconcile {
namespace {

class FastClock : public broker::env::Clock {
 public:
  int64_t mono_us() const override { return began_us_ + (real_.mono_us() - began_us_) * 10; }
  int64_t mono_ms() const override { return mono_us() / 1000; }
  int64_t wall_ms() const override { return real_.wall_ms(); }

 private:
  broker::env::PosixClock real_;
  int64_t began_us_ = real_.mono_us();
};

std::vector<std::string> words_of(const char* variable) {
  std::vector<std::string> words;
  const char* text = std::getenv(variable);
  std::istringstream in(text ? text : "");
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

class RealBrokers : public testing::Test {
 protected:
  void SetUp() override {
    auto pages = words_of("SLUICE_TEST_METRICS");
    ASSERT_EQ(pages.size(), 3u) << "run tests/integration/autoscale/run";
    for (size_t id = 0; id < pages.size(); id++) pages_["c-" + std::to_string(id)] = pages[id];
    cluster_.spec.brokers = cluster_.status.brokers = 4;
    for (int id = 0; id < 3; id++) {
      cluster_.status.broker_states.push_back(
          {.id = id, .pod = "c-" + std::to_string(id), .zone = "z" + std::to_string(id)});
    }
    cluster_.status.conditions = {{"Ready", "True", "AllReady", "", "", 0}};
  }
  void commit(const std::string& to) {
    std::string command = std::string(std::getenv("SLUICE_BIN")) +
                          "/sluice group reset-offsets shop" + " --stream clicks --to " + to +
                          " --broker " + words_of("SLUICE_TEST_BROKERS").front() + " >/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  // Looks until it is so; the last answer.
  LoadAnswer until(const std::function<bool(LoadAnswer&)>& so, const char* what) {
    LoadAnswer answer;
    auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(3);
    while (std::chrono::steady_clock::now() < deadline) {
      answer = source_.look({.window_ms = 60'000, .brokers_too = true}, {"ns", "c"}, pages_);
      if (answer.problem.empty() && so(answer)) return answer;
      // Between two looks at real brokers' pages; what is waited for is `so`.
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    ADD_FAILURE() << what << ": " << answer.problem << "; lag " << answer.lags["clicks"].records;
    return answer;
  }
  autoscale::BrokerSnapshot snapshot(const LoadAnswer& answer) {
    return broker_snapshot_of(cluster_, answer, 3, "", clock_.mono_ms());
  }
  // One broker too many, for longer than any window.
  autoscale::BrokerDecision decide_with_one_too_many(const LoadAnswer& answer) {
    autoscale::BrokerPolicy policy{.brokers_min = 3, .brokers_max = 5, .target = 40};
    policy.scale_down_after_ms = 1000;
    policy.space_target = 1000;
    autoscale::BrokerMemory memory;
    auto at = snapshot(answer);
    at.now_ms -= 2000;
    autoscale::decide_brokers(policy, at, memory);
    at.now_ms += 2000;
    return autoscale::decide_brokers(policy, at, memory);
  }
  autoscale::Decision decide_cold_shards(const LoadAnswer& answer) {
    sluice::v1::ShardMap map;
    auto ranges = broker::coordination::split_equally({}, 6);
    for (int i = 0; i < 6; i++) {
      auto* shard = map.add_shards();
      shard->set_index(i);
      shard->set_state(sluice::v1::SHARD_STATE_OPEN);
      shard->set_leader(0);
      *shard->mutable_hash_range() =
          broker::coordination::format_range((*ranges)[static_cast<size_t>(i)]);
    }
    autoscale::Policy policy;
    policy.shard_bytes_per_s = policy.shard_records_per_s = 1e9;
    policy.scale_down_after_ms = 1000;
    autoscale::Memory memory;
    autoscale::Decision decision;
    for (int64_t ago_ms : {200'000, 100'000, 4000, 2000, 0}) {
      auto at = snapshot_of(map, "clicks", answer, clock_.mono_ms() - ago_ms, clock_.wall_ms());
      decision = autoscale::decide(policy, at, memory);
    }
    return decision;
  }

  FastClock clock_;
  LoadSource source_{clock_};
  std::map<std::string, std::string> pages_;
  api::StreamCluster cluster_;
};

TEST_F(RealBrokers, WhatProducersWaitIsKnownOfEachAndCountsAgainstTheBound) {
  auto answer = until(
      [&](LoadAnswer& at) {
        bool all = true;
        for (auto& [pod, load] : at.brokers) {
          all = all && load.produce_p99_ms.value_or(0) > 0 && load.used[0].value_or(0) > 0;
        }
        return all;
      },
      "p99 of every broker");
  cluster_.spec.brokers = cluster_.status.brokers = 3;
  auto at = snapshot(answer);
  double most = 0, sum = 0;
  for (const auto& broker : at.brokers) {
    EXPECT_LE(*broker.produce_p99_ms, 10'000);
    most = std::max(most, *broker.produce_p99_ms);
    sum += *broker.used[0];
  }
  // The brokers at half of a target made to measure: nothing but the wait asks for another.
  autoscale::BrokerPolicy policy{.brokers_min = 3, .brokers_max = 5, .target = sum / 3 * 2};
  policy.space_target = 1000;
  policy.scale_up_after_ms = 0;
  policy.produce_p99_ms = most + 1;
  autoscale::BrokerMemory calm, slow;
  EXPECT_EQ(autoscale::decide_brokers(policy, at, calm).action, autoscale::BrokerAction::kNone);
  policy.produce_p99_ms = 1e-3;
  auto decision = autoscale::decide_brokers(policy, at, slow);
  EXPECT_EQ(decision.action, autoscale::BrokerAction::kAdd) << decision.message;
  EXPECT_EQ(decision.reason, "ProduceSlow");
  EXPECT_TRUE(decision.inputs.contains("produceP99Milliseconds"));
}

TEST_F(RealBrokers, AGroupThatFallsFurtherBehindKeepsBrokersAndShards) {
  commit("earliest");
  auto answer = until([](LoadAnswer& at) { return at.lags["clicks"].growing.size() == 6; },
                      "every shard's lag grows");
  EXPECT_EQ(answer.lags["clicks"].group, "shop");
  auto brokers = decide_with_one_too_many(answer);
  EXPECT_EQ(brokers.reason, "LagGrowing") << brokers.message;
  EXPECT_EQ(brokers.inputs.at("lagGroup"), "shop");
  auto shards = decide_cold_shards(answer);
  EXPECT_EQ(shards.reason, "LagGrowing") << shards.message;
  EXPECT_EQ(shards.action, autoscale::Action::kNone);
  const double behind = answer.lags["clicks"].records;

  commit("latest");
  answer = until(
      [&](LoadAnswer& at) {
        return at.lags["clicks"].growing.empty() && at.lags["clicks"].records < behind;
      },
      "the group has caught up");
  EXPECT_EQ(decide_with_one_too_many(answer).action, autoscale::BrokerAction::kRemove);
  EXPECT_EQ(decide_cold_shards(answer).action, autoscale::Action::kMerge);
}

}  // namespace
}  // namespace sluice_operator::reconcile
