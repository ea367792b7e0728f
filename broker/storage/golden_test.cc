// A directory that an earlier program has written is opened and read: tests/golden/storage/vN holds one
// for every version of the format. A failure means that old directories are not read any more.
// SLUICE_GOLDEN_WRITE=DIR writes the present version's files instead.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "broker/storage/test_support.h"

namespace broker::storage {
namespace {

namespace fs = std::filesystem;

std::string value(int n) { return "value-" + std::to_string(n); }

void append(ShardLog& log, Batch batch) {
  ASSERT_TRUE(log.append({std::move(batch)}, {}).ok());
}

// Every type of frame but relocations, over a file's end; then the process dies.
void write_directory(Machine& m) {
  ShardLog& first = m.log(0);
  append(first, make_batch(Offset{0}, Term{1}, 2, value(0), 1000));
  append(first, make_batch(Offset{2}, Term{1}, 1, value(1), 1001));
  append(first, make_batch(Offset{3}, Term{1}, 1, value(2), 1002));
  ASSERT_TRUE(first.truncate(Offset{3}, {}).ok());
  ASSERT_TRUE(first.set_state({Term{2}, Term{1}}, {}).ok());
  append(first, make_batch(Offset{3}, Term{2}, 1, value(3), 1003));
  ASSERT_TRUE(first.save_snapshot(Offset{4}, "producers", {}).ok());
  ASSERT_TRUE(first.set_log_start(Offset{2}, {}).ok());
  ShardLog& second = m.log(1);
  append(second, make_batch(Offset{0}, Term{1}, 1, value(4), 1004));
  ASSERT_TRUE(second.reset(Offset{100}, {}).ok());
  append(second, make_batch(Offset{100}, Term{3}, 5, value(5), 1005));
  m.log(2);
  ASSERT_TRUE(m.store->remove(shard_id(2), {}).ok());
  for (int i = 0; i < 20; i++) {  // beyond the first log file
    append(second, make_batch(second.log_end(), Term{3}, 1, std::string(1000, 'x'), 2000 + i));
  }
  m.settle();
}

void check_directory(Machine& m) {
  ASSERT_TRUE(m.start().ok());
  EXPECT_EQ(m.store->shard_count(), 2u);
  ShardLog* first = m.store->find(shard_id(0));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->log_start(), Offset{2});
  EXPECT_EQ(first->log_end(), Offset{4});
  EXPECT_EQ(first->state(), (ReplicaState{Term{2}, Term{1}}));
  EXPECT_EQ(first->terms(), (std::vector<TermStart>{{Term{1}, Offset{0}}, {Term{2}, Offset{3}}}));
  ASSERT_TRUE(first->snapshot());
  EXPECT_EQ(*first->snapshot(), (Snapshot{Offset{4}, "producers"}));
  auto batches = first->read(Offset{2}, 1 << 20, first->log_end());
  ASSERT_TRUE(batches.ok()) << batches.status().to_string();
  ASSERT_EQ(batches->size(), 2u);
  EXPECT_TRUE((*batches)[0].bytes.view().ends_with(value(1)));
  EXPECT_TRUE((*batches)[1].bytes.view().ends_with(value(3)));
  ShardLog* second = m.store->find(shard_id(1));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->log_start(), Offset{100});
  EXPECT_EQ(second->log_end(), Offset{125});
  size_t found = 0;  // a read ends before what is not in memory
  for (Offset at{100}; at < second->log_end();) {
    auto some = second->read(at, 1 << 20, second->log_end());
    ASSERT_TRUE(some.ok()) << some.status().to_string();
    ASSERT_FALSE(some->empty());
    found += some->size();
    at = some->back().header.end_offset();
  }
  EXPECT_EQ(found, 21u);
  EXPECT_TRUE(first->quarantined().ok() && second->quarantined().ok());
}

TEST(Golden, DirectoriesOfEveryVersionAreRead) {
  if (const char* folder = std::getenv("SLUICE_GOLDEN_WRITE")) {
    Machine m;
    ASSERT_TRUE(m.start().ok());
    write_directory(m);
    for (const std::string& path : m.disk.files("/data/")) {
      fs::path to = folder + path.substr(5);
      fs::create_directories(to.parent_path());
      std::ofstream(to, std::ios::binary) << m.disk.content(path);
    }
    GTEST_SKIP() << "written to " << folder;
  }
  size_t versions = 0;
  for (const auto& version : fs::directory_iterator(SLUICE_GOLDEN_DIR)) {
    SCOPED_TRACE(version.path().string());
    Machine m;
    for (const auto& entry : fs::recursive_directory_iterator(version)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      std::string bytes((std::istreambuf_iterator<char>(file)), {});
      m.disk.set_content("/data/" + fs::relative(entry.path(), version.path()).string(), bytes);
    }
    check_directory(m);
    versions++;
  }
  EXPECT_EQ(versions, 1u);
}

}  // namespace
}  // namespace broker::storage
