// What becomes of a StreamCluster's children when somebody else has a hand in them: objects of the same
// names that are another's, children that were orphaned or deleted.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/fake_api/lifecycle_world.h"

namespace sluice_tests {
namespace {

using kube::Json;

constexpr const char* kClusterPath =
    "/apis/sluice.dev/v1alpha1/namespaces/apps/streamclusters/orders";
constexpr const char* kCore = "/api/v1/namespaces/apps/";

Json small() {
  return {{"brokers", 2}, {"storage", {{"size", "1Gi"}, {"deletionPolicy", "Delete"}}}};
}

std::string told(const LifecycleWorld& w, const std::string& type) {
  const Json cluster = w.get(kClusterPath);
  for (const auto& condition : cluster.value("/status/conditions"_json_pointer, Json::array())) {
    if (condition["type"] == type) return condition["message"];
  }
  return "";
}

bool gone(const LifecycleWorld& w, const std::string& path) {
  return w.get(path).value("kind", std::string()) == "Status";
}

void put(LifecycleWorld& w, const std::string& kind, const std::string& plural, const std::string& name,
         const Json& rest) {
  Json object = {{"apiVersion", "v1"},
                 {"kind", kind},
                 {"metadata", {{"namespace", "apps"}, {"name", name}, {"labels", {{"app", name}}}}}};
  object.update(rest);
  w.apply(kCore + plural + "/" + name, object);
}

// Seen on a real cluster: a StreamCluster named like somebody's Service and ConfigMap took both over, and
// its deletion removed them.
TEST(Children, ObjectsOfSomebodyElseAreLeftAlone) {
  LifecycleWorld w;
  put(w, "Service", "services", "orders", {{"spec", {{"selector", {{"app", "orders"}}}}}});
  put(w, "ConfigMap", "configmaps", "orders-config", {{"data", {{"a", "b"}}}});
  const Json service = w.get(std::string(kCore) + "services/orders");
  const Json config = w.get(std::string(kCore) + "configmaps/orders-config");
  w.create(small());
  ASSERT_TRUE(w.run_until([&] { return !told(w, "Degraded").empty(); }));
  EXPECT_FALSE(w.run_until([&] { return w.ready(2); }, 20));
  EXPECT_EQ(w.get(std::string(kCore) + "services/orders"), service);
  EXPECT_EQ(w.get(std::string(kCore) + "configmaps/orders-config"), config);
  EXPECT_EQ(told(w, "Degraded"),
            "ConfigMap orders-config belongs to something else, and is left alone; rename the "
            "StreamCluster or remove it");
  w.discard(std::string(kCore) + "configmaps/orders-config");
  w.discard(std::string(kCore) + "services/orders");
  EXPECT_TRUE(w.run_until([&] { return w.ready(2); }));
}

// Seen on a real cluster: after `kubectl delete --cascade=orphan` a StreamCluster that was made again
// waited for good for somebody to remove the Secret of the brokers that were still running.
TEST(Children, ThoseOfAnOrphaningDeletionAreTakenUp) {
  LifecycleWorld w;
  Json spec = small();
  spec["listeners"] = {{{"name", "secure"}, {"port", 9093}, {"tls", true}}};
  w.create(spec);
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
  const std::vector<std::string> children = {
      "/api/v1/namespaces/apps/services/orders", "/api/v1/namespaces/apps/configmaps/orders-config",
      "/api/v1/namespaces/apps/secrets/orders-tls", "/api/v1/namespaces/apps/secrets/orders-client-tls",
      "/api/v1/namespaces/apps/secrets/orders-clients-ca",
      "/apis/apps/v1/namespaces/apps/statefulsets/orders"};
  std::vector<Json> before;
  for (const auto& child : children) before.push_back(w.get(child));
  w.patch(kClusterPath, {{"metadata", {{"finalizers", {"orphan", api::kFinalizer}}}}});
  w.remove();
  ASSERT_TRUE(w.run_until([&] {
    return w.get(kClusterPath)["metadata"]["finalizers"] == Json({"orphan"});
  }));
  for (const auto& child : children) w.patch(child, {{"metadata", {{"ownerReferences", nullptr}}}});
  for (const char* other :
       {"/api/v1/namespaces/apps/serviceaccounts/orders", "/api/v1/namespaces/apps/services/orders-brokers",
        "/apis/networking.k8s.io/v1/namespaces/apps/networkpolicies/orders",
        "/apis/policy/v1/namespaces/apps/poddisruptionbudgets/orders"}) {
    w.patch(other, {{"metadata", {{"ownerReferences", nullptr}}}});
  }
  w.patch(kClusterPath, {{"metadata", {{"finalizers", nullptr}}}});
  ASSERT_TRUE(w.run_until([&] { return gone(w, kClusterPath); }));
  EXPECT_EQ(w.claims().size(), 2u) << "volumes of brokers that go on running";
  const int restarts = w.restarts();
  w.create(spec);
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); })) << told(w, "Degraded");
  EXPECT_EQ(w.restarts(), restarts);
  const std::string uid = w.get(kClusterPath)["metadata"]["uid"];
  for (size_t i = 0; i < children.size(); ++i) {
    const Json now = w.get(children[i]);
    EXPECT_EQ(now["metadata"]["uid"], before[i]["metadata"]["uid"]) << children[i];
    EXPECT_TRUE(reconcile::owned_by(now, uid)) << children[i];
    if (now.contains("data")) EXPECT_EQ(now["data"], before[i]["data"]) << children[i];
  }
}

