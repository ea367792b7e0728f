// KubeStore against an API server over HTTP. Its jobs run when the test says so.
#include "operator/metadata/kube_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <new>
#include <nlohmann/json.hpp>
#include <set>

#include "broker/env/posix/asio_executor.h"
#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"

namespace sluice_tests {
namespace {

using broker::Code;
using sluice_operator::metadata::ClusterRef;
using sluice_operator::metadata::KubeStore;

class HeldQueue : public broker::env::IoQueue {
 public:
  void submit(Work work, Done done) override {
    jobs_.emplace_back(std::move(work), std::move(done));
  }
  size_t size() const { return jobs_.size(); }
  void run() {
    while (!jobs_.empty()) {
      auto [work, done] = std::move(jobs_.front());
      jobs_.pop_front();
      done(work());
    }
  }

 private:
  std::deque<std::pair<Work, Done>> jobs_;
};

class KubeStoreTest : public testing::Test {
 protected:
  // Everything that a store can ask, with answers that must come only while it lives.
  void ask_everything(KubeStore& store) {
    auto expect_alive = [this](const auto&) { EXPECT_TRUE(alive_) << "answered after its end"; };
    sluice::v1::ShardMap map;
    map.set_stream("s");
    map.set_stream_id("4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11");
    store.load(expect_alive);
    store.read_map("", "s", expect_alive);
    store.write_map(map, "", expect_alive);
    store.remove_map("", "s", "1", expect_alive);
    store.create_stream({.name = "t"}, expect_alive);
    store.update_stream({.name = "t"}, expect_alive);
    store.delete_stream("t", expect_alive);
    store.alter_client_quotas({}, expect_alive);
    store.allocate_producer_ids(1000, expect_alive);
    store.write_ledger({}, "", expect_alive);
    store.read_ledger(expect_alive);
  }

  ClientHarness harness_;
  FakeApiServer server_;
  std::unique_ptr<sluice_operator::kube::Client> client_ =
      harness_.connect(server_.client_config());
  broker::env::AsioExecutor executor_;
  HeldQueue io_;
  const ClusterRef cluster_{"default", "c", "4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a12"};
  bool alive_ = true;
};

// A cluster that was deleted while requests waited took its store away under them.
TEST_F(KubeStoreTest, RequestsOutliveTheStore) {
  alignas(KubeStore) std::byte memory[sizeof(KubeStore)];
  auto* store = new (memory) KubeStore(*client_, executor_, io_, cluster_);
  ask_everything(*store);
  ASSERT_EQ(io_.size(), 11u);
  store->~KubeStore();
  std::memset(memory, 0xdd, sizeof memory);
  alive_ = false;
  io_.run();
  EXPECT_EQ(server_.count([](const ApiCall& call) {
    return call.method == "POST" && call.path.find("/default/") != std::string::npos;
  }),
            5)
      << "the map, the stream, quotas, ids and the ledger are written all the same";
}

TEST_F(KubeStoreTest, MapsAreSwappedByTheVersionThatWasRead) {
  KubeStore store(*client_, executor_, io_, cluster_);
  sluice::v1::ShardMap map;
  map.set_stream("s");
  map.set_stream_id("4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11");
  std::string version;
  auto write = [&](const std::string& expected) {
    Code code = Code::kInternal;
    map.mutable_config()->set_retention_ms(map.config().retention_ms() + 1);
    store.write_map(map, expected, [&](broker::Result<std::string> written) {
      code = written.code();
      if (written.ok()) version = *written;
    });
    io_.run();
    return code;
  };
  EXPECT_EQ(write(""), Code::kOk);
  const std::string first = version;
  EXPECT_EQ(write(""), Code::kConflict) << "it is there";
  EXPECT_EQ(write(first), Code::kOk);
  EXPECT_NE(version, first);
  EXPECT_EQ(write(first), Code::kConflict) << "it has moved";
  std::optional<broker::coordination::StoreContents> contents;
  store.load([&](broker::Result<broker::coordination::StoreContents> loaded) {
    ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
    contents = std::move(*loaded);
  });
  io_.run();
  ASSERT_EQ(contents->maps.size(), 1u);
  EXPECT_EQ(contents->maps[0].version, version);
  EXPECT_EQ(contents->cluster_id, cluster_.uid);
}

// What the API server has under a map's name; null: nothing.
class KubeStoreLoadTest : public KubeStoreTest {
 protected:
  KubeStoreLoadTest() {
    sluice::v1::ShardMap map;
    map.set_stream("s");
    map.set_stream_id("4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11");
    store_.write_map(map, "", [](const auto& written) { ASSERT_TRUE(written.ok()); });
    io_.run();
  }
  void put_stream(const std::string& cluster) {
    server_.apply("/apis/sluice.dev/v1alpha1/namespaces/default/streams/s",
                  {{"apiVersion", "sluice.dev/v1alpha1"},
                   {"kind", "Stream"},
                   {"metadata", {{"name", "s"}, {"namespace", "default"}}},
                   {"spec", {{"cluster", cluster}, {"mode", "Partitioned"}, {"partitions", 1}}}});
  }
  std::set<std::string> declared() {
    std::set<std::string> names;
    store_.load([&](broker::Result<broker::coordination::StoreContents> loaded) {
      ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
      ASSERT_TRUE(loaded->declarations);
      for (const auto& one : *loaded->declarations) names.insert(one.name);
    });
    io_.run();
    return names;
  }
  int reads_of(const std::string& what) {
    return server_.count([&](const ApiCall& call) {
      return call.method == "GET" && call.path.ends_with(what);
    });
  }
  KubeStore store_{*client_, executor_, io_, cluster_};
};

// Seen: each of 1,000 coordinators listed all 10,000 streams of the namespace.
TEST_F(KubeStoreLoadTest, StreamsComeFromTheWatch) {
  auto stream = std::make_shared<sluice_operator::api::Stream>();
  stream->metadata.name = stream->spec.name = "s";
  store_.stream_seen("s", stream);
  EXPECT_EQ(declared(), std::set<std::string>{"s"});
  EXPECT_EQ(reads_of("/streams") + reads_of("/streams/s"), 0);
}

// A watch may lag behind: the records of a stream that it has not shown yet must stay.
TEST_F(KubeStoreLoadTest, AStreamWithAMapThatTheWatchHasNotShownIsAskedFor) {
  put_stream("c");
  EXPECT_EQ(declared(), std::set<std::string>{"s"});
  EXPECT_EQ(reads_of("/streams/s"), 1);
}

TEST_F(KubeStoreLoadTest, AMapWithoutItsStreamIsNobodys) {
  EXPECT_TRUE(declared().empty());
  put_stream("another");
  EXPECT_TRUE(declared().empty());
}

TEST_F(KubeStoreTest, ProducerIdsAreGivenOutOnceWhateverBecomesOfTheAnswer) {
  KubeStore store(*client_, executor_, io_, cluster_);
  std::vector<int64_t> firsts;
  auto allocate = [&] {
    store.allocate_producer_ids(10, [&](broker::Result<int64_t> first) {
      ASSERT_TRUE(first.ok()) << first.status().to_string();
      firsts.push_back(*first);
    });
    io_.run();
  };
  allocate();
  bool lost = false;
  server_.set_fault([&](const ApiCall& call) {
    if (call.method != "PUT" || lost) return Fault::none();
    lost = true;
    return Fault::close_after();
  });
  allocate();
  server_.set_fault(nullptr);
  allocate();
  EXPECT_EQ(firsts, (std::vector<int64_t>{0, 20, 30})) << "10 to 19 may have been given out";
}

}  // namespace
}  // namespace sluice_tests
