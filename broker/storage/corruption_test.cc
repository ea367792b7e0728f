// Damaged bytes, one kind of file after the other: nothing wrong is ever returned, a torn tail is
// cut, what was acknowledged is refused or quarantined and never silently dropped.
#include "broker/storage/format/frame.h"
#include "broker/storage/test_support.h"

namespace broker::storage {
namespace {

// Two shards over several sealed log files and a live one; stopped without a clean shutdown.
class Corruption : public ::testing::Test {
 protected:
  void SetUp() override {
    m.options.compact_below_percent = 0;
    ASSERT_TRUE(m.start().ok());
    for (int i = 0; i < 100; i++) {
      for (int s = 0; s < 2; s++) ASSERT_TRUE(m.append(m.log(s), 1, std::string(250, 'a')).ok());
      m.world.run_for_us(1500);
    }
    m.settle();
    for (int s = 0; s < 2; s++) good[s] = read_all(m.log(s));
    m.stop();
    for (const std::string& path : m.disk.files("/data/log/")) {
      if (path.ends_with(".log")) logs.push_back(path);
    }
    ASSERT_GE(logs.size(), 3u);
  }
  // Every shard reads as before, or says that it cannot.
  void expect_truth() {
    for (int s = 0; s < 2; s++) {
      ShardLog* log = m.store->find(shard_id(s));
      ASSERT_NE(log, nullptr);
      auto batches = log->read(log->log_start(), 1 << 20, log->log_end());
      if (batches.ok() && log->log_end() == Offset{100}) {
        std::string all = read_all(*log);
        bool refused = all.find("CORRUPTION") != std::string::npos;
        EXPECT_TRUE(refused || all == good[s]);
      } else {
        EXPECT_EQ(batches.code(), Code::kCorruption);
      }
    }
  }
  std::string index_of(const std::string& log) { return log.substr(0, log.size() - 4) + ".idx"; }

