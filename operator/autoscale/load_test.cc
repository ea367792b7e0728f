// Counters become rates: over resets and moved leaders; a Prometheus that answers nonsense gives
// none.
#include "operator/autoscale/load.h"

#include <gtest/gtest.h>

namespace sluice_operator::autoscale {
namespace {

std::vector<Sample> page(double bytes) {
  return parse_exposition("# HELP x\nsluice_shard_bytes_in_total{shard=\"0\",stream=\"a\"} " +
                              std::to_string(bytes) +
                              "\nother 1\nsluice_shard_heat_bytes_total{part=\"3\",shard=\"0\","
                              "stream=\"a\"} 7\n",
                          "sluice_shard_");
}

TEST(Exposition, TakesLabelsAndSkipsTheRest) {
  auto samples = parse_exposition("a_total{x=\"q\\\"\\n\",y=\"\"} 1.5e3 123\na_bad{x} 1\nb 2\n", "a_");
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].labels.at("x"), "q\"\n");
  EXPECT_EQ(samples[0].value, 1500);
}

TEST(ScrapeRates, SumsOverBrokersAndSurvivesResets) {
  ScrapeRates scrape;
  scrape.add("b0", 1000, page(100));
  scrape.add("b0", 3000, page(300));
  scrape.add("b1", 1000, page(5000));
  scrape.add("b1", 3000, page(40));  // restarted
  auto rates = scrape.rates(3000, 10'000);
  EXPECT_DOUBLE_EQ(rates["a"][0].bytes_per_s, 100 + 20);
  EXPECT_EQ(scrape.fresh_brokers(3000, 10'000), 2u);
  EXPECT_EQ(scrape.fresh_brokers(30'000, 10'000), 0u);
  EXPECT_TRUE(scrape.rates(30'000, 10'000).empty());
}

TEST(Prometheus, TakesVectorsAndRefusesNonsense) {
  StreamRates rates;
  EXPECT_FALSE(add_prometheus_answer(
      kRecordsMetric,
      R"({"status":"success","data":{"resultType":"vector","result":[
          {"metric":{"stream":"a","shard":"2"},"value":[1,"12.5"]}]}})",
      rates));
  EXPECT_EQ(rates["a"][2].records_per_s, 12.5);
  for (const char* bad :
       {"<html>", R"({"status":"error","error":"boom"})",
        R"({"status":"success","data":{"resultType":"matrix","result":[]}})",
        R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}})"}) {
    EXPECT_TRUE(add_prometheus_answer(kBytesMetric, bad, rates)) << bad;
  }
}

}  // namespace
}  // namespace sluice_operator::autoscale
