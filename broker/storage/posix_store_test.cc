// The store on real files, with real threads: many shards, rolls, restarts.
#include <cstdlib>
#include <filesystem>

#include <boost/asio/executor_work_guard.hpp>

#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"
#include "broker/storage/test_support.h"

namespace broker::storage {
namespace {

TEST(PosixStore, ManyShardsSurviveARestart) {
  std::string dir = std::filesystem::temp_directory_path() / "sluice-store-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  env::PosixClock clock;
  env::PosixFileSystem fs;
  env::SystemRandom random;
  Metrics metrics;
  StoreOptions options;
  options.dir = dir + "/data";
  options.broker = BrokerId{1};
  options.log_file_bytes = 1 << 20;
  options.free_bytes_min = 0;
  std::vector<std::string> before;
  for (int life = 0; life < 3; life++) {
    env::AsioExecutor executor;
    auto keep_running = boost::asio::make_work_guard(executor.context());
    env::ThreadIoQueue wal_io(executor, "wal"), wal_io_2(executor, "wal-2");
    env::ThreadIoQueue background_io(executor, "background");
    auto opened = Store::open({clock, fs, wal_io, background_io, random, metrics, {}, &executor, &wal_io_2},
                              options);
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    Store& store = **opened;
    EXPECT_TRUE(store.clean_shutdown());
    int left = 0;
    auto run = [&] {
      while (left > 0) executor.context().run_one();
    };
    auto done = [&](Status s) {
      EXPECT_TRUE(s.ok());
      left--;
    };
    for (int s = 0; s < 500; s++) {
      if (life > 0) {
        ASSERT_NE(store.find(shard_id(s)), nullptr);
        ASSERT_EQ(read_all(*store.find(shard_id(s))), before[static_cast<size_t>(s)]);
        continue;
      }
      left++;
      ASSERT_TRUE(store.create(shard_id(s), {}, done).ok());
    }
    for (int i = 0; i < 10; i++) {
      for (int s = 0; s < 500; s++) {
        ShardLog& log = *store.find(shard_id(s));
        left++;
        ASSERT_TRUE(log.append({make_batch(log.log_end(), Term{1}, 1, std::string(300, 'x'))}, done).ok());
      }
      run();
    }
    before.clear();
    store.for_each([&](ShardLog& log) { before.push_back(read_all(log)); });
    left = 1;
    store.close(done);
    run();
  }
  std::filesystem::remove_all(dir);
}

// Large appends one after the other: a group is written while the one before is being synced, by
// another thread. Dones come in order, and all of it is there in the next life.
TEST(PosixStore, GroupsThatOverlapAreDurableInOrder) {
  std::string dir = std::filesystem::temp_directory_path() / "sluice-store-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  env::PosixClock clock;
  env::PosixFileSystem fs;
  env::SystemRandom random;
  Metrics metrics;
  StoreOptions options;
  options.dir = dir + "/data";
  options.broker = BrokerId{1};
  options.log_file_bytes = 8 << 20;
  options.job_bytes_max = 1 << 20;
  options.free_bytes_min = 0;
  constexpr int kAppends = 120;
  std::string before;
  for (int life = 0; life < 2; life++) {
    env::AsioExecutor executor;
    auto keep_running = boost::asio::make_work_guard(executor.context());
    env::ThreadIoQueue wal_io(executor, "wal"), wal_io_2(executor, "wal-2");
    env::ThreadIoQueue background_io(executor, "background");
    auto opened = Store::open({clock, fs, wal_io, background_io, random, metrics, {}, &executor,
                               &wal_io_2},
                              options);
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    Store& store = **opened;
    if (life == 1) {
      EXPECT_EQ(read_all(*store.find(shard_id(0))), before);
      break;
    }
    ShardLog& log = **store.create(shard_id(0), {}, {});
    std::vector<int> order;
    for (int i = 0; i < kAppends; i++) {
      std::string value(300'000, static_cast<char>('a' + i % 26));
      Batch batch = make_batch(log.log_end(), Term{1}, 1, value);
      ASSERT_TRUE(log.append({batch}, [&order, i](Status s) {
        EXPECT_TRUE(s.ok());
        order.push_back(i);
      }).ok());
      executor.context().poll();
    }
    while (order.size() < kAppends) executor.context().run_one();
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_EQ(log.durable_end(), log.log_end());
    before = read_all(log);
    // No close(): what is acknowledged is there without it.
  }
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace broker::storage
