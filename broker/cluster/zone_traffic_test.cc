// Bytes between zones over the ends of a process, of power, and over a map that has them.
#include "broker/cluster/zone_traffic.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"

namespace broker::cluster {
namespace {

const Uuid kStream = Uuid::from_random(1, 2);
const Uuid kDirectory = Uuid::from_random(3, 4);

class ZoneTrafficTest : public testing::Test {
 protected:
  ZoneTrafficTest() {
    char pattern[] = "/tmp/zone_traffic_XXXXXX";
    dir_ = mkdtemp(pattern);
    v1::MetadataUpdate update;
    for (int id = 0; id < 3; ++id) {
      auto* broker = update.add_brokers();
      broker->set_id(id);
      broker->set_zone(id == 2 ? "a" : id == 0 ? "a" : "b");
    }
    auto* map = update.add_streams();
    map->set_stream_id(kStream.to_string());
    map->set_stream("s");
    map->set_generation(1);
    metadata_.apply(update);
  }
  ~ZoneTrafficTest() override { std::filesystem::remove_all(dir_); }

  std::unique_ptr<ZoneTraffic> open() {
    auto traffic = std::make_unique<ZoneTraffic>(executor_, fs_, io_, metadata_, BrokerId{0}, kDirectory);
    EXPECT_TRUE(traffic->open(dir_).ok());
    return traffic;
  }
  // Runs the reactor until `done`.
  void flush(ZoneTraffic& traffic) {
    traffic.flush([&] { executor_.stop(); });
    executor_.run();
    executor_.context().restart();
  }
  v1::UsageReports report(ZoneTraffic& traffic) {
    v1::UsageReports out;
    traffic.report([&](const v1::UsageReports& news) {
      out = news;
      executor_.stop();
    });
    executor_.schedule_after(5000, [&] { executor_.stop(); });
    executor_.run();
    executor_.context().restart();
    return out;
  }

  std::string dir_;
  env::PosixFileSystem fs_;
  env::AsioExecutor executor_;
  env::ThreadIoQueue io_{executor_, "io"};
  Metadata metadata_;
};

TEST_F(ZoneTrafficTest, CountsOtherZonesAndLivesOn) {
  {
    auto traffic = open();
    traffic->to_broker(BrokerId{1}, kStream, TrafficKind::kReplicated, 100);
    traffic->to_broker(BrokerId{2}, kStream, TrafficKind::kReplicated, 1000);  // same zone
    traffic->to_broker(BrokerId{9}, kStream, TrafficKind::kReplicated, 1000);  // unknown
    traffic->to_zone("", kStream, TrafficKind::kFetched, 1000);
    traffic->to_zone("c", kStream, TrafficKind::kFetched, 7);
    flush(*traffic);
  }
  auto traffic = open();
  traffic->to_broker(BrokerId{1}, kStream, TrafficKind::kForwarded, 5);
  auto news = report(*traffic);
  ASSERT_EQ(news.traffic_size(), 1);
  EXPECT_EQ(news.traffic(0).stream_id(), kStream.to_string());
  EXPECT_EQ(news.traffic(0).traffic().directory(), kDirectory.to_string());
  EXPECT_EQ(news.traffic(0).traffic().replicated_bytes(), 100);
  EXPECT_EQ(news.traffic(0).traffic().forwarded_bytes(), 5);
  EXPECT_EQ(news.traffic(0).traffic().fetched_bytes(), 7);
}

TEST_F(ZoneTrafficTest, AFileCutOffWhileWrittenCostsOnlyItself) {
  {
    auto traffic = open();
    traffic->to_zone("c", kStream, TrafficKind::kFetched, 7);
    flush(*traffic);  // to traffic-1
    traffic->to_zone("c", kStream, TrafficKind::kFetched, 8);
    flush(*traffic);  // to traffic-0
  }
  std::ofstream(dir_ + "/traffic-0", std::ios::trunc) << "torn";
  auto traffic = open();
  EXPECT_EQ(report(*traffic).traffic(0).traffic().fetched_bytes(), 7);
}

TEST_F(ZoneTrafficTest, WhatTheMapHasIsNotToldAgain) {
  auto traffic = open();
  traffic->to_zone("c", kStream, TrafficKind::kFetched, 7);
  auto news = report(*traffic);
  v1::MetadataUpdate update;
  auto* map = update.add_streams();
  map->set_stream_id(kStream.to_string());
  map->set_stream("s");
  map->set_generation(2);
  *map->mutable_metering()->add_traffic() = news.traffic(0).traffic();
  metadata_.apply(update);
  bool told = false;
  traffic->report([&](const v1::UsageReports&) { told = true; });
  EXPECT_FALSE(told);
}

}  // namespace
}  // namespace broker::cluster
