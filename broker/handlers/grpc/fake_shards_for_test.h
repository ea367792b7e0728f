#pragma once
// For the tests of flows: shards as plain lists of batches, whose answers the test can withhold or
// turn into errors, and a hand-driven executor and clock.
#include <deque>
#include <map>
#include <set>

#include "broker/handlers/grpc/handlers.h"
#include "broker/model/records.h"

namespace broker::handlers::grpc {

class ManualExecutor : public env::Executor, public env::Clock {
 public:
  void post(env::Task task) override { tasks_.push_back(std::move(task)); }
  env::TimerId schedule_after(int64_t delay_ms, env::Task task) override {
    timers_[{now_ms_ + delay_ms, ++last_timer_}] = std::move(task);
    return last_timer_;
  }
  void cancel(env::TimerId timer) override {
    std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
  }
  int64_t mono_ms() const override { return now_ms_; }
  int64_t mono_us() const override { return now_ms_ * 1000; }
  int64_t wall_ms() const override { return 1'700'000'000'000 + now_ms_; }

  void settle() {
    while (!tasks_.empty()) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  void advance(int64_t ms) {
    const int64_t end_ms = now_ms_ + ms;
    settle();
    while (!timers_.empty() && timers_.begin()->first.first <= end_ms) {
      auto node = timers_.extract(timers_.begin());
      now_ms_ = node.key().first;
      node.mapped()();
      settle();
    }
    now_ms_ = end_ms;
  }

 private:
  int64_t now_ms_ = 1000;
  env::TimerId last_timer_ = 0;
  std::deque<env::Task> tasks_;
  std::map<std::pair<int64_t, env::TimerId>, env::Task> timers_;
};

class FakeShards : public Shards {
 public:
  struct Log {
    std::vector<Batch> batches;
    Offset start{0}, end{0};
    Status append_error;
  };
  struct Append {
    int32_t shard;
    Buffer batch;
    partition::AppendDone done;
  };
  std::map<int32_t, Log> logs;
  bool withhold = false;
  std::deque<Append> withheld;
  int appends = 0;

  void append(const ShardId& shard, Buffer batch, partition::Acks, int64_t,
              partition::AppendDone done) override {
    ++appends;
    withheld.push_back({shard.index, std::move(batch), std::move(done)});
    if (!withhold) answer_next();
  }
  // Stores and acknowledges the oldest append, or refuses it with the shard's error.
  void answer_next() {
    Append next = std::move(withheld.front());
    withheld.pop_front();
    Log& log = logs[next.shard];
    if (!log.append_error.ok()) return next.done(log.append_error);
    next.done(partition::Appended{store(next.shard, next.batch), log.start});
  }
  // Stores the oldest append and loses the answer.
  void answer_next_with(const Status& status, bool stored) {
    Append next = std::move(withheld.front());
    withheld.pop_front();
    if (stored) store(next.shard, next.batch);
    next.done(status);
  }
  Offset store(int32_t shard, const Buffer& bytes) {
    Log& log = logs[shard];
    Batch batch{*parse_batch_header(bytes.view()), Buffer::copy_of(bytes.view())};
    if (batch.header.idempotent()) {
      auto key = std::tuple(shard, batch.header.producer_id, batch.header.base_sequence);
      if (auto it = sequences_.find(key); it != sequences_.end()) return it->second;
      sequences_[key] = log.end;
    }
    patch_batch(const_cast<char*>(batch.bytes.data()), log.end, Term{1});
    batch.header.base_offset = log.end;
    Offset base = log.end;
    log.end = batch.header.end_offset();
    log.batches.push_back(std::move(batch));
    return base;
  }
  void put(int32_t shard, const std::string& key, const std::string& value) {
    RecordBatchBuilder builder;
    builder.add(1, key, value);
    store(shard, Buffer::from_string(*builder.build()));
    wake(shard);
  }
  void seal(int32_t shard) {
    store(shard, Buffer::from_string(build_seal_batch("", 1)));
    wake(shard);
  }

