// Random operations, a power loss at every change that reaches the disk, recovery, and a comparison
// with a model: what was acknowledged is there, the store is at some state between the last
// acknowledged operation and the last one called, nothing else was ever seen. Seeds are printed.
#include <cstdlib>
#include <map>

#include "broker/storage/test_support.h"

namespace broker::storage {
namespace {

// What a shard must look like.
struct ModelShard {
  Offset start{0}, end{0};
  ReplicaState state;
  std::vector<Batch> batches;
  std::vector<Snapshot> snapshots;

  void cut(Offset new_end) {
    while (!batches.empty() && batches.back().header.base_offset >= new_end) batches.pop_back();
    while (!snapshots.empty() && snapshots.back().at > new_end) snapshots.pop_back();
    end = new_end;
  }
};
using Model = std::map<int, ModelShard>;

std::string describe(Offset start, Offset end, ReplicaState state, const std::string& bytes,
                     const std::optional<Snapshot>& snapshot) {
  return "[" + std::to_string(start.value) + "," + std::to_string(end.value) + ") term " +
         std::to_string(state.term.value) + "/" + std::to_string(state.adopted_term.value) + " crc " +
         std::to_string(crc32c(bytes)) + " size " + std::to_string(bytes.size()) + " snapshot " +
         (snapshot ? std::to_string(snapshot->at.value) + snapshot->blob : "none") + "; ";
}

std::string describe(const Model& model) {
  std::string out;
  for (const auto& [n, s] : model) {
    std::string bytes;
    for (const Batch& b : s.batches) {
      if (b.header.end_offset() > s.start) bytes += b.bytes.view();
    }
    out += std::to_string(n) + describe(s.start, s.end, s.state, bytes,
                                        s.snapshots.empty() ? std::nullopt
                                                            : std::optional(s.snapshots.back()));
  }
  return out;
}

std::string describe(Store& store) {
  std::string out;
  store.for_each([&](ShardLog& log) {
    EXPECT_TRUE(log.quarantined().ok()) << log.quarantined().to_string();
    out += std::to_string(log.id().index) +
           describe(log.log_start(), log.log_end(), log.state(), read_all(log), log.snapshot());
  });
  return out;
}

class Fuzz {
 public:
  explicit Fuzz(uint64_t seed) : m(seed, options(seed)), random_(seed * 31 + 7) {
    m.join_turns = seed % 2 == 0;
  }

  static StoreOptions options(uint64_t seed) {
    StoreOptions o = Machine::small_options();
    o.log_file_bytes = 4096 + 1024 * (seed % 5);
    o.frame_bytes_max = 600;
    o.job_bytes_max = 2048;
    o.tail_cache_bytes = seed % 3 == 0 ? 0 : 3000;
    o.index_cache_bytes = 500;
    o.open_files_max = 2;
    o.compact_below_percent = 40;
    return o;
  }

  // Calls `count` operations, or fewer where the machine stops.
  void run(int count) {
    for (int i = 0; i < count && !m.disk.stopped(); i++) {
      operate();
      if (random_.below(3) == 0) m.world.run_for_us(static_cast<int64_t>(random_.below(3000)));
      if (random_.below(20) == 0 && !m.disk.stopped()) {
        ASSERT_EQ(describe(*m.store), describe(model_));
      }
      if (HasFailure()) return;
    }
  }

  void restart(bool power_loss) {
    m.stop(power_loss, random_.below(4) == 0);
    m.disk.stop_at(0);
    Status started = m.start();
    ASSERT_TRUE(started.ok()) << started.to_string();
    std::string now = describe(*m.store);
    bool found = false;
    for (auto h = history_.rbegin(); h != history_.rend() && h->number >= acknowledged_; ++h) {
      if (describe(h->model) != now) continue;
      found = true;
      model_ = h->model;
      break;
    }
    ASSERT_TRUE(found) << "after recovery: " << now << "\nacknowledged: " << acknowledged_
                       << "\nlast called: " << describe(model_);
    history_ = {{called_, model_}};
    acknowledged_ = called_;
  }

  Machine m;

 private:
  struct Past {
    uint64_t number;
    Model model;
  };
  bool HasFailure() const { return ::testing::Test::HasFailure(); }

  ShardLog::Done expect_done() {
    uint64_t number = ++called_;
    return [this, number](Status) {
      EXPECT_EQ(number, acknowledged_ + 1);
      acknowledged_ = number;
    };
  }
  void record() {
    history_.push_back({called_, model_});
    while (history_.front().number + 1 < acknowledged_) history_.erase(history_.begin());
  }

  // A call that was refused is legal only once the machine has stopped.
  bool accepted(const Status& status) {
    if (status.ok()) return true;
    called_--;
    EXPECT_TRUE(m.disk.stopped()) << status.to_string();
    return false;
  }

  void operate() {
    int n = static_cast<int>(random_.below(3));
    if (!m.store->find(shard_id(n))) {
      if (accepted(m.store->create(shard_id(n), {Term{1}, Term{0}}, expect_done()).status())) {
        model_[n] = {};
        model_[n].state = {Term{1}, Term{0}};
        record();
      }
      return;
    }
    ShardLog& log = *m.store->find(shard_id(n));
    ModelShard& s = model_[n];
    switch (random_.below(24)) {
      case 0: return truncate(log, s);
      case 1: return set_log_start(log, s);
      case 2: return snapshot(log, s);
      case 3: return set_state(log, s);
      case 4: return random_.below(4) ? append(log, s) : reset(log, s);
      case 5: return random_.below(4) ? append(log, s) : remove(n);
      case 6: return retain(n, log, s);
      default: return append(log, s);
    }
  }

