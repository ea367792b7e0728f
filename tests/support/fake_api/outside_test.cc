// Listeners from outside against the fake API server: what a cloud's controller writes into a Service's
// status reaches brokers without a restart, and what is no longer wanted goes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/fake_api/lifecycle_world.h"

namespace sluice_tests {
namespace {

using kube::Json;

const std::string kServices = "/api/v1/namespaces/apps/services/orders-cloud-";
const std::string kIngresses = "/apis/networking.k8s.io/v1/namespaces/apps/ingresses/orders-cloud-";

Json spec(const Json& listeners) {
  return {{"brokers", 2},
          {"resources", {{"requests", {{"memory", "128Mi"}}}}},
          {"storage", {{"size", "1Gi"}}},
          {"listeners", listeners}};
}

Json cloud(const Json& more = Json::object()) {
  Json listener = {{"name", "cloud"}, {"port", 9094}, {"tls", true}, {"type", "LoadBalancer"}};
  listener.update(more);
  return Json::array({listener});
}

bool exists(const LifecycleWorld& w, const std::string& path) {
  return w.get(path).value("kind", std::string()) != "Status";
}

void give_address(LifecycleWorld& w, const std::string& service, const std::string& host) {
  w.patch(kServices + service + "/status",
          {{"status", {{"loadBalancer", {{"ingress", {{{"hostname", host}}}}}}}}});
}

std::string bootstrap(const LifecycleWorld& w) {
  return w.get("/apis/sluice.dev/v1alpha1/namespaces/apps/streamclusters/orders")
      .value("/status/listeners/0/bootstrapServers"_json_pointer, std::string());
}

TEST(Outside, ALoadBalancersAddressReachesBrokersWithoutARestart) {
  LifecycleWorld w;
  w.create(spec(cloud()));
  ASSERT_TRUE(w.run_until([&] { return w.ready(2) && !w.told(1, "cloud").empty(); }));
  EXPECT_EQ(w.told(1, "cloud"), "orders-1:9094") << "as the broker says, before there is one";
  EXPECT_EQ(bootstrap(w), "");
  const std::string before = reconcile::data_of(w.secret({"apps", "orders-client-tls"}), "tls.crt");

  give_address(w, "1", "lb-1.example.com");
  ASSERT_TRUE(w.run_until([&] { return w.told(1, "cloud") == "lb-1.example.com:9094"; }));
  EXPECT_EQ(w.told(0, "cloud"), "orders-0:9094");
  ASSERT_TRUE(w.run_until([&] { return bootstrap(w) == "lb-1.example.com:9094"; }));
  give_address(w, "all", "lb.example.com");
  ASSERT_TRUE(w.run_until([&] { return bootstrap(w) == "lb.example.com:9094"; }));
  EXPECT_NE(reconcile::data_of(w.secret({"apps", "orders-client-tls"}), "tls.crt"), before)
      << "the certificate names the hosts";
  give_address(w, "1", "moved.example.com");
  ASSERT_TRUE(w.run_until([&] { return w.told(1, "cloud") == "moved.example.com:9094"; }));
  EXPECT_EQ(w.restarts(), 0);
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
}

TEST(Outside, WhatIsNoLongerWantedGoes) {
  LifecycleWorld w;
  w.create(spec(cloud()));
  ASSERT_TRUE(w.run_until([&] { return w.ready(2) && exists(w, kServices + "1"); }));
  const Json routed = {{"type", "Ingress"},
                       {"host", "b{id}.example.com"},
                       {"bootstrapHost", "b.example.com"}};
  w.edit({{"listeners", cloud(routed)}});
  ASSERT_TRUE(w.run_until([&] {
    return w.ready(2) && exists(w, kIngresses + "1") && w.told(1, "cloud") == "b1.example.com:443";
  }));
  EXPECT_EQ(bootstrap(w), "b.example.com:443");
  EXPECT_EQ(w.restarts(), 0) << "brokers need not know how clients come";
  w.edit({{"listeners", cloud()}});
  ASSERT_TRUE(w.run_until([&] { return !exists(w, kIngresses + "1") && !exists(w, kIngresses + "all"); }));
  EXPECT_TRUE(exists(w, kServices + "1"));
  w.edit({{"brokers", 1}});
  ASSERT_TRUE(w.run_until([&] { return w.ready(1) && !exists(w, kServices + "1"); }));
  EXPECT_TRUE(exists(w, kServices + "0"));
  w.edit({{"listeners", nullptr}});
  ASSERT_TRUE(w.run_until([&] {
    return w.ready(1) && !exists(w, kServices + "0") && !exists(w, kServices + "all");
  }));
  EXPECT_TRUE(exists(w, "/api/v1/namespaces/apps/services/orders"));
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
}

}  // namespace
}  // namespace sluice_tests
