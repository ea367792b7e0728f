// The CA goes into every webhook of the configuration, and nothing is written when it is there.
#include "operator/webhook/webhook.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::webhook {
namespace {

using kube::Json;

TEST(WebhookConfiguration, GetsTheCaOnce) {
  Json configuration{{"metadata", {{"name", "x"}, {"resourceVersion", "7"}}},
                     {"webhooks",
                      {{{"name", "a"}, {"clientConfig", {{"service", {{"name", "s"}}}}}},
                       {{"name", "b"}, {"clientConfig", {{"caBundle", "b2xk"}}}}}}};
  auto changed = with_ca(configuration, "new");
  ASSERT_TRUE(changed);
  for (const auto& hook : (*changed)["webhooks"]) {
    EXPECT_EQ(hook["clientConfig"]["caBundle"], "bmV3");
  }
  EXPECT_EQ((*changed)["webhooks"][0]["clientConfig"]["service"]["name"], "s");
  EXPECT_EQ((*changed)["metadata"]["resourceVersion"], "7");
  EXPECT_FALSE(with_ca(*changed, "new"));
  EXPECT_TRUE(with_ca(*changed, "newer"));
  EXPECT_FALSE(with_ca(Json::object(), "new"));
}

}  // namespace
}  // namespace sluice_operator::webhook
