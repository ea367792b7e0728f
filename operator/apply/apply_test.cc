// What holds already is not written again; what somebody edited is noticed.
#include "operator/apply/apply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::apply {
namespace {

using kube::Json;

TEST(Holds, IgnoresWhatTheServerAddsAndNoticesEdits) {
  Json wanted = Json::parse(R"({"spec":{"ports":[{"name":"a","port":1},{"name":"b","port":2}],
                                "selector":{"x":"y"},"empty":{}}})");
  Json live = Json::parse(R"({"metadata":{"uid":"u"},"spec":{"clusterIP":"10.0.0.1",
      "ports":[{"name":"b","port":2,"protocol":"TCP"},{"name":"a","port":1,"protocol":"TCP"}],
      "selector":{"x":"y"}}})");
  EXPECT_TRUE(holds(wanted, live));
  live["spec"]["ports"][0]["port"] = 3;
  EXPECT_FALSE(holds(wanted, live));
  live["spec"]["ports"][0]["port"] = 2;
  live["spec"]["ports"].push_back({{"name", "c"}, {"port", 4}});
  EXPECT_FALSE(holds(wanted, live));
  live["spec"].erase("ports");
  EXPECT_FALSE(holds(wanted, live));
}

}  // namespace
}  // namespace sluice_operator::apply