// The garbage collector may be done before the operator looks, one that was away at that time: then nothing but
// the children tells that they were orphaned.
TEST(Children, AnOrphaningDeletionThatIsOverBeforeItIsSeenKeepsTheVolumes) {
  LifecycleWorld w;
  w.create(small());
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
  w.patch(kClusterPath, {{"metadata", {{"finalizers", {"orphan", api::kFinalizer}}}}});
  w.remove();
  w.patch("/apis/apps/v1/namespaces/apps/statefulsets/orders",
          {{"metadata", {{"ownerReferences", nullptr}}}});
  w.patch(kClusterPath, {{"metadata", {{"finalizers", {api::kFinalizer}}}}});
  ASSERT_TRUE(w.run_until([&] { return gone(w, kClusterPath); }));
  EXPECT_EQ(w.claims().size(), 2u) << "volumes of brokers that go on running";
}

bool pods_left(const LifecycleWorld& w) {
  return !gone(w, std::string(kCore) + "pods/orders-0") || !gone(w, std::string(kCore) + "pods/orders-1");
}

// The volumes grow, and the operator ends at its n-th call of that; the StreamCluster is deleted before another
// operator runs. False when the growth took fewer calls.
bool delete_where_growth_has_stopped(LifecycleWorld& w, const std::string& policy, int n, bool after) {
  Json spec = small();
  spec["storage"]["deletionPolicy"] = policy;
  w.create(spec);
  EXPECT_TRUE(w.run_until([&] { return w.ready(2); }));
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
  w.edit({{"storage", {{"size", "2Gi"}}}});
  w.crash_at(w.calls() + n, after);
  for (int quiet = 0; quiet < 10 && !w.dead(); quiet += w.ready(2)) w.run_until([&] { return true; }, 1);
  const bool ended = w.dead();
  w.remove();
  EXPECT_TRUE(w.run_until([&] { return gone(w, kClusterPath); }));
  return ended;
}

// Known before it was seen: the StatefulSet is deleted without its pods and made again when volumes grow. Of a
// StreamCluster that was deleted between the two, pods without an owner went on running.
TEST(Children, PodsGoWithAClusterThatIsDeletedWhileItsStatefulSetIsMadeAgain) {
  for (const std::string policy : {"Retain", "Delete"}) {
    for (bool after : {false, true}) {
      int without_set = 0;
      for (int n = 1;; n++) {
        SCOPED_TRACE(policy + ", at call " + std::to_string(n) + (after ? ", after it" : ", before it"));
        LifecycleWorld w;
        const bool ended = delete_where_growth_has_stopped(w, policy, n, after);
        const bool set_is_there = w.stateful_set().value("kind", std::string()) != "Status";
        without_set += !set_is_there;
        EXPECT_EQ(pods_left(w), set_is_there) << "the StatefulSet's go with it, others with nothing";
        EXPECT_EQ(w.claims().size(), policy == "Retain" ? 2u : 0u);
        if (HasFailure()) return;
        if (!ended) break;
      }
      EXPECT_GT(without_set, 0);
    }
  }
}

// Seen on a real cluster: between the deletion of a StatefulSet and its end the operator wrote the new size into it,
// was refused, and told of that in the condition Degraded and an Event.
TEST(Children, AStatefulSetThatIsGoingIsNotWrittenTo) {
  const std::string path = "/apis/apps/v1/namespaces/apps/statefulsets/orders";
  LifecycleWorld w;
  w.create(small());
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
  w.patch(path, {{"metadata", {{"finalizers", {api::kOrphanFinalizer}}}}});
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
  const Json before = w.stateful_set();
  w.edit({{"storage", {{"size", "2Gi"}}}});
  ASSERT_TRUE(w.run_until([&] { return w.stateful_set()["metadata"].contains("deletionTimestamp"); }));
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
  EXPECT_EQ(w.stateful_set()["spec"], before["spec"]);
  w.patch(path, {{"metadata", {{"finalizers", nullptr}}}});
  ASSERT_TRUE(w.run_until([&] { return w.ready(2) && w.stateful_set().contains("spec"); }));
  EXPECT_NE(w.stateful_set()["metadata"]["uid"], before["metadata"]["uid"]);
}

