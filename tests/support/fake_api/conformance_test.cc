// One suite, two servers: what the client relies on holds on the fake API server and, when
// SLUICE_KUBE_BIN names a folder with kube-apiserver and etcd, on the real one.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/kube/cache/cache.h"
#include "operator/kube/events/recorder.h"
#include "operator/kube/lease/lease.h"
#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"
#include "tests/support/fake_api/real_api_server.h"

namespace sluice_tests {
namespace {

using broker::Code;
using namespace sluice_operator::kube;

class Conformance : public testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() {
    fake() = std::make_unique<FakeApiServer>();
    real() = RealApiServer::start();
    if (!real()) printf("note: SLUICE_KUBE_BIN is not set: no test against a real API server\n");
  }
  static void TearDownTestSuite() {
    fake().reset();
    real().reset();
  }
  static std::unique_ptr<FakeApiServer>& fake() {
    static std::unique_ptr<FakeApiServer> server;
    return server;
  }
  static std::unique_ptr<RealApiServer>& real() {
    static std::unique_ptr<RealApiServer> server;
    return server;
  }
  bool is_real() const { return std::string(GetParam()) == "real"; }

  void SetUp() override {
    if (is_real() && !real()) GTEST_SKIP() << "SLUICE_KUBE_BIN is not set";
    client = harness.connect(config());
    std::string test = testing::UnitTest::GetInstance()->current_test_info()->name();
    for (char c : test.substr(0, test.find('/'))) ns += static_cast<char>(tolower(c));
    Json object = {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", ns}}}};
    auto created = client->create(namespaces(), object);
    ASSERT_TRUE(created.ok()) << created.status().to_string();
  }
  ClientConfig config() const { return is_real() ? real()->client_config() : fake()->client_config(); }

  Json config_map(const std::string& name, Json data = Json::object()) const {
    return {{"apiVersion", "v1"},
            {"kind", "ConfigMap"},
            {"metadata", {{"namespace", ns}, {"name", name}}},
            {"data", std::move(data)}};
  }
  Json budget(const std::string& name, int max_unavailable) const {
    return {{"apiVersion", "policy/v1"},
            {"kind", "PodDisruptionBudget"},
            {"metadata", {{"namespace", ns}, {"name", name}}},
            {"spec", {{"maxUnavailable", max_unavailable}}}};
  }
  Json must(broker::Result<Json> result) {
    EXPECT_TRUE(result.ok()) << result.status().to_string();
    return result.ok() ? std::move(result).value() : Json::object();
  }

  ClientHarness harness;
  std::unique_ptr<Client> client;
  std::string ns;
};

TEST_P(Conformance, CreateGetAndTheirRefusals) {
  EXPECT_EQ(client->get(config_maps(), ns, "none").code(), Code::kNotFound);
  Json made = must(client->create(config_maps(), config_map("one", {{"a", "1"}})));
  EXPECT_FALSE(metadata_text(made, "uid").empty());
  EXPECT_EQ(client->create(config_maps(), config_map("one")).code(), Code::kAlreadyExists);
  EXPECT_EQ(client->create(config_maps(), config_map("Not_A_Name")).code(), Code::kInvalidArgument);
  Json read = must(client->get(config_maps(), ns, "one"));
  EXPECT_EQ(read["kind"], "ConfigMap");
  EXPECT_EQ(read["data"]["a"], "1");
  ResourceType nonsense{"nonsense.dev", "v1", "things", "Thing"};
  EXPECT_EQ(client->get(nonsense, ns, "x").code(), Code::kNotFound);
}

TEST_P(Conformance, ReplaceIsACompareAndSwap) {
  Json first = must(client->create(config_maps(), config_map("one", {{"n", "1"}})));
  Json second = first;
  second["data"]["n"] = "2";
  Json stored = must(client->replace(config_maps(), second));
  EXPECT_NE(metadata_text(stored, "resourceVersion"), metadata_text(first, "resourceVersion"));
  EXPECT_EQ(client->replace(config_maps(), first).code(), Code::kConflict);
  EXPECT_EQ(must(client->get(config_maps(), ns, "one"))["data"]["n"], "2");
}

TEST_P(Conformance, ListGoesThroughAllPagesAndSelects) {
  for (int i = 0; i < 7; ++i) {
    Json object = config_map("map-" + std::to_string(i));
    object["metadata"]["labels"] = {{"parity", i % 2 ? "odd" : "even"}};
    must(client->create(config_maps(), object));
  }
  auto all = client->list(config_maps(), {ns}, {.page_size = 3});
  ASSERT_TRUE(all.ok()) << all.status().to_string();
  ASSERT_EQ(all->items.size(), 7u);
  EXPECT_EQ(all->items[0]["kind"], "ConfigMap");
  EXPECT_EQ(all->items[0]["apiVersion"], "v1");
  EXPECT_FALSE(all->resource_version.empty());
  EXPECT_EQ(client->list(config_maps(), {ns, "parity=odd"}, {.page_size = 2})->items.size(), 3u);
  EXPECT_EQ(client->list(config_maps(), {ns, "parity!=odd"})->items.size(), 4u);
  EXPECT_EQ(client->list(config_maps(), {ns, "", "metadata.name=map-4"})->items.size(), 1u);
}

TEST_P(Conformance, ApplyOwnsItsFieldsOnly) {
  Json applied = must(client->apply(config_maps(), config_map("one", {{"a", "1"}, {"b", "2"}})));
  Json again = must(client->apply(config_maps(), config_map("one", {{"a", "1"}, {"b", "2"}})));
  EXPECT_EQ(metadata_text(again, "resourceVersion"), metadata_text(applied, "resourceVersion"));
  must(client->merge_patch(config_maps(), {ns, "one"}, {{"data", {{"theirs", "x"}}}}));
  Json fewer = must(client->apply(config_maps(), config_map("one", {{"a", "1"}})));
  EXPECT_EQ(fewer["data"], (Json{{"a", "1"}, {"theirs", "x"}}));
  // A field that somebody else set last: refused unless forced.
  must(client->merge_patch(config_maps(), {ns, "one"}, {{"data", {{"a", "changed"}}}}));
  auto refused = client->apply(config_maps(), config_map("one", {{"a", "1"}}), {.force = false});
  EXPECT_EQ(refused.code(), Code::kConflict) << refused.status().to_string();
  Json forced = must(client->apply(config_maps(), config_map("one", {{"a", "1"}})));
  EXPECT_EQ(forced["data"]["a"], "1");
}

TEST_P(Conformance, StatusIsWrittenApartFromTheRest) {
  Json made = must(client->apply(pod_disruption_budgets(), budget("one", 1)));
  EXPECT_EQ(made["metadata"]["generation"], 1);
  Json status = {{"status", {{"observedGeneration", 1}, {"currentHealthy", 2}, {"desiredHealthy", 1},
                             {"disruptionsAllowed", 1}, {"expectedPods", 3}}}};
  must(client->merge_patch(pod_disruption_budgets(), {ns, "one"}, status, "status"));
  Json read = must(client->get(pod_disruption_budgets(), ns, "one"));
  EXPECT_EQ(read["status"]["currentHealthy"], 2);
  EXPECT_EQ(read["metadata"]["generation"], 1);
  // Through the main door, status does not change, and a new spec is a new generation.
  status["status"]["currentHealthy"] = 9;
  must(client->merge_patch(pod_disruption_budgets(), {ns, "one"}, status));
  Json changed = must(client->apply(pod_disruption_budgets(), budget("one", 2)));
  EXPECT_EQ(changed["status"]["currentHealthy"], 2);
  EXPECT_EQ(changed["metadata"]["generation"], 2);
  Json by_apply = budget("one", 2);
  by_apply.erase("spec");
  by_apply["status"] = {{"currentHealthy", 3}, {"desiredHealthy", 1}, {"disruptionsAllowed", 1},
                        {"expectedPods", 3}};
  must(client->apply(pod_disruption_budgets(), by_apply, {.subresource = "status"}));
  read = must(client->get(pod_disruption_budgets(), ns, "one"));
  EXPECT_EQ(read["status"]["currentHealthy"], 3);
  EXPECT_EQ(read["spec"]["maxUnavailable"], 2);
}

TEST_P(Conformance, DeleteHonoursPreconditionsAndFinalizers) {
  Json made = must(client->create(config_maps(), config_map("one")));
  EXPECT_EQ(client->remove(config_maps(), {ns, "one"}, {.uid = "wrong"}).code(), Code::kConflict);
  EXPECT_TRUE(client->remove(config_maps(), {ns, "one"},
                             {.uid = metadata_text(made, "uid"), .propagation = "Background"}).ok());
  EXPECT_EQ(client->get(config_maps(), ns, "one").code(), Code::kNotFound);
  EXPECT_EQ(client->remove(config_maps(), {ns, "one"}).code(), Code::kNotFound);

  Json held = config_map("held");
  held["metadata"]["finalizers"] = {"sluice.dev/records"};
  must(client->create(config_maps(), held));
  EXPECT_TRUE(client->remove(config_maps(), {ns, "held"}).ok());
  EXPECT_FALSE(metadata_text(must(client->get(config_maps(), ns, "held")), "deletionTimestamp").empty());
  must(client->merge_patch(config_maps(), {ns, "held"}, {{"metadata", {{"finalizers", nullptr}}}}));
  EXPECT_EQ(client->get(config_maps(), ns, "held").code(), Code::kNotFound);
}

TEST_P(Conformance, WatchTellsEveryChangeAfterTheList) {
  must(client->create(config_maps(), config_map("before")));
  auto listed = client->list(config_maps(), {ns});
  StopSignal stop;
  std::mutex mutex;
  std::vector<std::string> seen;
  Thread watcher("watcher", [&] {
    client->watch(config_maps(), {ns}, {.resource_version = listed->resource_version}, stop,
                  [&](WatchEvent event) {
                    if (event.type == WatchEvent::Type::kBookmark) return;
                    std::lock_guard lock(mutex);
                    seen.push_back(std::to_string(static_cast<int>(event.type)) +
                                   metadata_text(event.object, "name"));
                  }).ignore_error("ends by stop");
  });
  must(client->create(config_maps(), config_map("one", {{"a", "1"}})));
  must(client->merge_patch(config_maps(), {ns, "one"}, {{"data", {{"a", "2"}}}}));
  ASSERT_TRUE(client->remove(config_maps(), {ns, "one"}).ok());
  EXPECT_TRUE(harness.eventually([&] {
    std::lock_guard lock(mutex);
    return seen == std::vector<std::string>{"0one", "1one", "2one"};
  }));
  const int64_t stopped_ms = harness.clock.mono_ms();
  stop.stop();
  watcher.join();
  EXPECT_LT(harness.clock.mono_ms() - stopped_ms, 1'500);
}

TEST_P(Conformance, WatchEndsByTheServersTimeAndRefusesTheFarPast) {
  auto listed = client->list(config_maps(), {ns});
  StopSignal stop;
  auto ignore = [](WatchEvent) {};
  auto ended = client->watch(config_maps(), {ns},
                             {.resource_version = listed->resource_version,
                              .server_timeout_seconds = 1}, stop, ignore);
  EXPECT_TRUE(ended.ok()) << ended.to_string();
  // The real server remembers the past of the kinds that it had at its start, so this one is new.
  ResourceType late{"tests.sluice.dev", "v1", "lates", "Late"};
  Json definition = {
      {"apiVersion", "apiextensions.k8s.io/v1"},
      {"kind", "CustomResourceDefinition"},
      {"metadata", {{"name", "lates.tests.sluice.dev"}}},
      {"spec",
       {{"group", late.group},
        {"scope", "Namespaced"},
        {"names", {{"plural", "lates"}, {"singular", "late"}, {"kind", "Late"}}},
        {"versions",
         {{{"name", "v1"},
           {"served", true},
           {"storage", true},
           {"schema", {{"openAPIV3Schema", {{"type", "object"}}}}}}}}}}};
  must(client->apply({"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                      "CustomResourceDefinition", false}, definition));
  ASSERT_TRUE(harness.eventually([&] { return client->list(late, {ns}).ok(); }));
  // A real server's watch cache of a new kind knows a moment later where its past begins.
  EXPECT_TRUE(harness.eventually([&] {
    return is_expired(client->watch(
        late, {ns}, {.resource_version = "1", .server_timeout_seconds = 1}, stop, ignore));
  }));
}

TEST_P(Conformance, ACacheFollowsTheServer) {
  Json object = config_map("one", {{"a", "1"}});
  object["metadata"]["labels"] = {{"kept", "yes"}};
  must(client->create(config_maps(), object));
  Cache cache(*client, harness.clock, harness.random, harness.metrics,
              {.type = config_maps(), .selection = {ns, "kept=yes"}});
  std::atomic<int> changes{0};
  cache.on_change([&](const JsonPtr&, const JsonPtr&) { ++changes; });
  cache.start();
  ASSERT_TRUE(cache.wait_synced(10'000));
  ASSERT_TRUE(cache.get(ns, "one"));
  EXPECT_FALSE((*cache.get(ns, "one"))["metadata"].contains("managedFields"));
  must(client->merge_patch(config_maps(), {ns, "one"}, {{"data", {{"a", "2"}}}}));
  EXPECT_TRUE(harness.eventually([&] { return (*cache.get(ns, "one"))["data"]["a"] == "2"; }));
  // Leaving the selection is a deletion.
  must(client->merge_patch(config_maps(), {ns, "one"}, {{"metadata", {{"labels", nullptr}}}}));
  EXPECT_TRUE(harness.eventually([&] { return !cache.get(ns, "one") && changes == 3; }));
}

TEST_P(Conformance, TheLeaseHasOneHolderAndPassesOnWhenReleased) {
  auto election = [&](const std::string& identity, std::atomic<int>& started) {
    LeaseOptions options{.ns = ns, .name = "leader", .identity = identity, .duration_ms = 15'000,
                         .renew_deadline_ms = 10'000, .retry_period_ms = 50};
    LeaderElection::Callbacks callbacks;
    callbacks.on_started = [&started] { ++started; };
    callbacks.on_lost = [] { ADD_FAILURE() << "lost"; };
    return std::make_unique<LeaderElection>(*client, harness.clock, harness.random, harness.metrics,
                                            options, callbacks);
  };
  std::atomic<int> first_started{0}, second_started{0};
  auto first = election("first", first_started), second = election("second", second_started);
  StopSignal stop_first, stop_second;
  Thread first_thread("first", [&] { first->run(stop_first); });
  ASSERT_TRUE(harness.eventually([&] { return first_started == 1; }));
  Thread second_thread("second", [&] { second->run(stop_second); });
  EXPECT_FALSE(stop_second.wait_ms(300));
  EXPECT_EQ(second_started, 0);
  stop_first.stop();
  first_thread.join();
  EXPECT_TRUE(harness.eventually([&] { return second_started == 1; }));
  Json lease = must(client->get(leases(), ns, "leader"));
  EXPECT_EQ(lease["spec"]["holderIdentity"], "second");
  stop_second.stop();
}

TEST_P(Conformance, EventsAreCounted) {
  Json about = must(client->create(config_maps(), config_map("one")));
  {
    EventRecorder recorder(*client, harness.clock, harness.metrics, "sluice-operator", "pod-1");
    recorder.record(about, EventType::kWarning, "ZonesMissing", "only 1 zone for 3 copies");
    recorder.record(about, EventType::kWarning, "ZonesMissing", "only 1 zone for 3 copies");
    recorder.record(about, EventType::kNormal, "Ready", "bad \xff bytes do no harm");
  }
  auto events = client->list(core_events(), {ns});
  ASSERT_TRUE(events.ok()) << events.status().to_string();
  ASSERT_EQ(events->items.size(), 2u);
  int total = 0;
  for (const auto& event : events->items) total += event["count"].get<int>();
  EXPECT_EQ(total, 3);
}

INSTANTIATE_TEST_SUITE_P(Servers, Conformance, testing::Values("fake", "real"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace sluice_tests
