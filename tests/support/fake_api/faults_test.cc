// The client, its caches and its lease against a server that misbehaves: nothing is lost, nothing
// is done twice, and an outcome that nobody knows is said to be unknown.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/kube/cache/cache.h"
#include "operator/kube/lease/lease.h"
#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"

namespace sluice_tests {
namespace {

using broker::Code;
using namespace sluice_operator::kube;

Json config_map(const std::string& name, const std::string& value = "1") {
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", {{"namespace", "ns"}, {"name", name}}},
          {"data", {{"value", value}}}};
}
const std::string kFolder = "/api/v1/namespaces/ns/configmaps/";

bool is_list(const ApiCall& call) { return call.method == "GET" && !call.is_watch(); }
bool is_watch(const ApiCall& call) { return call.is_watch(); }

class Faults : public testing::Test {
 protected:
  Faults() {
    client = harness.connect(server.client_config(), {.request_timeout_ms = 500,
                                                      .retry_base_ms = 2, .retry_cap_ms = 1'500});
  }
  // The n-th call from now meets `fault`.
  void fail_call(int n, Fault fault) {
    auto seen = std::make_shared<std::atomic<int>>(0);
    server.set_fault([=](const ApiCall&) { return ++*seen == n ? fault : Fault::none(); });
  }
  std::unique_ptr<Cache> start_cache(int64_t idle_timeout_ms = 5'000) {
    CacheOptions options{.type = config_maps(), .selection = {"ns"}};
    options.backoff_base_ms = 1;
    options.backoff_cap_ms = 20;
    options.watch.idle_timeout_ms = idle_timeout_ms;
    auto cache = std::make_unique<Cache>(*client, harness.clock, harness.random, harness.metrics,
                                         std::move(options));
    cache->on_change([this](const JsonPtr& before, const JsonPtr& after) {
      std::lock_guard lock(mutex);
      std::string value = after ? (*after)["data"]["value"].get<std::string>() : "gone";
      seen.push_back(key_of(after ? *after : *before).name + "=" + value);
    });
    cache->start();
    EXPECT_TRUE(cache->wait_synced(5'000));
    EXPECT_TRUE(harness.eventually([&] { return server.count(is_watch) > 0; }));
    return cache;
  }
  bool sees(const std::vector<std::string>& expected) {
    return harness.eventually([&] {
      std::lock_guard lock(mutex);
      return seen == expected;
    });
  }
  ClientHarness harness;
  FakeApiServer server;
  std::unique_ptr<Client> client;
  std::mutex mutex;
  std::vector<std::string> seen;
};

TEST_F(Faults, ReadsAreRetried) {
  server.apply(kFolder + "one", config_map("one"));
  for (Fault fault : {Fault::refuse(500), Fault::refuse(503), Fault::refuse(429, 1),
                      Fault::close_before(), Fault::close_after(), Fault::delay(700)}) {
    fail_call(1, fault);
    auto object = client->get(config_maps(), "ns", "one");
    EXPECT_TRUE(object.ok()) << object.status().to_string();
  }
  server.set_fault([](const ApiCall&) { return Fault::refuse(503); });
  EXPECT_EQ(client->get(config_maps(), "ns", "one").code(), Code::kUnavailable);
  server.set_fault([](const ApiCall&) { return Fault::refuse(403); });
  server.forget_calls();
  EXPECT_EQ(client->get(config_maps(), "ns", "one").code(), Code::kPermissionDenied);
  EXPECT_EQ(server.calls().size(), 1u);
}

TEST_F(Faults, AWriteIsSentOnceAndItsOutcomeMayBeUnknown) {
  fail_call(1, Fault::close_after());
  EXPECT_EQ(client->create(config_maps(), config_map("done")).code(), Code::kTimeout);
  EXPECT_EQ(server.get(kFolder + "done").code, 200);
  fail_call(1, Fault::close_before());
  EXPECT_EQ(client->create(config_maps(), config_map("not")).code(), Code::kTimeout);
  EXPECT_EQ(server.get(kFolder + "not").code, 404);
  fail_call(1, Fault::refuse(500));
  EXPECT_EQ(client->apply(config_maps(), config_map("not")).code(), Code::kTimeout);
  fail_call(1, Fault::delay(700));
  EXPECT_EQ(client->apply(config_maps(), config_map("late")).code(), Code::kTimeout);
  EXPECT_TRUE(harness.eventually([&] { return server.get(kFolder + "late").code == 200; }));
  EXPECT_EQ(server.writes(), 4);
}

// A kept-alive connection that dies under a write looks like one that the server had closed before;
// the HTTP library must not send the write a second time on its own.
TEST_F(Faults, AWriteIsSentOnceOnAReusedConnection) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client->get(config_maps(), "ns", "none").code(), Code::kNotFound);
    fail_call(1, Fault::close_after());
    EXPECT_EQ(client->create(config_maps(), config_map("map-" + std::to_string(i))).code(),
              Code::kTimeout);
    EXPECT_EQ(server.writes(), i + 1);
  }
}

TEST_F(Faults, AThrottledWriteIsSentAgain) {
  fail_call(1, Fault::refuse(429, 1));
  EXPECT_TRUE(client->create(config_maps(), config_map("one")).ok());
  EXPECT_EQ(server.writes(), 2);
  // Told to wait longer than a thread should: the caller hears of it.
  fail_call(1, Fault::refuse(429, 60));
  EXPECT_EQ(client->create(config_maps(), config_map("two")).code(), Code::kUnavailable);
}

TEST_F(Faults, NobodyListening) {
  ClientConfig nowhere;
  {
    FakeApiServer gone;
    nowhere = gone.client_config();
  }
  auto lost = harness.connect(nowhere, {.retry_base_ms = 1});
  EXPECT_EQ(lost->create(config_maps(), config_map("one")).code(), Code::kUnavailable);
  EXPECT_EQ(lost->get(config_maps(), "ns", "one").code(), Code::kUnavailable);
}

TEST_F(Faults, StopEndsACallInFlight) {
  server.set_fault([](const ApiCall&) { return Fault::delay(5'000); });
  auto patient = harness.connect(server.client_config(), {.request_timeout_ms = 60'000});
  const int64_t started_ms = harness.clock.mono_ms();
  Thread caller("caller", [&] {
    EXPECT_FALSE(patient->get(config_maps(), "ns", "one").ok());
  });
  ASSERT_TRUE(harness.eventually([&] { return !server.calls().empty(); }));
  patient->stop();
  caller.join();
  EXPECT_LT(harness.clock.mono_ms() - started_ms, 4'000);
}

TEST_F(Faults, AListThatExpiresHalfWayStartsAgain) {
  for (int i = 0; i < 5; ++i) {
    std::string name = "map-" + std::to_string(i);
    server.apply(kFolder + name, config_map(name));
  }
  auto once = std::make_shared<std::atomic<bool>>(false);
  server.set_fault([this, once](const ApiCall& call) {
    if (call.query.contains("continue") && !once->exchange(true)) server.expire();
    return Fault::none();
  });
  auto listed = client->list(config_maps(), {"ns"}, {.page_size = 2});
  ASSERT_TRUE(listed.ok()) << listed.status().to_string();
  EXPECT_EQ(listed->items.size(), 5u);
}

TEST_F(Faults, ABrokenWatchResumesWithoutLossOrRepetition) {
  auto cache = start_cache();
  server.apply(kFolder + "one", config_map("one"));
  ASSERT_TRUE(sees({"one=1"}));
  for (bool torn : {false, true}) {
    server.drop_watches(torn);
    server.apply(kFolder + "one", config_map("one", torn ? "3" : "2"));
  }
  EXPECT_TRUE(sees({"one=1", "one=2", "one=3"}));
  EXPECT_EQ(server.count(is_list), 1);
}

TEST_F(Faults, AnExpiredWatchListsAgainAndNoticesWhatIsGone) {
  server.apply(kFolder + "one", config_map("one"));
  server.apply(kFolder + "two", config_map("two"));
  auto cache = start_cache();
  ASSERT_TRUE(sees({"one=1", "two=1"}));
  server.set_fault([](const ApiCall& call) {
    return call.is_watch() ? Fault::refuse(503) : Fault::none();
  });
  server.drop_watches();
  server.remove(kFolder + "two");
  server.apply(kFolder + "three", config_map("three"));
  server.expire();
  server.set_fault(nullptr);
  EXPECT_TRUE(sees({"one=1", "two=1", "three=1", "two=gone"}));
}

TEST_F(Faults, BookmarksSaveAList) {
  server.set_bookmark_ms(5);
  auto cache = start_cache();
  // Much happens that this cache does not select; a bookmark carries it past that.
  for (int i = 0; i < 20; ++i) {
    server.apply("/api/v1/namespaces/other/secrets/s", {{"apiVersion", "v1"}, {"kind", "Secret"},
                 {"metadata", {{"name", "s"}}}, {"data", {{"n", std::to_string(i)}}}});
  }
  StopSignal never;
  never.wait_ms(100);
  server.drop_watches();
  server.apply(kFolder + "one", config_map("one"));
  EXPECT_TRUE(sees({"one=1"}));
  EXPECT_EQ(server.count(is_list), 1);
}

TEST_F(Faults, ASilentWatchIsTakenForDead) {
  auto cache = start_cache(150);
  server.freeze_watches(true);
  StopSignal never;
  never.wait_ms(100);  // longer than a bookmark: every open watch has fallen silent
  server.freeze_watches(false);
  server.apply(kFolder + "one", config_map("one"));
  EXPECT_TRUE(sees({"one=1"}));
}

TEST_F(Faults, ACacheSurvivesAnOutageFromTheStart) {
  server.set_fault([](const ApiCall& call) {
    return call.number <= 12 ? Fault::refuse(503) : Fault::none();
  });
  server.apply(kFolder + "one", config_map("one"));
  auto cache = start_cache();
  EXPECT_TRUE(sees({"one=1"}));
}

// An operator of a newer image and an older chart, which has no right to read HorizontalPodAutoscalers, never
// began.
TEST_F(Faults, AKindThatMayNotBeListedIsDoneWithoutUntilItMay) {
  server.apply(kFolder + "a", config_map("a"));
  server.set_fault([](const ApiCall&) { return Fault::refuse(403); });
  CacheOptions options{.type = config_maps(), .selection = {"ns"}, .optional = true};
  options.backoff_cap_ms = 20;
  Cache cache(*client, harness.clock, harness.random, harness.metrics, std::move(options));
  cache.start();
  ASSERT_TRUE(cache.wait_synced(5'000));
  EXPECT_TRUE(cache.keys().empty());
  server.set_fault([](const ApiCall&) { return Fault::none(); });
  EXPECT_TRUE(harness.eventually([&] { return cache.keys().size() == 1; }));
}

TEST_F(Faults, TheLeaseIsGivenUpWhenTheServerIsOut) {
  LeaseOptions options{.ns = "ns", .name = "leader", .identity = "a", .duration_ms = 600,
                       .renew_deadline_ms = 400, .retry_period_ms = 50};
  auto own = harness.connect(server.client_config(), client_options(options));
  std::atomic<bool> started{false}, lost{false};
  LeaderElection::Callbacks callbacks;
  callbacks.on_started = [&] { started = true; };
  callbacks.on_lost = [&] { lost = true; };
  LeaderElection election(*own, harness.clock, harness.random, harness.metrics, options, callbacks);
  StopSignal stop;
  Thread thread("lease", [&] { election.run(stop); });
  ASSERT_TRUE(harness.eventually([&] { return started.load(); }));
  // A blip shorter than the deadline does no harm.
  server.set_fault([](const ApiCall&) { return Fault::refuse(503); });
  EXPECT_FALSE(stop.wait_ms(150));
  server.set_fault(nullptr);
  EXPECT_FALSE(stop.wait_ms(200));
  EXPECT_FALSE(lost);
  const int64_t out_ms = harness.clock.mono_ms();
  server.set_fault([](const ApiCall&) { return Fault::close_before(); });
  thread.join();
  EXPECT_TRUE(lost);
  EXPECT_LT(harness.clock.mono_ms() - out_ms, 600 + 100);
}

}  // namespace
}  // namespace sluice_tests
