// The coordinators of a process: whose requests wait for whose, and how often they are ticked.
#include "operator/reconcile/clusters.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "operator/runtime/controller.h"
#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"

namespace sluice_tests {
namespace {

using sluice_operator::coordinator::SessionServer;
using sluice_operator::coordinator::SessionServerOptions;
using sluice_operator::reconcile::Clusters;
namespace api = sluice_operator::api;
namespace kube = sluice_operator::kube;
namespace runtime = sluice_operator::runtime;

class ClustersTest : public testing::Test {
 protected:
  ClustersTest() : thread_([this] { executor_.run(); }) {
    on_executor([&] { clusters_.start(); });
  }
  ~ClustersTest() override {
    client_->stop();
    executor_.stop();
    thread_.join();
  }
  void on_executor(std::function<void()> work) {
    std::promise<void> done;
    executor_.post([&] {
      work();
      done.set_value();
    });
    done.get_future().get();
  }
  // Until the coordinator's next tick, as it stands now.
  int64_t ms_to_its_tick(const kube::ObjectKey& key) {
    int64_t left_ms = -1;
    on_executor([&] {
      left_ms = clusters_.all().at(key)->due->first - harness_.clock.mono_ms();
    });
    return left_ms;
  }

  ClientHarness harness_;
  FakeApiServer server_;
  std::unique_ptr<kube::Client> client_ = harness_.connect(server_.client_config());
  broker::env::AsioExecutor executor_;
  SessionServer sessions_{executor_, SessionServerOptions{}};
  Clusters clusters_{executor_, harness_.clock, harness_.random, *client_, harness_.metrics,
                     sessions_};
  std::thread thread_;
};

// One queue for all: the first reads of 1,000 coordinators waited for each other.
TEST_F(ClustersTest, ItsOwnRequestsKeepTheirOrderAndOthersGoOnBeside) {
  std::set<broker::env::IoQueue*> queues;
  for (int i = 0; i < 100; ++i) {
    const kube::ObjectKey key{"ns", "c" + std::to_string(i)};
    EXPECT_EQ(&clusters_.io(key), &clusters_.io(key));
    queues.insert(&clusters_.io(key));
  }
  EXPECT_EQ(queues.size(), 4u);
}

// 1,000 of them took a fifth of a core.
TEST_F(ClustersTest, OneWithoutBrokersIsNotTicked) {
  constexpr int64_t kLongMs = 5000;
  api::StreamCluster cluster;
  cluster.metadata.ns = "ns";
  cluster.metadata.name = "c";
  cluster.metadata.uid = "u";
  cluster.spec.brokers = 1;
  clusters_.follow(cluster, {});
  const kube::ObjectKey key{"ns", "c"};
  EXPECT_LE(ms_to_its_tick(key), 100);
  ASSERT_TRUE(harness_.eventually([&] { return ms_to_its_tick(key) > kLongMs; }));
  // Said again, nothing has changed.
  clusters_.follow(cluster, {});
  EXPECT_GT(ms_to_its_tick(key), kLongMs);
  auto stream = std::make_shared<api::Stream>();
  stream->metadata.name = stream->spec.name = "s";
  stream->metadata.resource_version = "1";
  clusters_.stream_seen(key, "s", stream);
  EXPECT_LE(ms_to_its_tick(key), 100);
  // Gone in the middle of it.
  clusters_.forget(key);
  on_executor([&] { EXPECT_TRUE(clusters_.all().empty()); });
}

// What a controller makes of a watch.
class WatchedTest : public testing::Test {
 protected:
  struct Seen : runtime::Reconciler {
    std::mutex mutex;
    std::vector<std::string> names;
    runtime::Outcome reconcile(const runtime::Key& key) override {
      std::lock_guard lock(mutex);
      names.push_back(key.name);
      return runtime::Outcome::done();
    }
    std::vector<std::string> so_far() {
      std::lock_guard lock(mutex);
      return names;
    }
  };
  ~WatchedTest() override {
    controller_.stop();
    cache_.stop();
  }
  void put(const std::string& name, const std::string& value) {
    server_.apply("/api/v1/namespaces/ns/configmaps/" + name,
                  {{"apiVersion", "v1"},
                   {"kind", "ConfigMap"},
                   {"metadata", {{"name", name}, {"namespace", "ns"}}},
                   {"data", {{"a", value}}}});
  }
  bool is_known(const std::string& name, const std::string& value) {
    return harness_.eventually([&] {
      auto object = cache_.get("ns", name);
      return object && (*object)["data"]["a"] == value;
    });
  }
  bool looks(size_t count) {
    return harness_.eventually([&] { return seen_.so_far().size() >= count; });
  }

  ClientHarness harness_;
  FakeApiServer server_;
  std::unique_ptr<kube::Client> client_ = harness_.connect(server_.client_config());
  Seen seen_;
  kube::Cache cache_{*client_, harness_.clock, harness_.random, harness_.metrics,
                     {.type = kube::config_maps()}};
  runtime::Controller controller_{
      {"test", 1, {}, "Test"}, seen_, harness_.clock, harness_.random, harness_.metrics};
};

// A roll changes pods, the set and claims within moments: each of them was a look and a write of status.
TEST_F(WatchedTest, ABurstOfChangesIsOneLook) {
  controller_.watch(cache_, runtime::map_to_self(), nullptr, 300);
  put("c", "0");
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(10'000));
  controller_.start();
  ASSERT_TRUE(looks(1));
  for (int i = 1; i <= 10; ++i) {
    put("c", std::to_string(i));
    ASSERT_TRUE(is_known("c", std::to_string(i)));
  }
  ASSERT_TRUE(looks(2));
  kube::StopSignal never;
  never.wait_ms(400);
  EXPECT_LE(seen_.so_far().size(), 3u);  // or two, where the machine took its time between two changes
}

// After a start there is a fleet to be looked at: a change is not to wait for all of it.
TEST_F(WatchedTest, AChangeGoesBeforeWhatWasThereAtTheStart) {
  controller_.watch(cache_, runtime::map_to_self());
  for (const char* name : {"a", "b", "c", "d"}) put(name, "0");
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(10'000));
  put("d", "1");
  ASSERT_TRUE(is_known("d", "1"));
  ASSERT_TRUE(harness_.eventually([&] {
    return harness_.metrics.expose().find(R"(queue_depth{controller="test"} 4)") != std::string::npos;
  }));
  kube::StopSignal never;
  never.wait_ms(50);  // handlers are called after the cache has it
  controller_.start();
  ASSERT_TRUE(looks(4));
  EXPECT_EQ(seen_.so_far(), (std::vector<std::string>{"d", "a", "b", "c"}));
}

}  // namespace
}  // namespace sluice_tests
