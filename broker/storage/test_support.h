#pragma once
// For storage's tests: a simulated machine with a store on it, and batches to put in.
#include <gtest/gtest.h>

#include "broker/base/crc32c.h"
#include "broker/base/log.h"
#include "broker/storage/log_files.h"
#include "broker/storage/store.h"
#include "tests/support/sim_disk.h"

namespace broker::storage {

// A batch of `records` (each with `value` in its one blob of bytes; nobody decodes it here).
inline Batch make_batch(Offset base, Term term, int32_t records, std::string_view value,
                        int64_t timestamp_ms = 1000) {
  std::string b;
  ByteWriter w(b);
  w.i64(base.value);
  w.i32(static_cast<int32_t>(kBatchHeaderSize - kBatchLengthPrefix + value.size()));
  w.i32(term.value);
  w.i8(2);
  w.u32(0);
  w.i16(0);
  w.i32(records - 1);
  w.i64(timestamp_ms);
  w.i64(timestamp_ms);
  w.i64(-1);
  w.i16(-1);
  w.i32(-1);
  w.i32(records);
  w.bytes(value);
  store_be(b.data() + 17, crc32c(std::string_view(b).substr(21)));
  Buffer bytes = Buffer::from_string(std::move(b));
  BatchHeader header = *parse_batch_header(bytes.view());
  return {header, std::move(bytes)};
}

inline ShardId shard_id(int n) {
  ShardId id;
  id.stream.bytes[15] = 7;
  id.index = n;
  return id;
}

// A node that can crash and come back on the same disk.
class Machine {
 public:
  explicit Machine(uint64_t seed = 1, StoreOptions wanted = small_options())
      : world(seed), disk(world.random()), clock(world), options(std::move(wanted)) {}

  static StoreOptions small_options() {
    StoreOptions o;
    o.dir = "/data";
    o.broker = BrokerId{3};
    o.log_file_bytes = 16 << 10;
    o.tail_cache_bytes = 8 << 10;
    o.frame_bytes_max = 2 << 10;
    o.free_bytes_min = 0;
    return o;
  }

  Status start() {
    store.reset();
    wal_io.reset();
    background_io.reset();
    read_io.reset();
    executor = std::make_unique<sim::SimExecutor>(world);
    wal_io = std::make_unique<sim::SimIoQueue>(*executor, 50, 500);
    background_io = std::make_unique<sim::SimIoQueue>(*executor, 50, 3000);
    read_io = std::make_unique<sim::SimIoQueue>(*executor, 50, 3000);
    failed = {};
    Env env{clock, disk, *wal_io, *background_io, world.random(), metrics,
            [this](const Status& why) { failed = why; },
            join_turns ? executor.get() : nullptr, nullptr, read_io.get()};
    auto opened = Store::open(env, options);
    if (!opened.ok()) return opened.status();
    store = std::move(*opened);
    return {};
  }
  // The process dies with its queues; then the power goes, or not.
  void stop(bool power_loss = true, bool lose_all = false) {
    executor->kill();
    store.reset();
    if (power_loss) {
      disk.crash(lose_all);
    } else {
      disk.kill_process();
    }
  }
  void settle() { world.run_for_us(60'000'000); }
  ShardLog& log(int n = 0) {
    ShardLog* found = store->find(shard_id(n));
    if (found) return *found;
    return **store->create(shard_id(n), {}, {});
  }
  // Appends one batch; its status is counted in `acknowledged`.
  Status append(ShardLog& to, int32_t records = 1, std::string_view value = "value",
                int64_t timestamp_ms = 1000) {
    Term term = std::max(to.last_term(), Term{1});
    return to.append({make_batch(to.log_end(), term, records, value, timestamp_ms)},
                     [this](Status s) { acknowledged += s.ok(); });
  }

  sim::SimWorld world;
  sim::SimDisk disk;
  sim::SimClock clock;
  Metrics metrics;
  StoreOptions options;
  std::unique_ptr<sim::SimExecutor> executor;
  std::unique_ptr<sim::SimIoQueue> wal_io, background_io, read_io;
  std::unique_ptr<Store> store;
  Status failed;
  int acknowledged = 0;
  bool join_turns = false;  // Env::executor is set
};

// The whole log as one string of bytes.
inline std::string read_all(ShardLog& log) {
  std::string out;
  Offset at = log.log_start();
  while (at < log.log_end()) {
    auto batches = log.read(at, 3000, log.log_end());
    if (!batches.ok() || batches->empty()) return "read at " + std::to_string(at.value) + ": " +
                                                  batches.status().to_string();
    for (const Batch& b : *batches) {
      out += b.bytes.view();
      at = b.header.end_offset();
    }
  }
  return out;
}

}  // namespace broker::storage