  Machine m;
  std::string good[2];
  std::vector<std::string> logs;
};

TEST_F(Corruption, SealedDataIsRefusedWhenRead) {
  m.disk.flip_bit(logs[0], 1000, 3);
  ASSERT_TRUE(m.start().ok());
  int refused = 0;
  for (int s = 0; s < 2; s++) refused += read_all(m.log(s)).find("CORRUPTION") != std::string::npos;
  EXPECT_EQ(refused, 1);
  expect_truth();
}

TEST_F(Corruption, IndexIsRebuiltFromItsLogFile) {
  for (uint64_t position : {0, 5, 40, 100}) m.disk.flip_bit(index_of(logs[0]), position, 1);
  ASSERT_TRUE(m.disk.remove(index_of(logs[1])).ok());
  ASSERT_TRUE(m.start().ok());
  for (int s = 0; s < 2; s++) EXPECT_EQ(read_all(m.log(s)), good[s]);
}

TEST_F(Corruption, LostSealedFileQuarantinesItsShards) {
  ASSERT_TRUE(m.disk.remove(logs[0]).ok());
  ASSERT_TRUE(m.start().ok());
  for (int s = 0; s < 2; s++) EXPECT_EQ(m.log(s).quarantined().code(), Code::kCorruption);
  EXPECT_EQ(m.append(m.log(0)).code(), Code::kCorruption);
  m.stop();  // it is remembered, and ends with a reset
  ASSERT_TRUE(m.start().ok());
  EXPECT_FALSE(m.log(0).quarantined().ok());
  ASSERT_TRUE(m.log(0).reset(Offset{500}, {}).ok());
  EXPECT_TRUE(m.append(m.log(0)).ok());
  m.settle();
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_TRUE(m.log(0).quarantined().ok());
  EXPECT_EQ(m.log(0).log_end(), Offset{501});
  EXPECT_FALSE(m.log(1).quarantined().ok());
}

TEST_F(Corruption, LiveBodyQuarantinesOneShard) {
  // The body of the first frame of the live file; later frames prove that it was durable.
  m.disk.flip_bit(logs.back(), kFileHeaderSize + kFrameHeaderSize + 70, 2);
  ASSERT_TRUE(m.start().ok());
  EXPECT_NE(m.log(0).quarantined().ok(), m.log(1).quarantined().ok());
  expect_truth();
}

TEST_F(Corruption, LiveFrameHeaderRefusesToOpen) {
  m.disk.flip_bit(logs.back(), kFileHeaderSize + 20, 2);
  Status status = m.start();
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_NE(status.message().find("byte 64"), std::string::npos) << status.to_string();
}

TEST_F(Corruption, LiveFileHeaderRefusesToOpen) {
  m.disk.flip_bit(logs.back(), 20, 2);
  EXPECT_EQ(m.start().code(), Code::kCorruption);
}

TEST_F(Corruption, CheckpointAndMetaRefuseToOpen) {
  m.disk.flip_bit("/data/checkpoint", 30, 0);
  EXPECT_EQ(m.start().code(), Code::kCorruption);
  m.disk.flip_bit("/data/checkpoint", 30, 0);
  m.disk.flip_bit("/data/meta", 14, 0);
  EXPECT_EQ(m.start().code(), Code::kCorruption);
  m.disk.flip_bit("/data/meta", 14, 0);
  ASSERT_TRUE(m.disk.remove("/data/meta").ok());
  EXPECT_EQ(m.start().code(), Code::kCorruption);
}

TEST_F(Corruption, NoBitOfAnyFileIsBelievedWrongly) {
  std::vector<std::pair<std::string, std::string>> image;
  for (const std::string& path : m.disk.files("/data/")) image.emplace_back(path, m.disk.content(path));
  sim::SimRandom random(5);
  for (int round = 0; round < 400; round++) {
    for (const std::string& path : m.disk.files("/data/")) ASSERT_TRUE(m.disk.remove(path).ok());
    for (const auto& [path, bytes] : image) m.disk.set_content(path, bytes);
    const auto& [path, bytes] = image[random.below(image.size())];
    if (bytes.empty()) continue;
    m.disk.flip_bit(path, random.below(bytes.size()), static_cast<int>(random.below(8)));
    SCOPED_TRACE("round " + std::to_string(round) + " " + path);
    Status status = m.start();
    if (!status.ok()) {
      EXPECT_TRUE(status.code() == Code::kCorruption || status.code() == Code::kConflict ||
                  status.code() == Code::kUnsupported)
          << status.to_string();
      continue;
    }
    for (int s = 0; s < 2; s++) {
      ShardLog& log = m.log(s);
      if (!log.quarantined().ok()) continue;
      std::string all = read_all(log);
      if (all.find("CORRUPTION") != std::string::npos) continue;
      // The last group alone cannot be told from a torn tail.
      EXPECT_TRUE(good[s].starts_with(all)) << log.log_end();
      EXPECT_GE(log.log_end(), Offset{99});
    }
  }
}

// Found by tests/integration/faults: the index said what the file no longer had, and a broker led a
// shard until somebody read that far.
TEST_F(Corruption, ASealedFileThatIsCutOffQuarantinesItsShardsAtTheStart) {
  m.disk.set_content(logs[0], m.disk.content(logs[0]).substr(0, 8000));
  ASSERT_TRUE(m.start().ok());
  for (int s = 0; s < 2; s++) EXPECT_EQ(m.log(s).quarantined().code(), Code::kCorruption);
}

TEST(Recycled, OldBytesOfAFileAreNotBelieved) {
  Machine m;
  ASSERT_TRUE(m.start().ok());
  for (int i = 0; i < 400; i++) {
    ASSERT_TRUE(m.append(m.log(0), 1, std::string(300, static_cast<char>('a' + i % 26))).ok());
    m.settle();
    if (i % 20 == 0) ASSERT_TRUE(m.store->apply_retention(shard_id(0), {-1, 10000}, Offset{i}).ok());
  }
  int recycled = 0;
  for (const std::string& path : m.disk.files("/data/log/")) recycled += path.ends_with(".log");
  EXPECT_LT(recycled, 6);
  std::string all = read_all(m.log(0));
  m.stop();
  ASSERT_TRUE(m.start().ok());
  EXPECT_EQ(m.log(0).log_end(), Offset{400});
  EXPECT_EQ(read_all(m.log(0)), all);
}

}  // namespace
}  // namespace broker::storage
