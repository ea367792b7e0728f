// Throughput of append + fdatasync on real files: shards in flight x bytes per append. Not a test;
// run it on the disk in question: broker_storage_bench --benchmark_filter=. (TMPDIR chooses it).
#include <benchmark/benchmark.h>

#include <boost/asio/executor_work_guard.hpp>
#include <cstdlib>
#include <filesystem>

#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"
#include "broker/storage/test_support.h"

namespace broker::storage {
namespace {

void append_and_sync(benchmark::State& state) {
  auto shards = static_cast<int>(state.range(0));
  std::string value(static_cast<size_t>(state.range(1)), 'x');
  std::string dir = std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX";
  if (!::mkdtemp(dir.data())) return state.SkipWithError("no temporary folder");
  {
    env::PosixClock clock;
    env::PosixFileSystem fs;
    env::SystemRandom random;
    Metrics metrics;
    env::AsioExecutor executor;
    auto keep_running = boost::asio::make_work_guard(executor.context());
    env::ThreadIoQueue wal_io(executor, "wal"), background_io(executor, "background");
    StoreOptions options;
    options.dir = dir + "/data";
    auto store = *Store::open(
        {clock, fs, wal_io, background_io, random, metrics, {}, &executor}, options);
    std::vector<ShardLog*> logs;
    for (int s = 0; s < shards; s++) logs.push_back(*store->create(shard_id(s), {}, {}));
    for (auto _ : state) {
      int left = shards;
      for (ShardLog* log : logs) {
        Status status = log->append({make_batch(log->log_end(), Term{1}, 1, value)},
                                    [&left](Status) { left--; });
        if (!status.ok()) return state.SkipWithError(status.to_string().c_str());
      }
      while (left > 0) executor.context().run_one();
      if (logs[0]->log_end().value % 64 == 0) {
        for (ShardLog* log : logs) {
          Retention keep{-1, (256 << 20) / shards};
          store->apply_retention(log->id(), keep, log->durable_end()).status().ignore_error("full");
        }
      }
    }
    state.SetItemsProcessed(state.iterations() * shards);
    state.SetBytesProcessed(state.iterations() * shards * static_cast<int64_t>(value.size()));
  }
  std::filesystem::remove_all(dir);
}
BENCHMARK(append_and_sync)
    ->Args({1, 1 << 10})->Args({1, 16 << 10})->Args({12, 16 << 10})->Args({12, 256 << 10})
    ->Args({100, 1 << 10})->Args({1000, 1 << 10})
    ->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace broker::storage

int main(int argc, char** argv) {
  broker::configure_log("error", "text");
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
