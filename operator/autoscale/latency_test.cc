// The 99th percentile of what producers waited, from the pages of brokers.
#include "operator/autoscale/latency.h"

#include <gtest/gtest.h>

#include <cmath>

#include "operator/autoscale/load.h"

namespace sluice_operator::autoscale {
namespace {

std::vector<Sample> page(double fast, double slow, double kinesis_slow = 0) {
  auto kafka = [](const char* api, const char* le, double count) {
    return "sluice_kafka_request_seconds_bucket{api=\"" + std::string(api) + "\",le=\"" + le +
           "\"} " + std::to_string(count) + "\n";
  };
  auto put = [](const char* le, double count) {
    return "sluice_kinesis_request_duration_seconds_bucket{operation=\"PutRecords\",le=\"" +
           std::string(le) + "\"} " + std::to_string(count) + "\n";
  };
  return parse_exposition(kafka("Produce", "0.01", fast) + kafka("Produce", "0.1", fast + slow) +
                              kafka("Produce", "+Inf", fast + slow) + kafka("Fetch", "0.01", 0) +
                              kafka("Fetch", "+Inf", 1e6) + put("0.25", 0) +
                              put("1", kinesis_slow) + put("+Inf", kinesis_slow),
                          "sluice_");
}

TEST(Latency, QuantilesAreThoseOfPromQL) {
  EXPECT_FALSE(quantile({}, 0.99));
  EXPECT_FALSE(quantile({{0.1, 0}, {INFINITY, 0}}, 0.99));
  EXPECT_DOUBLE_EQ(*quantile({{0.1, 50}, {0.2, 100}, {INFINITY, 100}}, 0.99), 0.198);
  EXPECT_DOUBLE_EQ(*quantile({{0.1, 50}, {0.2, 60}, {INFINITY, 100}}, 0.99), 0.2);
}

TEST(Latency, IsOfTheLastMinuteAndOfProducersAlone) {
  ProduceLatency latency;
  int64_t now_ms = 1000;
  double fast = 0, slow = 0;
  auto look = [&](double more_fast, double more_slow, double kinesis = 0) {
    now_ms += 1000;
    latency.add("b", now_ms, page(fast += more_fast, slow += more_slow, kinesis));
    return latency.p99_seconds("b");
  };
  EXPECT_FALSE(look(0, 1000));  // before there was a look
  EXPECT_LE(*look(1000, 0), 0.01);
  EXPECT_GT(*look(0, 100), 0.01);
  for (int i = 0; i < 70; i++) look(100, 0);
  EXPECT_LE(*look(100, 0), 0.01);
  EXPECT_GT(*look(100, 0, 200), 0.25);  // the slowest door
}

TEST(Latency, FewRequestsHaveNoPercentile) {
  ProduceLatency latency;
  latency.add("b", 1000, page(0, 0));
  latency.add("b", 2000, page(0, 99));
  EXPECT_EQ(*latency.p99_seconds("b"), 0);
}

TEST(Latency, ABrokerThatBeganAgainOrTellsNothingIsNotKnown) {
  ProduceLatency latency;
  latency.add("b", 1000, page(1000, 0));
  latency.add("b", 2000, page(5000, 0));
  latency.add("b", 3000, page(10, 0));
  EXPECT_FALSE(latency.p99_seconds("b"));
  latency.add("b", 4000, page(1010, 0));
  EXPECT_LE(*latency.p99_seconds("b"), 0.01);
  EXPECT_FALSE(latency.p99_seconds("c"));
  latency.add("old", 1000, {});
  latency.add("old", 2000, {});
  EXPECT_FALSE(latency.p99_seconds("old"));
  latency.add("b", 5000, page(NAN, 0));
  EXPECT_TRUE(std::isnan(*latency.p99_seconds("b")));
}

}  // namespace
}  // namespace sluice_operator::autoscale
