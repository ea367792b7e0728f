// The objects of a StreamCluster against golden files: a change of the plan is a change that users'
// clusters see, and is looked at as such. `operator_plan_test FOLDER --update` writes them anew.
#include "operator/plan/stream_cluster.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace sluice_operator::plan {
namespace {

using Json = nlohmann::json;
std::string golden_folder;
bool update = false;

api::StreamCluster cluster(const std::string& name) {
  api::StreamCluster out;
  out.metadata.ns = "apps";
  out.metadata.name = name;
  out.metadata.uid = "11111111-2222-4333-8444-555555555555";
  return out;
}

PlanInput input(const api::StreamCluster& of) {
  const std::string image = "docker.io/library/sluice:dev";
  return {of, pod_settings(of.spec, image, "sluice.sluice-system.svc:9443"), image,
          of.spec.brokers};
}

void expect_golden(const std::string& name, const std::vector<Json>& objects) {
  const std::string path = golden_folder + "/" + name + ".json";
  const std::string text = Json(objects).dump(2) + "\n";
  if (update) std::ofstream(path) << text;
  std::ifstream in(path);
  std::stringstream golden;
  golden << in.rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

TEST(Plan, Defaults) { expect_golden("defaults", desired_objects(input(cluster("quickstart")))); }

TEST(Plan, EverySettingInUse) {
  api::StreamCluster full = cluster("orders");
  full.spec.brokers = 5;
  full.spec.image = "registry.example.com/sluice:1.2";
  full.spec.image_pull_policy = "Always";
  full.spec.requests = {{"cpu", "2"}, {"memory", "4Gi"}};
  full.spec.limits_of_pod = {{"memory", "4Gi"}};
  full.spec.storage = {"500Gi", "fast", api::DeletionPolicy::kDelete, 60};
  full.spec.zone_key = "example.com/rack";
  full.spec.kinesis.credentials_secret = "orders-kinesis";
  full.spec.kafka = {false, 12};
  PlanInput with = input(full);
  with.good = with.settings;
  with.claim_size = "600Gi";
  with.may_evict = false;
  expect_golden("every-setting", desired_objects(with));
}

// There was no way to put brokers on nodes of their own, nor to name the Secret of a private registry.
TEST(Plan, PodsAreWhereAndAsTheUserWantsThem) {
  api::StreamCluster of = cluster("orders");
  of.spec.pod =
      Json::parse(
          R"({"affinity":{"podAntiAffinity":{}},"annotations":{"a":"b","sluice.dev/spec-hash":"x"},)"
          R"("imagePullSecrets":[{"name":"registry"}],)"
          R"("labels":{"team":"x","app.kubernetes.io/instance":"y"},)"
          R"("nodeSelector":{"disk":"fast"},"priorityClassName":"high",)"
          R"("tolerations":[{"key":"streams","operator":"Exists"}]})")
          .dump();
  const api::StreamCluster plain = cluster("orders");
  const PlanInput with = input(of), without = input(plain);
  EXPECT_NE(with.settings.hash(), without.settings.hash());
  EXPECT_EQ(read_pod_settings(with.settings.to_text()), with.settings);
  EXPECT_EQ(read_pod_settings(without.settings.to_text()), without.settings);
  const Json set = desired_objects(with).back();
  const Json& pod = set["spec"]["template"];
  for (const char* field :
       {"nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"}) {
    EXPECT_EQ(pod["spec"][field], Json::parse(of.spec.pod)[field]) << field;
  }
  EXPECT_EQ(pod["metadata"]["labels"]["team"], "x");
  EXPECT_EQ(pod["metadata"]["labels"]["app.kubernetes.io/instance"], "orders");
  EXPECT_EQ(pod["metadata"]["annotations"]["a"], "b");
  EXPECT_EQ(pod["metadata"]["annotations"][kSpecHashAnnotation], with.settings.hash());
  EXPECT_EQ(set["spec"]["selector"], desired_objects(without).back()["spec"]["selector"]);
}

TEST(Plan, ListenersFromOutside) {
  api::StreamCluster of = cluster("orders");
  of.spec.brokers = 2;
  auto add = [&](const char* name, int32_t port, api::ListenerType type) {
    auto& listener = of.spec.listeners.emplace_back();
    listener.name = name;
    listener.port = port;
    listener.tls = true;
    listener.authentication = api::ListenerAuthentication::kTls;
    listener.type = type;
    return &listener;
  };
  add("nodes", 9093, api::ListenerType::kNodePort);
  add("cloud", 9094, api::ListenerType::kLoadBalancer)->annotations = {
      {"service.beta.kubernetes.io/aws-load-balancer-type", "nlb"}};
  auto* ingress = add("ingress", 9096, api::ListenerType::kIngress);
  ingress->host_template = "broker-{id}.example.com";
  ingress->bootstrap_host = "kafka.example.com";
  ingress->ingress_class = "nginx";
  auto* route = add("route", 9097, api::ListenerType::kTlsRoute);
  route->host_template = "b{id}.gw.example.com";
  route->bootstrap_host = "gw.example.com";
  route->gateway = {"gateways", "public", "kafka"};
  EXPECT_TRUE(api::validate(of).empty()) << api::to_string(api::validate(of));
  expect_golden("listeners", desired_objects(input(of)));
}

const Json& of_kind(const std::vector<Json>& objects, const std::string& kind) {
  for (const auto& object : objects) {
    if (object["kind"] == kind) return object;
  }
  static const Json none;
  return none;
}

TEST(Plan, OnlyWhatNeedsARestartTouchesThePods) {
  api::StreamCluster before = cluster("c"), after = before;
  after.spec.brokers = 4;
  after.spec.replication.factor = 2;
  after.spec.limits.shard_write_bytes_per_second = 1;
  after.spec.autoscaling.prometheus_url = "http://p:9090";
  auto pods = [](const PlanInput& with) {
    return of_kind(desired_objects(with), "StatefulSet")["spec"]["template"];
  };
  EXPECT_EQ(pods(input(before)), pods(input(after)));
  after.spec.requests["memory"] = "1Gi";
  EXPECT_NE(pods(input(before)), pods(input(after)));
  api::StreamCluster keys = before;
  keys.spec.kinesis.credentials_secret = "keys";
  EXPECT_NE(input(before).settings.hash(), input(keys).settings.hash());
  EXPECT_EQ(read_pod_settings(input(keys).settings.to_text()), input(keys).settings);
  api::StreamCluster https = before;
  https.spec.kinesis.tls = true;
  EXPECT_NE(input(before).settings.hash(), input(https).settings.hash());
  EXPECT_EQ(read_pod_settings(input(https).settings.to_text()), input(https).settings);
  EXPECT_TRUE(input(https).settings.tls_for_clients()) << "the certificate is mounted";
  const std::string arguments = pods(input(https))["spec"]["containers"][0]["args"].dump();
  EXPECT_NE(arguments.find("--kinesis=0.0.0.0:4567;tls"), std::string::npos) << arguments;
  api::StreamCluster topics = before;
  topics.spec.kafka.num_partitions = 3;
  EXPECT_NE(input(before).settings.hash(), input(topics).settings.hash());
  EXPECT_EQ(read_pod_settings(input(topics).settings.to_text()), input(topics).settings);
}

// strimzi/redpanda#3150, cloudnative-pg#5950: an operator's upgrade restarted every cluster.
TEST(Plan, AnUpgradeOfTheOperatorRestartsNobody) {
  api::StreamCluster of = cluster("c");
  PlanInput before = input(of), after = before;
  after.log_level = "debug";
  EXPECT_EQ(before.settings.hash(), after.settings.hash());
  auto hash = [](const PlanInput& with) {
    return of_kind(desired_objects(with), "StatefulSet")["spec"]["template"]["metadata"]
                  ["annotations"][kSpecHashAnnotation];
  };
  EXPECT_EQ(hash(before), hash(after));
  // The default image of the operator of that time is kept on the StatefulSet.
  auto annotations = of_kind(desired_objects(before), "StatefulSet")["metadata"]["annotations"];
  EXPECT_EQ(annotations[kDefaultImageAnnotation], "docker.io/library/sluice:dev");
  auto settings = read_pod_settings(annotations[kSettingsAnnotation].get<std::string>());
  ASSERT_TRUE(settings);
  EXPECT_EQ(*settings, before.settings);
  EXPECT_FALSE(read_pod_settings("{}"));
  EXPECT_FALSE(read_pod_settings("no json"));
}

TEST(Plan, VolumesOutliveTheStatefulSetWhateverThePolicy) {
  api::StreamCluster with = cluster("c");
  with.spec.storage.deletion_policy = api::DeletionPolicy::kDelete;
  auto policy = of_kind(desired_objects(input(with)), "StatefulSet")["spec"]
                       ["persistentVolumeClaimRetentionPolicy"];
  EXPECT_EQ(policy["whenDeleted"], "Retain");
  EXPECT_EQ(policy["whenScaled"], "Retain");
}

TEST(Plan, NamesFollowTheCluster) {
  EXPECT_EQ(broker_host("apps", "c", 2), "c-2.c-brokers.apps.svc");
  EXPECT_EQ(broker_selector("c"), "app.kubernetes.io/component=broker,app.kubernetes.io/instance=c,"
                                  "app.kubernetes.io/name=sluice");
  Json clients = client_tls_secret(cluster("c"), {{"clients-ca.crt", "CA"}});
  EXPECT_EQ(clients["metadata"]["name"], "c-client-tls");
  EXPECT_EQ(clients["stringData"]["clients-ca.crt"], "CA");
  Json secret = tls_secret(cluster("c"), "CA", "CERT", "KEY");
  EXPECT_EQ(secret["metadata"]["name"], "c-tls");
  EXPECT_EQ(secret["stringData"]["tls.key"], "KEY");
}

}  // namespace
}  // namespace sluice_operator::plan

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) sluice_operator::plan::golden_folder = argv[1];
  sluice_operator::plan::update = argc > 2 && std::strcmp(argv[2], "--update") == 0;
  return RUN_ALL_TESTS();
}
