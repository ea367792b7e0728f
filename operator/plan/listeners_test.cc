// What clients from outside are told, for each kind of listener, and what is not known yet.
#include "operator/plan/listeners.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::plan {
namespace {

using api::ListenerType;

api::StreamCluster with(ListenerType type) {
  api::StreamCluster cluster;
  cluster.metadata.ns = "apps";
  cluster.metadata.name = "orders";
  api::StreamClusterSpec::Listener listener;
  listener.name = "external";
  listener.port = 9094;
  listener.tls = true;
  listener.type = type;
  cluster.spec.listeners.push_back(listener);
  return cluster;
}

std::optional<Address> told(const api::StreamCluster& cluster, int32_t broker,
                            const Outside& outside) {
  return advertised_address("orders", cluster.spec.listeners[0], broker, outside);
}
std::string bootstrap(const api::StreamCluster& cluster, const Outside& outside) {
  return bootstrap_servers(cluster, cluster.spec.listeners[0], 2, outside);
}

TEST(Listeners, ANodePortIsTheBrokersOwnNodeAndPort) {
  auto cluster = with(ListenerType::kNodePort);
  Outside outside;
  EXPECT_EQ(told(cluster, 0, outside), std::nullopt) << "nothing is known yet";
  EXPECT_EQ(bootstrap(cluster, outside), "");
  outside.services = {{"orders-external-0", {30001, ""}}, {"orders-external-1", {30002, ""}},
                      {"orders-external-all", {30000, ""}}};
  EXPECT_EQ(told(cluster, 0, outside), std::nullopt) << "its pod has no node";
  outside.node_addresses = {{0, "192.0.2.1"}, {1, "192.0.2.2"}};
  EXPECT_EQ(told(cluster, 0, outside), (Address{"192.0.2.1", 30001}));
  EXPECT_EQ(told(cluster, 1, outside), (Address{"192.0.2.2", 30002}));
  EXPECT_EQ(bootstrap(cluster, outside), "192.0.2.1:30001,192.0.2.2:30002");
  EXPECT_EQ(outside_hosts(cluster, 2, outside),
            (std::vector<std::string>{"192.0.2.1", "192.0.2.2"}));
  outside.node_addresses[0] = "192.0.2.3";
  EXPECT_EQ(told(cluster, 0, outside), (Address{"192.0.2.3", 30001})) << "the pod has moved";
  cluster.spec.listeners[0].bootstrap_host = "kafka.example.com";
  EXPECT_EQ(bootstrap(cluster, outside), "kafka.example.com:30000");
}

TEST(Listeners, ALoadBalancerIsWhatItsStatusSays) {
  auto cluster = with(ListenerType::kLoadBalancer);
  Outside outside;
  outside.services["orders-external-0"] = {31000, ""};
  EXPECT_EQ(told(cluster, 0, outside), std::nullopt);
  outside.services["orders-external-0"].load_balancer = "lb-0.cloud.example";
  EXPECT_EQ(told(cluster, 0, outside), (Address{"lb-0.cloud.example", 9094}));
  EXPECT_EQ(bootstrap(cluster, outside), "lb-0.cloud.example:9094");
  outside.services["orders-external-all"].load_balancer = "lb.cloud.example";
  EXPECT_EQ(bootstrap(cluster, outside), "lb.cloud.example:9094");
  EXPECT_EQ(outside_hosts(cluster, 2, outside),
            (std::vector<std::string>{"lb-0.cloud.example", "lb.cloud.example"}));
  cluster.spec.listeners[0].host_template = "b{id}.example.com";
  EXPECT_EQ(told(cluster, 7, outside), (Address{"b7.example.com", 9094}));
}

TEST(Listeners, ARouteIsItsHostOn443) {
  for (auto type : {ListenerType::kIngress, ListenerType::kTlsRoute}) {
    auto cluster = with(type);
    cluster.spec.listeners[0].host_template = "broker-{id}.example.com";
    cluster.spec.listeners[0].bootstrap_host = "kafka.example.com";
    EXPECT_EQ(told(cluster, 12, {}), (Address{"broker-12.example.com", 443}));
    EXPECT_EQ(bootstrap(cluster, {}), "kafka.example.com:443");
    cluster.spec.listeners[0].advertised_port = 8443;
    EXPECT_EQ(told(cluster, 0, {}), (Address{"broker-0.example.com", 8443}));
    EXPECT_EQ(bootstrap(cluster, {}), "kafka.example.com:8443");
    EXPECT_EQ(outside_hosts(cluster, 2, {}),
              (std::vector<std::string>{"broker-0.example.com", "broker-1.example.com",
                                        "kafka.example.com"}));
  }
}

TEST(Listeners, InsideNothingIsChanged) {
  auto cluster = with(ListenerType::kInternal);
  EXPECT_EQ(told(cluster, 0, {}), std::nullopt);
  EXPECT_EQ(bootstrap(cluster, {}), "orders.apps.svc:9094");
  EXPECT_TRUE(listener_objects(cluster, 3).empty());
  EXPECT_TRUE(outside_hosts(cluster, 3, {}).empty());
}

TEST(Listeners, EveryBrokerHasAServiceOfItsOwn) {
  auto objects = listener_objects(with(ListenerType::kNodePort), 2);
  ASSERT_EQ(objects.size(), 3u);
  EXPECT_EQ(objects[0]["metadata"]["name"], "orders-external-all");
  EXPECT_FALSE(objects[0]["spec"]["selector"].contains("statefulset.kubernetes.io/pod-name"));
  EXPECT_EQ(objects[2]["metadata"]["name"], "orders-external-1");
  EXPECT_EQ(objects[2]["spec"]["selector"]["statefulset.kubernetes.io/pod-name"], "orders-1");
  EXPECT_EQ(objects[2]["spec"]["type"], "NodePort");
}

}  // namespace
}  // namespace sluice_operator::plan