  void read(const ShardId& shard, Offset from, size_t bytes_max, int64_t,
            std::function<void(Result<partition::Fetched>)> done) override {
    Log& log = logs[shard.index];
    if (from < log.start || from > log.end) return done(Status(Code::kOutOfRange, "outside"));
    partition::Fetched fetched;
    fetched.high_watermark = log.end;
    fetched.log_start = log.start;
    for (const Batch& batch : log.batches) {
      if (batch.header.end_offset() <= from || fetched.bytes >= bytes_max) continue;
      fetched.bytes += batch.bytes.size();
      fetched.batches.push_back(batch);
    }
    if (fetched.batches.empty()) {
      waiting_[shard.index].push_back([this, shard, from, bytes_max, done] {
        read(shard, from, bytes_max, 0, done);
      });
      return;
    }
    done(std::move(fetched));
  }
  void offsets(const ShardId& shard,
               std::function<void(Result<routing::ShardOffsets>)> done) override {
    done(routing::ShardOffsets{logs[shard.index].start, logs[shard.index].end});
  }
  void offset_at(const ShardId& shard, int64_t, std::function<void(Result<Offset>)> done) override {
    done(logs[shard.index].end);
  }
  // What is stored, as "key=value" in order.
  std::vector<std::string> stored(int32_t shard) {
    std::vector<std::string> out;
    for (const Batch& batch : logs[shard].batches) {
      auto it = RecordIterator::open(batch.bytes.view(), 1 << 20);
      Record record;
      while (it.ok() && it->next(record)) {
        out.push_back(std::string(record.key.value_or("")) + "=" +
                      std::string(record.value.value_or("")));
      }
    }
    return out;
  }

 private:
  void wake(int32_t shard) {
    auto waiting = std::move(waiting_[shard]);
    waiting_[shard].clear();
    for (auto& again : waiting) again();
  }
  std::map<int32_t, std::vector<std::function<void()>>> waiting_;
  std::map<std::tuple<int32_t, int64_t, int32_t>, Offset> sequences_;
};

class CountingRandom : public env::Random {
 public:
  uint64_t next() override { return next_ += 4; }

 private:
  uint64_t next_ = 0;
};

// Handlers over fake shards, and metadata that a test changes.
struct FlowWorld {
  ManualExecutor executor;
  cluster::Metadata metadata;
  FakeShards shards;
  Metrics metrics;
  CountingRandom random;
  Handlers handlers{BrokerId{1},
                    {executor, executor, metadata, shards, metrics,
                     [](const v1::AdminRequest&, int64_t, cluster::Session::AdminDone done) {
                       done(Status(Code::kUnavailable, "no coordinator"));
                     },
                     random}};
  v1::ShardMap map;

  explicit FlowWorld(v1::StreamMode mode, int partitions = 1) {
    map.set_stream("s");
    map.set_stream_id("00000000-0000-4000-8000-000000000001");
    map.mutable_config()->set_mode(mode);
    map.mutable_config()->set_record_bytes_max(1000);
    for (int i = 0; i < partitions; ++i) {
      if (mode == v1::STREAM_MODE_PARTITIONED) add_shard(coordination::KeyRange{});
    }
    if (mode == v1::STREAM_MODE_ELASTIC) add_shard(coordination::KeyRange{});
    push();
  }
  v1::Shard& add_shard(coordination::KeyRange range, std::vector<int32_t> parents = {}) {
    auto* shard = map.add_shards();
    shard->set_index(map.shards_size() - 1);
    shard->set_state(v1::SHARD_STATE_OPEN);
    *shard->mutable_hash_range() = coordination::format_range(range);
    for (int32_t parent : parents) {
      shard->add_parents(parent);
      map.mutable_shards(parent)->add_children(shard->index());
      map.mutable_shards(parent)->set_state(v1::SHARD_STATE_CLOSED);
    }
    return *shard;
  }
  // Splits in two equal halves; the parent's log is sealed where it ends.
  void split(int32_t parent) {
    shards.seal(parent);
    map.mutable_shards(parent)->set_end_offset(shards.logs[parent].end.value);
    auto range = *coordination::parse_range(map.shards(parent).hash_range());
    auto halves = *coordination::split_equally(range, 2);
    add_shard(halves[0], {parent});
    add_shard(halves[1], {parent});
    push();
  }
  void push() {
    map.set_generation(map.generation() + 1);
    v1::MetadataUpdate update;
    *update.add_streams() = map;
    metadata.apply(update);
  }
};

}  // namespace broker::handlers::grpc
