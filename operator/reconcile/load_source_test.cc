// The load over real HTTP: every way in which a Prometheus or a broker's page lets one down ends in
// a reason, and never in figures.
#include "operator/reconcile/load_source.h"

#include <gtest/gtest.h>

#include "broker/env/posix/posix.h"
#include "tests/support/page_server.h"

namespace sluice_operator::reconcile {
namespace {

using Server = sluice_tests::PageServer;

class LoadSourceTest : public testing::Test {
 protected:
  // A Prometheus that knows two brokers and one shard, but for what `spoil` says.
  std::string prometheus(const std::string& head) {
    double now = static_cast<double>(clock_.wall_ms()) / 1000 + skew_s_;
    auto vector = [&](const std::string& labels, const std::string& value) {
      return R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{)" + labels +
             R"(},"value":[)" + std::to_string(now) + ",\"" + value + "\"]}]}}";
    };
    if (head.find("sluice_broker_leaders") != std::string::npos) return vector("", brokers_seen_);
    const std::string shard = R"("stream":"clicks","shard":"3")";
    if (head.find("bytes_in") != std::string::npos) return vector(shard, bytes_);
    if (head.find("hot_key") != std::string::npos) {
      return vector(shard + R"(,"key":"k","hash_key":"17")", "0.5");
    }
    if (head.find("end_offset") != std::string::npos) return vector(shard, "900");
    if (head.find("committed") != std::string::npos) {
      return vector(shard + R"(,"group":"g")", committed_);
    }
    if (head.find("heat") != std::string::npos) return vector(shard + R"(,"part":"2")", "9");
    return vector(shard, "4");
  }
  LoadAnswer ask(Server& server) {
    LoadSettings settings;
    settings.prometheus_url = "http://" + server.address();
    settings.token = "secret";
    return source_.look(settings, {"ns", "c"}, {{"c-0", "127.0.0.1:1"}, {"c-1", "127.0.0.1:1"}});
  }

