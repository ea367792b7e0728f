// The planned objects of a StreamCluster on an API server, fake and real: they are accepted as they
// are, a second pass writes nothing, and an edit by somebody else is undone.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/apply/apply.h"
#include "operator/apply/remove.h"
#include "operator/plan/stream_cluster.h"
#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"
#include "tests/support/fake_api/real_api_server.h"

namespace sluice_tests {
namespace {

using namespace sluice_operator;

const kube::ResourceType& type_of(const std::string& kind) {
  for (const auto* type : {&kube::service_accounts(), &kube::config_maps(), &kube::services(),
                           &kube::network_policies(), &kube::pod_disruption_budgets(),
                           &kube::stateful_sets(), &kube::secrets()}) {
    if (type->kind == kind) return *type;
  }
  return kube::pods();
}

// Number of objects that a pass wrote; -1 when the server refused one.
int pass(kube::Client& client, const std::vector<Json>& objects) {
  int written = 0;
  for (const auto& object : objects) {
    const auto& type = type_of(object["kind"]);
    auto key = kube::key_of(object);
    auto found = client.get(type, key.ns, key.name);
    kube::JsonPtr live = found.ok() ? std::make_shared<const Json>(*found) : nullptr;
    const bool same = live && apply::holds(object, *live);
    auto result = apply::apply_object(client, type, object, live);
    EXPECT_TRUE(result.ok()) << result.status().to_string();
    if (!result.ok()) return -1;
    if (live && !same && !*result) ADD_FAILURE() << "a write for nothing: " << type.kind;
    written += *result ? 1 : 0;
  }
  return written;
}

void run_on(const kube::ClientConfig& config) {
  ClientHarness harness;
  auto client = harness.connect(config);
  Json ns = {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", "apps"}}}};
  ASSERT_TRUE(client->create(kube::namespaces(), ns).ok());
  api::StreamCluster cluster;
  cluster.metadata.ns = "apps";
  cluster.metadata.name = "orders";
  cluster.metadata.uid = "11111111-2222-4333-8444-555555555555";
  cluster.spec.requests = {{"cpu", "0.5"}, {"memory", "1024Mi"}};
  auto settings = plan::pod_settings(cluster.spec, "sluice:dev", "sluice.sluice:9443");
  auto objects = plan::desired_objects({cluster, settings, "sluice:dev", 3});
  EXPECT_EQ(pass(*client, objects), static_cast<int>(objects.size()));
  EXPECT_EQ(pass(*client, objects), 0);
  ASSERT_TRUE(client->merge_patch(kube::stateful_sets(), {"apps", "orders"},
                                  {{"spec", {{"replicas", 1}}}}).ok());
  ASSERT_TRUE(client->remove(kube::services(), {"apps", "orders"}).ok());
  EXPECT_EQ(pass(*client, objects), 2);
  EXPECT_EQ(pass(*client, objects), 0);
  // The claims of this cluster go, and nothing that only looks like them.
  for (std::string name : {"data-orders-0", "data-orders-1", "data-orders-x", "data-other-0"}) {
    Json claim = {{"apiVersion", "v1"},
                  {"kind", "PersistentVolumeClaim"},
                  {"metadata", {{"namespace", "apps"}, {"name", name},
                                {"labels", plan::broker_labels("orders")}}},
                  {"spec", {{"accessModes", {"ReadWriteOnce"}},
                            {"resources", {{"requests", {{"storage", "1Gi"}}}}}}}};
    ASSERT_TRUE(client->create(kube::persistent_volume_claims(), claim).ok());
  }
  auto removed = apply::remove_volume_claims(*client, cluster.metadata, plan::broker_selector("orders"));
  ASSERT_TRUE(removed.ok()) << removed.status().to_string();
  EXPECT_EQ(*removed, 2);
  auto secret = client->apply(kube::secrets(), plan::tls_secret(cluster, "ca", "cert", "key"));
  EXPECT_TRUE(secret.ok()) << secret.status().to_string();
}

TEST(PlanAndApply, OnTheFakeServer) {
  FakeApiServer server;
  run_on(server.client_config());
}

TEST(PlanAndApply, OnARealServer) {
  auto server = RealApiServer::start();
  if (!server) GTEST_SKIP() << "SLUICE_KUBE_BIN is not set: no test against a real API server";
  run_on(server->client_config());
}

}  // namespace
}  // namespace sluice_tests
