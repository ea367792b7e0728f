// Settings: bad input names the setting and the fix; the command line wins over the file.
#include "broker/app/config.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace broker::app {
namespace {

TEST(Config, DevNeedsOnlyAFolder) {
  auto config = parse_command_line({"--dev", "--data", "/tmp/x", "--kafka", "127.0.0.1:0"});
  ASSERT_TRUE(config.ok()) << config.status().to_string();
  EXPECT_EQ(config->kafka.address.port, 0);
  EXPECT_EQ(config->grpc.address.to_string(), "127.0.0.1:9090");
  EXPECT_EQ(config->kinesis.address.to_string(), "127.0.0.1:4567");
  EXPECT_TRUE(config->kinesis_any_key);
  EXPECT_EQ(config->advertise, "127.0.0.1");
}

TEST(Config, ErrorsNameTheSettingAndTheFix) {
  auto message = [](std::vector<std::string> arguments) {
    return parse_command_line(arguments).status().message();
  };
  EXPECT_NE(message({"--dev"}).find("--data"), std::string::npos);
  EXPECT_NE(message({"--data", "d", "--broker-id", "1"}).find("--coordinator"), std::string::npos);
  EXPECT_NE(message({"--dev", "--data", "d", "--kafka", "x"}).find("HOST:PORT"), std::string::npos);
  EXPECT_NE(message({"--dev", "--data", "d", "--kfka", "x"}).find("--kfka"), std::string::npos);
  EXPECT_NE(message({"--dev", "--data"}).find("needs a value"), std::string::npos);
  EXPECT_NE(message({"--dev", "--data", "d", "--tls-ca", "x"}).find("all three"),
            std::string::npos);
  EXPECT_NE(message({"--dev", "--data", "d", "--broker-id", "-3"}).find("--broker-id"),
            std::string::npos);
}

TEST(Config, ListenersAskForTlsAndUsers) {
  auto config = parse_command_line({"--dev", "--data", "d", "--kafka", "127.0.0.1:0;sasl",
                                    "--client-tls-cert", "c", "--client-tls-key", "k",
                                    "--kafka-listeners",
                                    "external=:9094;tls;sasl;advertise=b0.example.com:443,"
                                    "certs=:9095;mtls"});
  ASSERT_TRUE(config.ok()) << config.status().to_string();
  EXPECT_EQ(config->kafka.authentication, ClientAuthentication::kSasl);
  ASSERT_EQ(config->kafka_listeners.size(), 2u);
  EXPECT_EQ(config->kafka_listeners[0].advertise->to_string(), "b0.example.com:443");
  EXPECT_TRUE(config->kafka_listeners[1].tls);
  EXPECT_EQ(config->kafka_listeners[1].authentication, ClientAuthentication::kClientCertificate);
  auto message = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"--dev", "--data", "d"});
    return parse_command_line(more).status().message();
  };
  EXPECT_NE(message({"--kafka", ":1;tls"}).find("--client-tls-cert"), std::string::npos);
  EXPECT_NE(message({"--kafka", ":1;ssl"}).find("unknown word 'ssl'"), std::string::npos);
  EXPECT_NE(message({"--kafka-listeners", ":1"}).find("NAME=HOST:PORT"), std::string::npos);
}

TEST(Config, OnlyLoopbackTakesAnyKinesisKey) {
  std::vector<std::string> words = {"--data", "d", "--cluster", "c", "--broker-id", "1",
                                    "--coordinator", "op:9443"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), words.begin(), words.end());
    return parse_command_line(more);
  };
  EXPECT_FALSE(with({})->kinesis_any_key);
  EXPECT_TRUE(with({"--kinesis-any-key", "--kinesis", "127.0.0.1:0"})->kinesis_any_key);
  EXPECT_FALSE(with({"--kinesis-any-key"}).ok());
  EXPECT_FALSE(with({"--kinesis", "127.0.0.1:0;tls"}).ok()) << "no certificate";
  EXPECT_FALSE(with({"--kinesis", "127.0.0.1:0;sasl"}).ok());
  EXPECT_FALSE(with({"--kinesis-any-key", "--kinesis", "127.0.0.1:0", "--kinesis-credentials",
                     "f"}).ok());
  auto dev = parse_command_line({"--dev", "--data", "d", "--kinesis-credentials", "f"});
  EXPECT_FALSE(dev->kinesis_any_key);
  EXPECT_EQ(dev->kinesis_credentials, "f");
  EXPECT_FALSE(parse_command_line({"--dev", "--data", "d", "--users", "f"})->kinesis_any_key);
}

