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

TEST(Holds, QuantitiesAreComparedByTheirValue) {
  auto resources = [](const char* cpu, const char* memory) {
    return Json{{"resources", {{"requests", {{"cpu", cpu}, {"memory", memory}}}}}};
  };
  EXPECT_TRUE(holds(resources("0.5", "1024Mi"), resources("500m", "1Gi")));
  EXPECT_TRUE(holds(resources("2", "1e9"), resources("2", "1G")));
  EXPECT_FALSE(holds(resources("0.5", "1Gi"), resources("500m", "1G")));
  EXPECT_FALSE(holds(resources("0.5", "1Gi"), resources("nonsense", "1Gi")));
  EXPECT_FALSE(holds(Json{{"limits", {{"cpu", "1"}}}}, Json{{"limits", Json::object()}}));
  // Elsewhere, text is text.
  EXPECT_FALSE(holds(Json{{"args", {"1.0"}}}, Json{{"args", {"1"}}}));
}

// A status whose message had become empty was written at every pass: a merge patch keeps what it
// does not name.
TEST(MergeDifference, NamesWhatIsGone) {
  Json before = Json::parse(R"({"a":1,"gone":"x","o":{"m":"text","n":2},"l":[1,2]})");
  Json after = Json::parse(R"({"a":1,"o":{"n":3},"l":[1],"new":{"x":1}})");
  Json patch = merge_difference(before, after);
  EXPECT_EQ(patch, Json::parse(R"({"gone":null,"o":{"m":null,"n":3},"l":[1],"new":{"x":1}})"));
  before.merge_patch(patch);
  EXPECT_EQ(before, after);
  EXPECT_TRUE(merge_difference(after, after).empty());
}

}  // namespace
}  // namespace sluice_operator::apply
