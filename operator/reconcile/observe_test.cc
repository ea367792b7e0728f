// What is read of objects that others make.
#include "operator/reconcile/observe.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::reconcile {
namespace {

kube::Json autoscaler_of(const char* api_version, const char* kind) {
  return {{"metadata", {{"namespace", "shop"}, {"name", "hpa"}}},
          {"spec",
           {{"maxReplicas", 6},
            {"scaleTargetRef", {{"apiVersion", api_version}, {"kind", kind}, {"name", "orders"}}}}},
          {"status", {{"currentReplicas", 3}}}};
}

TEST(Observe, AHorizontalPodAutoscalerIsOfTheStreamClusterThatItScales) {
  const kube::ObjectKey orders{"shop", "orders"}, nothing;
  EXPECT_EQ(cluster_scaled_by(autoscaler_of("sluice.dev/v1alpha1", "StreamCluster")), orders);
  EXPECT_EQ(cluster_scaled_by(autoscaler_of("sluice.dev/v1", "StreamCluster")), orders);
  EXPECT_EQ(cluster_scaled_by(autoscaler_of("apps/v1", "StatefulSet")), nothing);
  EXPECT_EQ(cluster_scaled_by(autoscaler_of("other.dev/v1", "StreamCluster")), nothing);
  EXPECT_EQ(cluster_scaled_by(kube::Json::object()), nothing);
}

TEST(Observe, OfAHorizontalPodAutoscalerOnlyItsTargetIsKept) {
  auto options = cache_of(kube::horizontal_pod_autoscalers());
  auto object = autoscaler_of("sluice.dev/v1alpha1", "StreamCluster");
  options.transform(object);
  EXPECT_EQ(options.grouping(object), "orders");
  EXPECT_FALSE(object.contains("status"));
  EXPECT_EQ(object["spec"].size(), 1u);
}

}  // namespace
}  // namespace sluice_operator::reconcile
