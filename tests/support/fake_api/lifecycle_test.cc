// The life of a StreamCluster (made, scaled, rolled, grown, shrunk, deleted) with the operator killed
// at its n-th API call for every n, and under every fault at random: it always gets there, and what
// it has reached it does not write again.
#include "tests/support/fake_api/lifecycle_world.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace sluice_tests {
namespace {

using kube::Json;

Json spec() {
  return {{"brokers", 2},
          {"resources", {{"requests", {{"memory", "128Mi"}}}}},
          {"storage", {{"size", "1Gi"}, {"deletionPolicy", "Delete"}, {"deletionDelaySeconds", 0}}}};
}

std::string template_memory(const LifecycleWorld& w) {
  return w.stateful_set().value(
      "/spec/template/spec/containers/0/resources/requests/memory"_json_pointer, std::string());
}
std::string template_size(const LifecycleWorld& w) {
  return w.stateful_set().value(
      "/spec/volumeClaimTemplates/0/spec/resources/requests/storage"_json_pointer, std::string());
}

// `steady`: after each phase, a second pass is to write nothing.
void live(LifecycleWorld& w, bool steady) {
  auto settled = [&](const char* phase) {
    if (steady) EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>()) << phase;
  };
  w.create(spec());
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); })) << "creation";
  settled("creation");

  w.edit({{"brokers", 3}});
  ASSERT_TRUE(w.run_until([&] { return w.ready(3); })) << "scale out";
  settled("scale out");

  const int restarts = w.restarts();
  w.edit({{"resources", {{"requests", {{"memory", "256Mi"}}}}}});
  ASSERT_TRUE(w.run_until([&] { return w.ready(3) && template_memory(w) == "256Mi"; })) << "roll";
  EXPECT_EQ(w.restarts() - restarts, 3) << "each broker once";
  settled("roll");

  w.edit({{"storage", {{"size", "2Gi"}}}});
  ASSERT_TRUE(w.run_until([&] { return w.ready(3) && template_size(w) == "2Gi"; })) << "growth";
  EXPECT_EQ(w.restarts() - restarts, 3) << "volumes grow without restarts";
  settled("growth");

  w.edit({{"brokers", 2}});
  ASSERT_TRUE(w.run_until([&] { return w.ready(2) && w.claims().size() == 2; })) << "scale in";
  settled("scale in");

  w.remove();
  ASSERT_TRUE(w.run_until([&] {
    return w.get("/apis/sluice.dev/v1alpha1/namespaces/apps/streamclusters/orders")
               .value("kind", "") == "Status";
  })) << "deletion";
  EXPECT_TRUE(w.claims().empty());
}

TEST(Lifecycle, WithoutFaultsAndWithoutNeedlessWrites) {
  LifecycleWorld w;
  live(w, true);
  EXPECT_EQ(w.lives(), 1);
  std::printf("%d API calls\n", w.calls());
}

// Seen: each pass over a cluster that stands still read its Secret; of 1,000 clusters, 33 reads a second.
TEST(Lifecycle, WhatStandsStillIsNotAskedFor) {
  LifecycleWorld w;
  w.create(spec());
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
  EXPECT_TRUE(w.writes_when_settled().empty());
  const int before = w.calls();
  EXPECT_TRUE(w.writes_when_settled().empty());
  EXPECT_EQ(w.calls(), before);
}

TEST(Lifecycle, AHorizontalPodAutoscalerIsSeenWhenItComesAndWhenItGoes) {
  LifecycleWorld w;
  w.create(spec());
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
  auto decides = [&] {
    const auto object = w.get("/apis/sluice.dev/v1alpha1/namespaces/apps/streamclusters/orders");
    for (const auto& entry : object.value("/status/conditions"_json_pointer, Json::array())) {
      if (entry.value("type", "") == "BrokersScaled") return entry.value("reason", "");
    }
    return std::string();
  };
  EXPECT_EQ(decides(), "");
  const std::string of_others = "/apis/autoscaling/v2/namespaces/apps/horizontalpodautoscalers/hpa";
  w.apply(of_others, {{"apiVersion", "autoscaling/v2"},
                      {"kind", "HorizontalPodAutoscaler"},
                      {"metadata", {{"namespace", "apps"}, {"name", "hpa"}}},
                      {"spec",
                       {{"scaleTargetRef",
                         {{"apiVersion", "sluice.dev/v1alpha1"},
                          {"kind", "StreamCluster"},
                          {"name", "orders"}}}}}});
  EXPECT_TRUE(w.run_until([&] { return decides() == "ScaleSubresource"; }));
  EXPECT_TRUE(w.writes_when_settled().empty());
  w.edit({{"autoscaling", {{"brokers", {{"min", 2}, {"max", 3}}}}}});
  EXPECT_TRUE(w.run_until([&] { return decides() == "Contended"; }));
  w.patch(of_others, {{"spec", {{"scaleTargetRef", {{"name", "another"}}}}}});
  EXPECT_TRUE(w.run_until([&] { return decides() == "Autoscaler"; }));
}

class Crash : public testing::TestWithParam<bool> {};

TEST_P(Crash, AtEveryCallItGetsThere) {
  for (int n = 1;; n++) {
    SCOPED_TRACE("at call " + std::to_string(n));
    LifecycleWorld w;
    w.crash_at(n, GetParam());
    live(w, false);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
    if (w.lives() == 1) {  // the life was over before
      EXPECT_GT(n, 60);
      return;
    }
    EXPECT_EQ(w.lives(), 2);
  }
}
INSTANTIATE_TEST_SUITE_P(Lifecycle, Crash, testing::Bool(), [](const auto& info) {
  return info.param ? "AfterTheCall" : "BeforeTheCall";
});

TEST(Lifecycle, UnderRandomFaults) {
  for (uint32_t seed = 1; seed <= 5; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    LifecycleWorld w;
    std::mutex mutex;
    std::mt19937 random(seed);
    w.fail([&](const ApiCall&) {
      std::lock_guard lock(mutex);
      switch (random() % 24) {
        case 0: return Fault::refuse(409);
        case 1: return Fault::refuse(503);
        case 2: return Fault::refuse(429, 0);
        case 3: return Fault::close_before();
        case 4: return Fault::close_after();
        case 5: return Fault::delay(5);
        case 6: return Fault::refuse(500);
        default: return Fault::none();
      }
    });
    live(w, false);
    if (HasFatalFailure()) return;
    w.fail([](const ApiCall&) { return Fault::none(); });
  }
}

}  // namespace
}  // namespace sluice_tests