// Seen on a real cluster: the streams of a StreamCluster that was deleted with its volumes, and made again,
// waited for good for the directories that their ShardMaps named.
TEST(Children, ShardMapsGoWithTheLastVolume) {
  const std::string path = "/apis/sluice.dev/v1alpha1/namespaces/apps/shardmaps/s";
  for (bool kept : {false, true}) {
    LifecycleWorld w;
    w.create(small());
    ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
    w.apply(path, {{"apiVersion", "sluice.dev/v1alpha1"},
                   {"kind", "ShardMap"},
                   {"metadata", {{"namespace", "apps"}, {"name", "s"},
                                 {"labels", {{metadata::kClusterLabel, "orders"}}}}},
                   {"spec", {{"stream", "s"}}}});
    if (kept) {
      w.patch("/api/v1/namespaces/apps/persistentvolumeclaims/data-orders-1",
              {{"metadata", {{"annotations", {{"sluice.dev/keep", "true"}}}}}});
    }
    w.remove();
    ASSERT_TRUE(w.run_until([&] { return gone(w, kClusterPath); }));
    EXPECT_EQ(gone(w, path), !kept);
    EXPECT_EQ(w.claims().size(), kept ? 1u : 0u);
  }
}

// Seen on a real cluster: a broker whose pod began after somebody had deleted the Secret with its
// certificate could not start for as long as the operator took the Secret for read: five minutes.
TEST(Children, TheSecretThatAPodWaitsForComesBack) {
  LifecycleWorld w;
  w.create(small());
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
  w.discard("/api/v1/namespaces/apps/secrets/orders-tls");
  w.patch("/api/v1/namespaces/apps/pods/orders-0/status",
          {{"status",
            {{"conditions", {{{"type", "Ready"}, {"status", "False"}}}},
             {"containerStatuses",
              {{{"name", "broker"}, {"state", {{"waiting", {{"reason", "ContainerCreating"}}}}}}}}}}});
  EXPECT_TRUE(w.run_until([&] { return !gone(w, "/api/v1/namespaces/apps/secrets/orders-tls"); }, 1000));
}

// Seen on a real cluster: where the Secret of a CA was deleted, another CA took its place at once, without
// the phases in which both are trusted.
TEST(Children, ACaWhoseSecretIsDeletedIsWrittenBack) {
  LifecycleWorld w;
  Json spec = small();
  spec["listeners"] = {{{"name", "secure"}, {"port", 9093}, {"tls", true}, {"authentication", "Tls"}}};
  w.create(spec);
  w.keep_certificates();
  auto served = [&] {
    return w.ready(2) && !reconcile::data_of(w.secret({"apps", "alice"}), "user.crt").empty();
  };
  ASSERT_TRUE(w.run_until(served));
  for (const kube::ObjectKey& key : {kube::ObjectKey{"sluice-system", "sluice-ca"}, {"apps", "orders-clients-ca"}}) {
    const Json before = w.secret(key);
    w.discard("/api/v1/namespaces/" + key.ns + "/secrets/" + key.name);
    ASSERT_TRUE(w.run_until([&] { return w.secret(key).contains("data"); })) << key.name;
    EXPECT_EQ(w.secret(key)["data"], before["data"]) << key.name;
  }
  EXPECT_TRUE(w.run_until(served));
  EXPECT_EQ(w.refusals(), std::set<std::string>());
}

// Seen on a real cluster: where the Secret of the operator's CA was deleted while no operator ran, another CA was made,
// and brokers and operator refused each other until kubelets had brought its files; nothing told of it.
TEST(Children, ACaThatIsLostWhileNoOperatorRunsIsToldOf) {
  LifecycleWorld w;
  w.create(small());
  ASSERT_TRUE(w.run_until([&] { return w.ready(2); }));
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
  w.edit({{"brokers", 3}});
  w.crash_at(w.calls() + 1, false);
  while (!w.dead()) w.run_until([] { return true; }, 1);
  const std::string ca = reconcile::data_of(w.secret({"sluice-system", "sluice-ca"}), "ca.crt");
  w.discard("/api/v1/namespaces/sluice-system/secrets/sluice-ca");
  std::set<std::string> said;
  EXPECT_TRUE(w.run_until([&] {
    const std::string now = told(w, "CertificatesValid");
    said.insert(now.substr(0, 11));
    return said.size() > 1 && w.ready(3) && now.starts_with("the first to end");
  }));
  EXPECT_TRUE(said.contains("another CA ")) << *said.begin();
  EXPECT_NE(reconcile::data_of(w.secret({"sluice-system", "sluice-ca"}), "ca.crt"), ca);
}

}  // namespace
}  // namespace sluice_tests