  broker::env::PosixClock clock_;
  LoadSource source_{clock_};
  std::string brokers_seen_ = "2", bytes_ = "12.5", committed_ = "400";
  double skew_s_ = 0;
};

TEST_F(LoadSourceTest, PrometheusGivesRatesHeatAndTheHottestKey) {
  Server server([this](const std::string& head) { return prometheus(head); });
  auto answer = ask(server);
  ASSERT_EQ(answer.problem, "");
  const auto& shard = answer.rates.at("clicks").at(3);
  EXPECT_EQ(shard.bytes_per_s, 12.5);
  EXPECT_EQ(shard.records_per_s, 4);
  EXPECT_EQ(shard.throttled_per_s, 4);
  EXPECT_EQ(shard.heat[2], 9);
  EXPECT_EQ(shard.hot_key->name, "k");
  EXPECT_EQ(answer.lags.at("clicks").group, "g");
  EXPECT_EQ(answer.lags.at("clicks").records, 500);
  EXPECT_NE(server.last_head().find("Authorization:Bearer secret"), std::string::npos)
      << server.last_head();
}

TEST_F(LoadSourceTest, APrometheusThatIsDownIsAReason) {
  std::string address;
  {
    Server server([](const std::string&) { return std::string(); });
    EXPECT_EQ(ask(server).reason, "PrometheusUnreachable");  // closes every connection
    address = server.address();
  }
  LoadSettings settings;
  settings.prometheus_url = "http://" + address;
  auto answer = source_.look(settings, {"ns", "c"}, {{"c-0", "127.0.0.1:1"}});
  EXPECT_EQ(answer.reason, "PrometheusUnreachable");
  EXPECT_TRUE(answer.rates.empty());
}

TEST_F(LoadSourceTest, APrometheusThatIsSlowIsAReason) {
  std::atomic<bool> release{false};
  Server server([&](const std::string&) {
    while (!release) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return std::string();
  });
  EXPECT_EQ(ask(server).reason, "PrometheusUnreachable");
  release = true;
}

TEST_F(LoadSourceTest, NansAndErrorsAreReasons) {
  Server server([this](const std::string& head) { return prometheus(head); });
  for (const char* bytes : {"NaN", "-1", "+Inf"}) {
    bytes_ = bytes;
    auto answer = ask(server);
    EXPECT_EQ(answer.reason, "PrometheusAnswer") << bytes;
    EXPECT_TRUE(answer.rates.empty());
  }
  bytes_ = "1";
  committed_ = "NaN";
  EXPECT_EQ(ask(server).reason, "PrometheusAnswer");
  brokers_seen_ = "NaN";
  EXPECT_EQ(ask(server).reason, "BrokerMetricsMissing");
  Server refusing([](const std::string&) {
    return R"({"status":"error","errorType":"bad_data","error":"no"})";
  });
  EXPECT_EQ(ask(refusing).reason, "BrokerMetricsMissing");
}

TEST_F(LoadSourceTest, ABrokerThatPrometheusMissesIsAReason) {
  Server server([this](const std::string& head) { return prometheus(head); });
  brokers_seen_ = "1";
  auto answer = ask(server);
  EXPECT_EQ(answer.reason, "BrokerMetricsMissing");
  EXPECT_EQ(answer.problem, "Prometheus has fresh metrics of 1 of 2 brokers");
}

TEST_F(LoadSourceTest, ClocksThatAreApartAreAReason) {
  Server server([this](const std::string& head) { return prometheus(head); });
  for (double skew_s : {-3600.0, 120.0}) {
    skew_s_ = skew_s;
    EXPECT_EQ(ask(server).reason, "ClockSkew");
  }
}

TEST_F(LoadSourceTest, OwnQueriesTakeThePlaceOfOurs) {
  Server server([this](const std::string& head) { return prometheus(head); });
  LoadSettings settings;
  settings.prometheus_url = "http://" + server.address();
  settings.queries = {{"committed", "mine{ns=\"$namespace\",c=\"$cluster\"}[$window]"}};
  source_.look(settings, {"ns", "c"}, {{"c-0", ""}, {"c-1", ""}});
  auto head = server.last_head();
  EXPECT_NE(head.find("mine"), std::string::npos);
  EXPECT_NE(head.find("5s"), std::string::npos);
}

TEST_F(LoadSourceTest, PagesGiveRatesAtTheSecondLookAndNoneWhenOneIsMissing) {
  double bytes = 1000, cpu = 10;
  Server page([&](const std::string&) {
    bytes += 500;
    cpu += 0.01;
    return "sluice_shard_bytes_in_total{shard=\"0\",stream=\"a\"} " + std::to_string(bytes) +
           "\nsluice_process_cpu_seconds_total " + std::to_string(cpu) +
           "\nsluice_process_cpu_cores 2\nsluice_volume_used_bytes 30\n"
           "sluice_volume_capacity_bytes 40\n"
           "sluice_shard_end_offset{shard=\"0\",stream=\"a\"} 50\n"
           "sluice_group_committed_offset{group=\"g\",shard=\"0\",stream=\"a\"} 20\n"
           "sluice_kafka_request_seconds_bucket{api=\"Produce\",le=\"0.1\"} " +
           std::to_string(bytes) + "\n" +
           "sluice_kafka_request_seconds_bucket{api=\"Produce\",le=\"+Inf\"} " +
           std::to_string(bytes) + "\n";
  });
  std::map<std::string, std::string> brokers{{"c-0", page.address()}};
  LoadSettings settings;
  EXPECT_EQ(source_.look(settings, {"ns", "c"}, brokers).reason, "Starting");
  LoadAnswer answer;
  do {  // both looks within one millisecond give no rate yet
    answer = source_.look(settings, {"ns", "c"}, brokers);
  } while (answer.rates.empty());
  EXPECT_GT(answer.rates["a"][0].bytes_per_s, 0);
  EXPECT_EQ(answer.brokers["c-0"].used[static_cast<size_t>(autoscale::Resource::kSpace)], 0.75);
  EXPECT_GT(*answer.brokers["c-0"].used[static_cast<size_t>(autoscale::Resource::kCpu)], 0);
  EXPECT_GT(*answer.brokers["c-0"].produce_p99_ms, 90);
  EXPECT_LE(*answer.brokers["c-0"].produce_p99_ms, 100);
  EXPECT_EQ(answer.lags["a"].records, 30);
  brokers["c-1"] = "127.0.0.1:1";
  answer = source_.look(settings, {"ns", "c"}, brokers);
  EXPECT_EQ(answer.reason, "BrokerMetricsMissing");
  EXPECT_TRUE(answer.rates.empty());
  EXPECT_EQ(source_.look(settings, {"ns", "c"}, {}).reason, "BrokerMetricsMissing");
}

}  // namespace
}  // namespace sluice_operator::reconcile