TEST(Config, TheCommandLineWinsOverTheFile) {
  char name[] = "/tmp/sluice-test-XXXXXX";
  std::string path = std::string(mkdtemp(name)) + "/broker.yaml";
  std::ofstream(path) << "cluster: from-file\nzone: z1\ncoordinator: op:9443\n";
  auto config = parse_command_line(
      {"--config", path, "--data", "d", "--broker-id", "2", "--cluster=cli"});
  ASSERT_TRUE(config.ok()) << config.status().to_string();
  EXPECT_EQ(config->cluster, "cli");
  EXPECT_EQ(config->zone, "z1");
  std::ofstream(path) << "custer: x\n";
  EXPECT_NE(parse_command_line({"--config", path, "--data", "d"}).status().message().find("custer"),
            std::string::npos);
}

TEST(Config, TheRateOfCatchingUp) {
  EXPECT_EQ(parse_command_line({"--dev", "--data", "/d"})->catch_up_bytes_per_s, 128 << 20);
  auto set = parse_command_line({"--dev", "--data", "/d", "--catch-up-bytes-per-s", "5000000000"});
  ASSERT_TRUE(set.ok()) << set.status().to_string();
  EXPECT_EQ(set->catch_up_bytes_per_s, 5'000'000'000);
  auto bad = parse_command_line({"--dev", "--data", "/d", "--catch-up-bytes-per-s", "64MiB"});
  EXPECT_NE(bad.status().message().find("--catch-up-bytes-per-s"), std::string::npos);
}

TEST(Config, SettingsOfNewTopics) {
  auto dev = parse_command_line({"--dev", "--data", "/d"});
  ASSERT_TRUE(dev.ok());
  EXPECT_TRUE(dev->auto_create_topics);
  EXPECT_EQ(dev->num_partitions, 1);
  auto set = parse_command_line(
      {"--dev", "--data", "/d", "--num-partitions=4", "--auto-create-topics=false"});
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->num_partitions, 4);
  EXPECT_FALSE(set->auto_create_topics);
  auto bad = parse_command_line({"--dev", "--data", "/d", "--num-partitions", "0"});
  EXPECT_NE(bad.status().message().find("--num-partitions"), std::string::npos);
}

TEST(Config, KinesisRatesAreLiftedForDevelopment) {
  EXPECT_FALSE(parse_command_line({"--dev", "--data", "/d"})->kinesis_operation_rates);
  EXPECT_TRUE(parse_command_line({"--dev", "--data", "/d", "--kinesis-operation-rates"})
                  ->kinesis_operation_rates);
}

TEST(Config, SettingsOfGroups) {
  auto dev = parse_command_line({"--dev", "--data", "/d"});
  ASSERT_TRUE(dev.ok());
  EXPECT_EQ(dev->group_initial_rebalance_delay_ms, 0);
  EXPECT_EQ(dev->group_max_size, INT32_MAX);
  auto set = parse_command_line({"--dev", "--data", "/d", "--group-max-size", "7",
                                 "--group-initial-rebalance-delay-ms", "500"});
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->group_initial_rebalance_delay_ms, 500);
  EXPECT_EQ(set->group_max_size, 7);
  auto bad = parse_command_line({"--dev", "--data", "/d", "--group-max-size", "0"});
  EXPECT_NE(bad.status().message().find("--group-max-size"), std::string::npos);
}

}  // namespace
}  // namespace broker::app