  void append(ShardLog& log, ModelShard& s) {
    std::vector<Batch> batches;
    Offset at = s.end;
    Term term{std::max(log.last_term().value, static_cast<int32_t>(called_ / 40))};
    for (uint64_t i = random_.below(4); i + 1 > 0; i--) {
      auto records = static_cast<int32_t>(1 + random_.below(4));
      std::string value(random_.below(300), static_cast<char>('a' + random_.below(26)));
      batches.push_back(make_batch(at, term, records, value, static_cast<int64_t>(called_)));
      at = batches.back().header.end_offset();
      if (i == 0) break;
    }
    if (!accepted(log.append(batches, expect_done()))) return;
    // An append may be split: after a crash, any prefix of it may be there.
    for (Batch& b : batches) {
      s.end = b.header.end_offset();
      s.batches.push_back(std::move(b));
      record();
    }
  }
  void truncate(ShardLog& log, ModelShard& s) {
    Offset to = s.end;
    for (uint64_t back = random_.below(6); back > 0; back--) {
      for (const Batch& b : s.batches) {
        if (b.header.end_offset() == to && b.header.base_offset >= s.start) {
          to = b.header.base_offset;
          break;
        }
      }
    }
    if (!accepted(log.truncate(to, expect_done()))) return;
    s.cut(to);
    record();
  }
  void set_log_start(ShardLog& log, ModelShard& s) {
    Offset to = s.start + static_cast<int64_t>(random_.below(static_cast<uint64_t>(s.end - s.start) + 1));
    if (!accepted(log.set_log_start(to, expect_done()))) return;
    s.start = to;
    record();
  }
  void retain(int n, ShardLog& log, ModelShard& s) {
    uint64_t before = called_;
    auto start = m.store->apply_retention(shard_id(n), {-1, 3000}, s.end, expect_done());
    if (!start.ok()) return void(accepted(start.status()));
    if (*start == s.start) called_ = before;  // nothing to do: no operation
    s.start = log.log_start();
    record();
  }
  void snapshot(ShardLog& log, ModelShard& s) {
    if (!accepted(log.save_snapshot(s.end, "blob" + std::to_string(called_), expect_done()))) return;
    std::erase_if(s.snapshots, [&](const Snapshot& x) { return x.at >= s.end; });
    s.snapshots.push_back(*log.snapshot());
    if (s.snapshots.size() > 2) s.snapshots.erase(s.snapshots.begin());
    record();
  }
  void set_state(ShardLog& log, ModelShard& s) {
    ReplicaState state{Term{s.state.term.value + 1}, s.state.term};
    if (!accepted(log.set_state(state, expect_done()))) return;
    s.state = state;
    record();
  }
  void reset(ShardLog& log, ModelShard& s) {
    Offset to{static_cast<int64_t>(random_.below(200))};
    if (!accepted(log.reset(to, expect_done()))) return;
    ReplicaState state = s.state;
    s = {};
    s.state = state;
    s.start = s.end = to;
    record();
  }
  void remove(int n) {
    if (!accepted(m.store->remove(shard_id(n), expect_done()))) return;
    model_.erase(n);
    record();
  }

  sim::SimRandom random_;
  Model model_;
  std::vector<Past> history_{{0, {}}};
  uint64_t called_ = 0, acknowledged_ = 0;
};

// One life until the crash, recovery (perhaps crashed, too), a second life, and a last look.
void live_and_crash(uint64_t seed, uint64_t crash_at, int operations) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", crash at change " + std::to_string(crash_at));
  Fuzz fuzz(seed);
  ASSERT_TRUE(fuzz.m.start().ok());
  fuzz.m.disk.stop_at(crash_at);
  fuzz.run(operations);
  if (::testing::Test::HasFailure()) return;
  // A crash in the middle of recovery, every third time.
  if (crash_at % 3 == 0) {
    fuzz.m.stop();
    fuzz.m.disk.stop_at(fuzz.m.disk.changes() + 1 + crash_at % 17);
    (void)fuzz.m.start().ok();
  }
  fuzz.restart(crash_at % 5 != 0);
  if (::testing::Test::HasFailure()) return;
  fuzz.run(40);
  fuzz.restart(true);
}

TEST(CrashFuzz, EveryChangeOfOneRun) {
  Fuzz counted(11);
  ASSERT_TRUE(counted.m.start().ok());
  uint64_t first = counted.m.disk.changes();
  counted.run(250);
  uint64_t last = counted.m.disk.changes();
  ASSERT_GT(last, first + 200);
  for (uint64_t at = first + 1; at <= last && !HasFailure(); at++) live_and_crash(11, at, 250);
}

TEST(CrashFuzz, ManySeeds) {
  const char* wanted = std::getenv("SLUICE_STORAGE_SEEDS");  // "FROM COUNT"
  uint64_t from = 1, count = 60;
  if (wanted) {
    char* rest = nullptr;
    from = std::strtoull(wanted, &rest, 10);
    count = std::strtoull(rest, nullptr, 10);
  }
  for (uint64_t seed = from; seed < from + count && !HasFailure(); seed++) {
    sim::SimRandom random(seed);
    for (int i = 0; i < 8 && !HasFailure(); i++) live_and_crash(seed, 4 + random.below(600), 300);
  }
}

}  // namespace
}  // namespace broker::storage
