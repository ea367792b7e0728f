// Which events wake which keys.
#include "operator/runtime/predicates.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::runtime {
namespace {

using kube::Json;
using kube::JsonPtr;

JsonPtr object(Json metadata) {
  metadata["namespace"] = "ns";
  return std::make_shared<const Json>(Json{{"metadata", std::move(metadata)}});
}

std::vector<std::string> keys(const Mapper& mapper, const JsonPtr& before, const JsonPtr& after) {
  std::vector<std::string> found;
  mapper(before, after, [&](const Key& key) { found.push_back(key.to_string()); });
  return found;
}

TEST(Mappers, SelfOwnerAndLabel) {
  kube::ResourceType cluster{"sluice.dev", "v1alpha1", "streamclusters", "StreamCluster"};
  auto owned = object({{"name", "child"},
                       {"labels", {{"app.kubernetes.io/instance", "c1"}}},
                       {"ownerReferences",
                        {{{"apiVersion", "sluice.dev/v1alpha1"},
                          {"kind", "StreamCluster"},
                          {"name", "c1"},
                          {"controller", true}},
                         {{"apiVersion", "other.dev/v1"},
                          {"kind", "StreamCluster"},
                          {"name", "c2"},
                          {"controller", true}}}}});
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys(map_to_self(), owned, nullptr), Keys{"ns/child"});
  EXPECT_EQ(keys(map_to_owner(cluster), nullptr, owned), Keys{"ns/c1"});
  EXPECT_EQ(keys(map_to_owner(cluster), owned, object({{"name", "child"}})), Keys{"ns/c1"});
  EXPECT_EQ(keys(map_to_label("app.kubernetes.io/instance"), owned, nullptr), Keys{"ns/c1"});
  EXPECT_TRUE(keys(map_to_owner(cluster), nullptr, object({{"ownerReferences", 7}})).empty());
}

TEST(AsksForSomethingNew, IgnoresTheEchoOfStatusWrites) {
  auto one = object({{"name", "a"}, {"generation", 1}, {"resourceVersion", "1"}});
  auto status_only = object({{"name", "a"}, {"generation", 1}, {"resourceVersion", "2"}});
  auto changed = object({{"name", "a"}, {"generation", 2}, {"resourceVersion", "3"}});
  auto paused = object({{"name", "a"}, {"generation", 1}, {"annotations", {{"p", "true"}}}});
  EXPECT_FALSE(asks_for_something_new(one, status_only));
  EXPECT_TRUE(asks_for_something_new(one, changed));
  EXPECT_TRUE(asks_for_something_new(one, paused));
  EXPECT_TRUE(asks_for_something_new(nullptr, one));
  EXPECT_TRUE(asks_for_something_new(one, nullptr));
}

}  // namespace
}  // namespace sluice_operator::runtime
