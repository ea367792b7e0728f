// What the admission webhook asks of the API server: as little as it needs, also of an old server.
#include "operator/webhook/live_world.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"

namespace sluice_tests {
namespace {

using sluice_operator::webhook::LiveWorld;

class LiveWorldTest : public testing::Test {
 protected:
  LiveWorldTest() {
    put("a", "one");
    put("b", "one");
    put("c", "another");
  }
  void put(const std::string& name, const std::string& cluster) {
    server_.apply("/apis/sluice.dev/v1alpha1/namespaces/ns/streams/" + name,
                  {{"apiVersion", "sluice.dev/v1alpha1"},
                   {"kind", "Stream"},
                   {"metadata", {{"name", name}, {"namespace", "ns"}}},
                   {"spec", {{"cluster", cluster}, {"mode", "Partitioned"}, {"partitions", 1}}}});
  }
  std::set<std::string> streams() {
    std::set<std::string> names;
    auto found = world_.streams("ns", "one");
    EXPECT_TRUE(found.ok()) << found.status().to_string();
    if (!found.ok()) return names;
    for (const auto& stream : *found) names.insert(stream.metadata.name);
    return names;
  }
  int selections() {
    return server_.count([](const ApiCall& call) { return call.query.contains("fieldSelector"); });
  }

  ClientHarness harness_;
  FakeApiServer server_;
  std::unique_ptr<sluice_operator::kube::Client> client_ =
      harness_.connect(server_.client_config());
  LiveWorld world_{*client_};
};

// Seen: each question about a stream read every stream of its namespace.
TEST_F(LiveWorldTest, StreamsOfOtherClustersAreNotRead) {
  EXPECT_EQ(streams(), (std::set<std::string>{"a", "b"}));
}

TEST_F(LiveWorldTest, AServerThatCannotSelectIsAskedForAllAndOnce) {
  server_.set_fault([](const ApiCall& call) {
    return call.query.contains("fieldSelector") ? Fault::refuse(400) : Fault::none();
  });
  EXPECT_EQ(streams(), (std::set<std::string>{"a", "b", "c"}));
  EXPECT_EQ(streams(), (std::set<std::string>{"a", "b", "c"}));
  EXPECT_EQ(selections(), 1);
}

}  // namespace
}  // namespace sluice_tests
