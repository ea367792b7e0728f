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
    env::ThreadIoQueue wal_io(executor, "wal"), wal_io_2(executor, "wal-2");
    env::ThreadIoQueue background_io(executor, "background");
    StoreOptions options;
    options.dir = dir + "/data";
    auto store = *Store::open(
        {clock, fs, wal_io, background_io, random, metrics, {}, &executor, &wal_io_2}, options);
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

// As a Kafka client does: so many batches on their way at any time, over 12 shards. The last argument
// is whether groups of writes may overlap.
void keep_in_flight(benchmark::State& state) {
  const auto window = state.range(0);
  const std::string value(static_cast<size_t>(state.range(1)), 'x');
  std::string dir = std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX";
  if (!::mkdtemp(dir.data())) return state.SkipWithError("no temporary folder");
  {
    env::PosixClock clock;
    env::PosixFileSystem fs;
    env::SystemRandom random;
    Metrics metrics;
    env::AsioExecutor executor;
    auto keep_running = boost::asio::make_work_guard(executor.context());
    env::ThreadIoQueue wal_io(executor, "wal"), wal_io_2(executor, "wal-2");
    env::ThreadIoQueue background_io(executor, "background");
    StoreOptions options;
    options.dir = dir + "/data";
    auto store = *Store::open({clock, fs, wal_io, background_io, random, metrics, {}, &executor,
                               state.range(2) ? &wal_io_2 : nullptr},
                              options);
    std::vector<ShardLog*> logs;
    for (int s = 0; s < 12; s++) logs.push_back(*store->create(shard_id(s), {}, {}));
    const std::string pattern(make_batch(Offset{0}, Term{1}, 1, value).bytes.view());
    int64_t in_flight = 0, sent = 0;
    for (auto _ : state) {
      ShardLog* log = logs[static_cast<size_t>(sent++ % 12)];
      Buffer bytes = Buffer::copy_of(pattern);  // as if it had come by a socket
      patch_batch(const_cast<char*>(bytes.data()), log->log_end(), Term{1});
      BatchHeader header = *parse_batch_header(bytes.view());
      Status status = log->append({{header, std::move(bytes)}}, [&](Status) { in_flight--; });
      if (!status.ok()) return state.SkipWithError(status.to_string().c_str());
      in_flight++;
      executor.context().poll();
      while (in_flight >= window) executor.context().run_one();
      if (sent % 256 == 0) {
        for (ShardLog* each : logs) {
          Retention keep{-1, (256 << 20) / 12};
          store->apply_retention(each->id(), keep, each->durable_end()).status().ignore_error("full");
        }
      }
    }
    while (in_flight > 0) executor.context().run_one();
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(value.size()));
  }
  std::filesystem::remove_all(dir);
}
BENCHMARK(keep_in_flight)
    ->ArgNames({"window", "bytes", "overlap"})
    ->Args({5, 1 << 20, 0})->Args({5, 1 << 20, 1})->Args({20, 256 << 10, 0})->Args({20, 256 << 10, 1})
    ->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace broker::storage

int main(int argc, char** argv) {
  broker::configure_log("error", "text");
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
