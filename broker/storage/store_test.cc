// Each operation of a store on a simulated machine: what it does at once, what it leaves after a
// restart, and when it is refused.
#include "broker/storage/store.h"

#include "broker/storage/test_support.h"

namespace broker::storage {
namespace {

TEST(Store, AppendIsReadAtOnceAndDurableOnDone) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log();
  ASSERT_TRUE(m.append(log, 3, "abc").ok());
  EXPECT_EQ(log.log_end(), Offset{3});
  EXPECT_EQ(log.durable_end(), Offset{0});
  auto batches = log.read(Offset{1}, 1, Offset{3});
  ASSERT_TRUE(batches.ok());
  ASSERT_EQ(batches->size(), 1u);
  EXPECT_EQ(batches->front().header.base_offset, Offset{0});
  EXPECT_TRUE(log.read(Offset{1}, 1, Offset{2})->empty());
  EXPECT_EQ(log.read(Offset{4}, 1, Offset{9}).code(), Code::kOutOfRange);
  m.settle();
  EXPECT_EQ(m.acknowledged, 1);
  EXPECT_EQ(log.durable_end(), Offset{3});
}

// GetRecords of 1,000 small records read 10 MiB of the log.
TEST(Store, AReadEndsWithTheRecordsThatWereAskedFor) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log();
  for (int i = 0; i < 300; i++) ASSERT_TRUE(m.append(log, 3, std::string(100, 'x')).ok());
  m.settle();
  ASSERT_FALSE(read_all(log).starts_with("read at"));  // index blocks are in memory from here on
  auto ends = [&](int64_t from, int64_t records_max) {
    auto batches = log.read(Offset{from}, 1 << 20, log.log_end(), nullptr, records_max);
    EXPECT_TRUE(batches.ok()) << batches.status().to_string();
    return batches->empty() ? int64_t{-1} : batches->back().header.end_offset().value;
  };
  EXPECT_EQ(ends(0, 1), 3);
  EXPECT_EQ(ends(0, 3), 3);
  EXPECT_EQ(ends(0, 4), 6);
  EXPECT_EQ(ends(2, 1), 3);
  EXPECT_EQ(ends(2, 2), 6) << "one record of the first batch is before the position";
  EXPECT_EQ(ends(100, 300), 402);
  EXPECT_EQ(ends(890, 5), 897) << "from memory";
  EXPECT_EQ(ends(890, 10), 900);
  EXPECT_EQ(ends(0, 10'000), 900);
  // What is read of the disk follows what is asked for, too.
  int64_t reads = 0;
  m.disk.set_fault([&](sim::DiskOp op, const std::string&) {
    reads += op == sim::DiskOp::kRead;
    return Status();
  });
  EXPECT_EQ(ends(0, 1), 3);
  EXPECT_LE(reads, 2);
}

double syncs(Machine& m) { return m.metrics.counter("sluice_storage_log_syncs_total", "").Value(); }

TEST(Store, OneSyncForAllThatWaits) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  for (int i = 0; i < 100; i++) m.log(i);
  m.settle();
  int syncs = 0;
  m.disk.set_fault([&](sim::DiskOp op, const std::string& path) {
    syncs += op == sim::DiskOp::kSync && path.ends_with(".log");
    return Status();
  });
  for (int i = 0; i < 100; i++) ASSERT_TRUE(m.append(m.log(i), 1, "x").ok());
  m.settle();
  EXPECT_EQ(m.acknowledged, 100);
  // The first append goes out alone, the other 99 while it is in flight: together. One more where a
  // log file ends.
  EXPECT_LE(syncs, 3);
}

TEST(Store, OneSyncForATurnOfTheReactor) {
  Machine m;
  m.join_turns = true;
  ASSERT_TRUE(m.start().ok());
  for (int i = 0; i < 50; i++) m.log(i);
  m.settle();
  double before = syncs(m);
  for (int i = 0; i < 50; i++) ASSERT_TRUE(m.append(m.log(i), 1, "x").ok());
  m.settle();
  EXPECT_EQ(m.acknowledged, 50);
  EXPECT_EQ(syncs(m) - before, 1);
}

// Nobody waits for a disk: what comes within a few milliseconds goes out together.
TEST(Store, WriteBehindWaitsForCompany) {
  Machine m;
  m.join_turns = true;
  ASSERT_TRUE(m.start().ok());
  ShardLog &behind = m.log(0), &synced = m.log(1);
  m.settle();
  behind.set_write_behind(true);
  double before = syncs(m);
  for (int i = 0; i < 8; i++) {
    ASSERT_TRUE(m.append(behind, 1, "x").ok());
    m.world.run_for_us(1'000);
  }
  EXPECT_EQ(syncs(m), before);
  EXPECT_EQ(behind.durable_end(), Offset{0});
  EXPECT_EQ(behind.held_end(), Offset{8});
  m.world.run_for_us(10'000);
  EXPECT_EQ(syncs(m) - before, 1);
  EXPECT_EQ(behind.durable_end(), Offset{8});
  // Somebody else is in a hurry.
  ASSERT_TRUE(m.append(behind, 1, "x").ok());
  ASSERT_TRUE(m.append(synced, 1, "x").ok());
  m.world.run_for_us(1'000);
  EXPECT_EQ(behind.durable_end(), Offset{9});
  EXPECT_EQ(synced.durable_end(), Offset{1});
}

// Zeros that are written over the next log file: when each piece was.
struct Touched : Machine {
  Touched() : Machine(1, of_4_mib()) { join_turns = true; }
  static StoreOptions of_4_mib() {
    StoreOptions options = small_options();
    options.log_file_bytes = 4 << 20;
    options.frame_bytes_max = 1 << 20;
    return options;
  }
  // Its first file is open and the one after it is ready.
  void begin() {
    ASSERT_TRUE(start().ok());
    append_mib(1);
    settle();
    disk.set_fault([this](sim::DiskOp op, const std::string& path) {
      if (op == sim::DiskOp::kWrite && path.find("spare") != std::string::npos) {
        at_us.push_back(world.now_us());
      }
      return Status();
    });
  }
  void append_mib(int n) {
    for (int i = 0; i < n; i++) ASSERT_TRUE(append(log(), 1, std::string(1'000'000, 'x')).ok());
  }
  std::vector<int64_t> at_us;
};

TEST(Store, TheNextFileIsTouchedPieceByPiece) {
  Touched m;
  m.begin();
  m.append_mib(4);
  m.settle();
  ASSERT_EQ(m.at_us.size(), 16u) << "4 MiB in pieces of 256 KiB";
  for (size_t i = 1; i < m.at_us.size(); i++) {
    EXPECT_GE(m.at_us[i] - m.at_us[i - 1], 20'000) << "others sync in between";
  }
}

// A burst does not wait until all of it is touched.
TEST(Store, AFileThatIsNeededIsTakenAsItIs) {
  for (int64_t into_us : {0, 10'000}) {  // while a piece is written, and between two
    Touched m;
    m.begin();
    m.append_mib(4);
    while (m.at_us.size() < 5) m.world.run_for_us(50);
    m.world.run_for_us(into_us);
    m.append_mib(4);
    m.settle();
    EXPECT_EQ(m.at_us.size(), 5u);
    EXPECT_EQ(m.acknowledged, 9);
    m.stop();
    ASSERT_TRUE(m.start().ok());
    EXPECT_EQ(m.log().log_end(), Offset{9});
    EXPECT_FALSE(read_all(m.log()).starts_with("read at"));
  }
}

TEST(Store, WhatIsHeldIsBounded) {
  StoreOptions options = Machine::small_options();
  options.unsynced_bytes_max = 4'000;
  Machine m(1, options);
  m.join_turns = true;
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log();
  log.set_write_behind(true);
  m.settle();
  ASSERT_TRUE(m.append(log, 1, std::string(1'000, 'x')).ok());
  EXPECT_EQ(log.held_end(), Offset{1});
  for (int i = 0; i < 3; i++) ASSERT_TRUE(m.append(log, 1, std::string(1'000, 'x')).ok());
  EXPECT_EQ(log.held_end(), Offset{0}) << "the disk is too far behind";
  m.settle();
  EXPECT_EQ(log.held_end(), Offset{4});
}

TEST(Store, ALogKnowsHowItsDirectoryWasLeft) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  EXPECT_FALSE(m.log().recovered_uncleanly());
  m.settle();
  m.store->close([](Status) {});
  m.settle();
  m.stop(false);
  ASSERT_TRUE(m.start().ok());
  EXPECT_FALSE(m.log().recovered_uncleanly());
  m.stop(false);  // killed
  ASSERT_TRUE(m.start().ok());
  EXPECT_TRUE(m.log().recovered_uncleanly());
  EXPECT_FALSE(m.log(1).recovered_uncleanly()) << "it is new";
}

TEST(Store, DonesComeInTheOrderOfCalls) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  std::vector<int> order;
  for (int i = 0; i < 50; i++) {
    auto done = [&order, i](Status) { order.push_back(i); };
    ShardLog& log = m.log(i % 5);
    if (i % 3 == 0) {
      ASSERT_TRUE(log.set_state({Term{i}, Term{0}}, done).ok());
    } else {
      ASSERT_TRUE(log.append({make_batch(log.log_end(), Term{1}, 1, std::string(700, 'x'))}, done).ok());
    }
  }
  m.settle();
  ASSERT_EQ(order.size(), 50u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Store, RefusesWhatDoesNotContinueTheLog) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log();
  EXPECT_EQ(log.append({make_batch(Offset{1}, Term{1}, 1, "")}, {}).code(), Code::kInvalidArgument);
  ASSERT_TRUE(log.append({make_batch(Offset{0}, Term{5}, 1, "")}, {}).ok());
  EXPECT_EQ(log.append({make_batch(Offset{1}, Term{4}, 1, "")}, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(log.append({make_batch(Offset{1}, Term{5}, 1, std::string(9000, 'x'))}, {}).code(),
            Code::kTooLarge);
  ASSERT_TRUE(log.append({make_batch(Offset{1}, Term{5}, 4, "")}, {}).ok());
  EXPECT_EQ(log.truncate(Offset{3}, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(m.store->create(shard_id(0), {}, {}).code(), Code::kAlreadyExists);
  EXPECT_EQ(log.log_end(), Offset{5});
}

// Fills several log files, so that reads come from the tail, the current file and sealed ones.
void fill(Machine& m, int shards, int batches) {
  for (int i = 0; i < batches; i++) {
    for (int s = 0; s < shards; s++) {
      ASSERT_TRUE(m.append(m.log(s), 2, std::string(200 + i, static_cast<char>('a' + s)), i).ok());
    }
    m.world.run_for_us(2000);
  }
  m.settle();
}

TEST(Store, ReadsFromTailAndFilesAgreeAndSurviveRestarts) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 3, 100);
  ASSERT_GT(m.disk.files("/data/log/").size(), 4u);
  std::vector<std::string> before;
  for (int s = 0; s < 3; s++) before.push_back(read_all(m.log(s)));
  EXPECT_GT(before[0].size(), 30000u);
  for (int restart = 0; restart < 4; restart++) {
    m.stop(restart % 2 == 0);
    ASSERT_TRUE(m.start().ok());
    EXPECT_FALSE(m.store->clean_shutdown());
    for (int s = 0; s < 3; s++) {
      EXPECT_EQ(m.log(s).log_end(), Offset{200});
      EXPECT_EQ(m.log(s).durable_end(), Offset{200});
      EXPECT_EQ(read_all(m.log(s)), before[s]);
    }
  }
}

TEST(Store, WhatIsNotFollowedAnyMoreLeavesTheCache) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  ASSERT_TRUE(m.append(m.log(0)).ok());
  EXPECT_GT(m.store->trim_cache(0), 0u) << "not durable: it can be read from nowhere else";
  m.settle();
  ASSERT_TRUE(m.append(m.log(1)).ok());
  m.world.run_for_us(5'000'000);
  const uint64_t both = m.store->trim_cache(1'000'000);
  EXPECT_EQ(m.store->trim_cache(30'000), both / 2) << "the second is 5 s old";
  EXPECT_EQ(m.store->trim_cache(1'000), 0u);
  for (int s : {0, 1}) EXPECT_FALSE(read_all(m.log(s)).empty()) << "from the file";
}

// The reactor serves everybody: what one reader wants from the disk is fetched beside it.
TEST(Store, AReadDoesNotWaitForTheDisk) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 3, 100);
  const std::string all = read_all(m.log(1));
  m.stop(false);
  ASSERT_TRUE(m.start().ok());  // index blocks have to be read, too
  m.disk.set_cold(100);
  ShardLog& log = m.log(1);
  std::string read;
  int loads = 0;
  for (Offset at = log.log_start(); at < log.log_end();) {
    bool over = false;
    Load load{[&over] { over = true; }};
    auto batches = log.read(at, 1000, log.log_end(), &load);
    ASSERT_TRUE(batches.ok()) << batches.status().to_string();
    if (load.started) {
      EXPECT_TRUE(batches->empty());
      EXPECT_FALSE(over) << "while the caller is still there";
      m.settle();
      ASSERT_TRUE(over);
      loads++;
      batches = log.read(at, 1000, log.log_end());
      ASSERT_TRUE(batches.ok()) << batches.status().to_string();
    }
    ASSERT_FALSE(batches->empty());
    for (const Batch& b : *batches) read += b.bytes.view();
    at = batches->back().header.end_offset();
  }
  EXPECT_EQ(read, all);
  EXPECT_GT(loads, 20);
  m.disk.set_cold(0);
  Load load{[] { FAIL() << "nothing is missing"; }};
  EXPECT_FALSE(log.read(log.log_start(), 1000, log.log_end(), &load)->empty());
  EXPECT_FALSE(load.started);
}

// What was loaded is asked for again without a load: only its first piece may have to be waited for
// on the spot, if it has left the memory meanwhile.
TEST(Store, AReadAfterALoadWaitsForOnePieceAtMost) {
  StoreOptions options = Machine::small_options();
  options.log_file_bytes = 1 << 20;
  options.frame_bytes_max = 32 << 10;
  Machine m(1, options);
  ASSERT_TRUE(m.start().ok());
  for (int i = 0; i < 20; i++) {  // frames of shard 1 lie far apart
    ASSERT_TRUE(m.append(m.log(0), 1, std::string(20'000, 'x')).ok());
    ASSERT_TRUE(m.append(m.log(1), 1, "y").ok());
    m.settle();
  }
  m.stop(false);
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log(1);
  ASSERT_TRUE(log.read(Offset{0}, 1'000'000, Offset{20}).ok());  // the index is in memory
  m.disk.set_cold(100);
  int reads = 0;
  m.disk.set_fault([&](sim::DiskOp op, const std::string&) {
    reads += op == sim::DiskOp::kRead;
    return Status();
  });
  auto batches = log.read(Offset{0}, 1'000'000, Offset{20});
  ASSERT_TRUE(batches.ok()) << batches.status().to_string();
  EXPECT_EQ(reads, 1);
  EXPECT_EQ(batches->size(), 1u);
  m.settle();
  EXPECT_EQ(reads, 2) << "what comes next is fetched meanwhile";
}

// The system's read-ahead kept the disk from those who waited for an fsync.
TEST(Store, ALoadBringsNoMoreThanItMustWhileOthersWaitForTheDisk) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 1, 100);
  ASSERT_FALSE(read_all(m.log(0)).starts_with("read at"));  // index blocks are in memory
  m.disk.set_cold(100);
  auto loads = [&m] {
    Load load{[] {}};
    EXPECT_TRUE(m.log(0).read(Offset{0}, 1000, Offset{200}, &load)->empty());
    EXPECT_TRUE(load.started);
    m.world.run_for_us(100'000);
  };
  ASSERT_TRUE(m.append(m.log(0)).ok());
  m.world.run_for_us(100'000);
  loads();
  EXPECT_TRUE(m.disk.reads_no_more());
  m.world.run_for_us(2'000'000);
  loads();
  EXPECT_FALSE(m.disk.reads_no_more());
}

TEST(Store, ALoadThatFailsIsOverToo) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 1, 100);
  m.disk.set_cold(100);
  m.disk.set_fault([](sim::DiskOp op, const std::string& path) {
    return op == sim::DiskOp::kRead ? Status(Code::kIoError, path) : Status();
  });
  bool over = false;
  // What is already in the log file's last run is known to the reader by its entries.
  auto batches = m.log(0).read(Offset{0}, 1000, m.log(0).log_end());
  EXPECT_EQ(batches.code(), Code::kIoError);
  Load load{[&over] { over = true; }};
  batches = m.log(0).read(Offset{0}, 1000, m.log(0).log_end(), &load);
  m.settle();
  EXPECT_EQ(over, load.started);
  EXPECT_EQ(load.started, batches.ok());
  EXPECT_TRUE(over);
}

TEST(Store, CleanShutdownIsRememberedOnce) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  EXPECT_TRUE(m.store->clean_shutdown());
  Uuid id = m.store->directory_id();
  fill(m, 2, 5);
  Status closed(Code::kInternal, "not called");
  m.store->close([&](Status s) { closed = s; });
  EXPECT_EQ(m.append(m.log(0)).code(), Code::kUnavailable);
  m.settle();
  EXPECT_TRUE(closed.ok());
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_TRUE(m.store->clean_shutdown());
  EXPECT_EQ(m.store->directory_id(), id);
  EXPECT_EQ(m.log(1).log_end(), Offset{10});
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_FALSE(m.store->clean_shutdown());
}

TEST(Store, RefusesAnotherBrokersDirectory) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  m.stop();
  m.options.broker = BrokerId{4};
  EXPECT_EQ(m.start().code(), Code::kConflict);
}

TEST(Store, StateTermsAndSnapshotsAreCutWithTheLog) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log();
  for (int32_t t = 1; t <= 3; t++) {
    for (int i = 0; i < 4; i++) {
      ASSERT_TRUE(log.append({make_batch(log.log_end(), Term{t}, 1, "x")}, {}).ok());
    }
    ASSERT_TRUE(log.save_snapshot(log.log_end(), "at " + std::to_string(t), {}).ok());
  }
  ASSERT_TRUE(log.set_state({Term{4}, Term{3}}, {}).ok());
  ASSERT_TRUE(log.truncate(Offset{9}, {}).ok());
  for (bool restarted : {false, true}) {
    ShardLog& now = m.log();
    EXPECT_EQ(now.log_end(), Offset{9});
    EXPECT_EQ(now.terms().size(), 3u);
    EXPECT_EQ(now.last_term(), Term{3});
    EXPECT_EQ(now.snapshot(), (Snapshot{Offset{8}, "at 2"}));
    EXPECT_EQ(now.state(), (ReplicaState{Term{4}, Term{3}}));
    if (restarted) break;
    m.settle();
    m.stop();
    ASSERT_TRUE(m.start().ok());
  }
  ASSERT_TRUE(m.log().truncate(Offset{8}, {}).ok());
  EXPECT_EQ(m.log().last_term(), Term{2});
}

TEST(Store, TruncatedDataIsReplacedAcrossFiles) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 1, 150);
  ShardLog& log = m.log();
  ASSERT_TRUE(log.truncate(Offset{100}, {}).ok());
  EXPECT_EQ(log.durable_end(), Offset{100});
  for (int i = 0; i < 20; i++) {
    ASSERT_TRUE(log.append({make_batch(log.log_end(), Term{2}, 1, "new")}, {}).ok());
  }
  m.settle();
  EXPECT_EQ(log.durable_end(), Offset{120});
  std::string all = read_all(log);
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_EQ(read_all(m.log()), all);
  EXPECT_EQ(m.log().terms(), (std::vector<TermStart>{{Term{1}, Offset{0}}, {Term{2}, Offset{100}}}));
}

TEST(Store, DurableEndWaitsForDataRewrittenAfterATruncation) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log();
  for (int i = 0; i < 10; i++) ASSERT_TRUE(m.append(log).ok());
  ASSERT_TRUE(log.truncate(Offset{5}, {}).ok());
  bool rewritten = false;
  ASSERT_TRUE(log.append({make_batch(Offset{5}, Term{2}, 3, "new")}, [&](Status) { rewritten = true; }).ok());
  while (!rewritten && m.world.step()) EXPECT_LE(log.durable_end(), Offset{rewritten ? 8 : 5});
  EXPECT_EQ(log.durable_end(), Offset{8});
}

TEST(Store, ResetGoesOnElsewhere) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 2, 60);
  ASSERT_TRUE(m.log(0).reset(Offset{1000}, {}).ok());
  ASSERT_TRUE(m.append(m.log(0), 1, "after").ok());
  m.settle();
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_EQ(m.log(0).log_start(), Offset{1000});
  EXPECT_EQ(m.log(0).log_end(), Offset{1001});
  EXPECT_EQ(m.log(0).read(Offset{999}, 1, Offset{1001}).code(), Code::kOutOfRange);
  EXPECT_EQ(m.log(1).log_end(), Offset{120});
}

TEST(Store, RemovedShardIsGoneAndMayComeBackEmpty) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 2, 60);
  ASSERT_TRUE(m.store->remove(shard_id(0), {}).ok());
  EXPECT_EQ(m.store->find(shard_id(0)), nullptr);
  m.log(0);
  m.settle();
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_EQ(m.store->shard_count(), 2u);
  EXPECT_EQ(m.log(0).log_end(), Offset{0});
  EXPECT_EQ(m.log(1).log_end(), Offset{120});
}

TEST(Store, FindsTimestamps) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 2, 100);  // batch i has timestamp i and offsets 2i, 2i + 1
  for (int64_t ts : {0, 1, 50, 99}) {
    auto found = m.log(0).find_timestamp(ts, Offset{200});
    ASSERT_TRUE(found.ok() && found->has_value());
    EXPECT_EQ((*found)->base_offset, Offset{2 * ts});
  }
  EXPECT_FALSE(m.log(0).find_timestamp(100, Offset{200})->has_value());
  EXPECT_FALSE(m.log(0).find_timestamp(99, Offset{198})->has_value());
  EXPECT_EQ((*m.log(0).find_max_timestamp(Offset{200}))->base_offset, Offset{198});
  EXPECT_EQ((*m.log(0).find_max_timestamp(Offset{21}))->base_offset, Offset{18});
  ASSERT_TRUE(m.log(0).truncate(Offset{60}, {}).ok());
  EXPECT_FALSE(m.log(0).find_timestamp(30, Offset{200})->has_value());
  EXPECT_EQ((*m.log(0).find_max_timestamp(Offset{200}))->base_offset, Offset{58});
  ASSERT_TRUE(m.log(0).set_log_start(Offset{21}, {}).ok());
  EXPECT_EQ((*m.log(0).find_timestamp(0, Offset{200}))->base_offset, Offset{20});
}

TEST(Store, RetentionFreesFilesForReuse) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 2, 200);
  uint64_t before = m.store->disk_bytes();
  for (int s = 0; s < 2; s++) {
    auto start = m.store->apply_retention(shard_id(s), {-1, 20 << 10}, Offset{400});
    ASSERT_TRUE(start.ok());
    EXPECT_GT(*start, Offset{100});
    EXPECT_GE(m.log(s).bytes(), 20u << 10);
  }
  m.settle();
  fill(m, 2, 1);
  EXPECT_LE(m.store->disk_bytes(), before / 2);
  std::string all = read_all(m.log(1));
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_EQ(read_all(m.log(1)), all);
  m.clock.shift_wall(1000);
  EXPECT_EQ(*m.store->apply_retention(shard_id(1), {60'000, -1}, m.log(1).log_end()), Offset{402});
}

TEST(Store, RetentionStopsAtTheCommittedEnd) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  fill(m, 1, 200);
  EXPECT_EQ(*m.store->apply_retention(shard_id(0), {-1, 0}, Offset{0}), Offset{0});
  EXPECT_LE(*m.store->apply_retention(shard_id(0), {-1, 0}, Offset{200}), Offset{200});
}

TEST(Store, QuietShardDoesNotHoldTheFilesOfABusyOne) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  std::string quiet;
  for (int round = 0; round < 30; round++) {
    ASSERT_TRUE(m.append(m.log(0), 1, "kept for ever").ok());
    fill(m, 1, 0);
    for (int i = 0; i < 40; i++) ASSERT_TRUE(m.append(m.log(1), 1, std::string(500, 'b')).ok());
    m.settle();
    ASSERT_TRUE(m.store->apply_retention(shard_id(1), {-1, 30 << 10}, m.log(1).log_end()).ok());
    m.settle();
  }
  EXPECT_LT(m.store->disk_bytes(), 12u * (16 << 10));  // 30 files' worth was written
  for (bool restarted : {false, true}) {
    EXPECT_EQ(m.log(0).log_start(), Offset{0});
    ASSERT_EQ(m.log(0).log_end(), Offset{30});
    EXPECT_EQ(read_all(m.log(0)).size(), 30u * (61 + 13));
    if (restarted) break;
    m.stop();
    ASSERT_TRUE(m.start().ok());
  }
}

TEST(Store, FullDiskRefusesAppendsAndRecovers) {
  Machine m;
  m.options.free_bytes_min = 32 << 10;
  m.disk.set_capacity(250 << 10);
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log(0);
  Status status;
  int appended = 0;
  while (status.ok() && appended < 1000) {
    status = m.append(log, 1, std::string(1000, 'x'));
    appended += status.ok();
    m.settle();
  }
  EXPECT_EQ(status.code(), Code::kNoSpace);
  EXPECT_TRUE(m.store->disk_full());
  EXPECT_GT(appended, 50);
  EXPECT_EQ(m.acknowledged, appended);
  EXPECT_EQ(log.log_end(), Offset{appended});
  EXPECT_TRUE(log.set_state({Term{2}, Term{2}}, {}).ok());
  EXPECT_TRUE(log.read(Offset{0}, 1, log.log_end()).ok());
  m.settle();
  EXPECT_TRUE(m.failed.ok());
  m.stop();  // a full disk does not stop a start
  ASSERT_TRUE(m.start().ok());
  EXPECT_EQ(m.log(0).log_end(), Offset{appended});
  ASSERT_TRUE(m.log(0).set_log_start(Offset{appended - 5}, {}).ok());
  m.settle();
  EXPECT_TRUE(m.append(m.log(0), 1, std::string(1000, 'x')).ok());
  m.settle();
  EXPECT_FALSE(m.store->disk_full());
}

TEST(Store, FailedSyncIsFatalAndAcknowledgesNothing) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  ShardLog& log = m.log();
  m.settle();
  m.disk.set_fault([](sim::DiskOp op, const std::string& path) {
    if (op != sim::DiskOp::kSync) return Status();
    return Status(Code::kIoError, "injected: " + path);
  });
  ASSERT_TRUE(m.append(log).ok());
  m.settle();
  EXPECT_EQ(m.failed.code(), Code::kIoError);
  EXPECT_EQ(m.acknowledged, 0);
  EXPECT_EQ(m.append(log).code(), Code::kIoError);
}

}  // namespace
}  // namespace broker::storage
