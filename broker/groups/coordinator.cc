#include "broker/groups/coordinator.h"

#include <algorithm>
#include <limits>

#include "broker/base/log.h"
#include "broker/model/records.h"

namespace broker::groups {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kReplayedBytesMax = 64 << 20;  // of one batch; ours are not compressed
constexpr size_t kSnapshotBatchBytes = 512 << 10;
// A step is one batch, all or nothing; only deletions of very many offsets are longer than this.
constexpr size_t kStepBatchBytes = 8 << 20;
constexpr int64_t kRetryMs = 500;

}  // namespace

Coordinator::Coordinator(const Parts& parts, const Options& options, const Topics& topics,
                         ShardId id)
    : parts_(parts), options_(options), topics_(topics), id_(id) {}

Coordinator::~Coordinator() {
  *alive_ = false;
  if (timer_) parts_.executor.cancel(*timer_);
}

GroupError Coordinator::check() {
  partition::Partition* partition = parts_.find_partition(id_);
  if (!partition || !partition->is_leader()) {
    drop(GroupError::kNotCoordinator);
    return GroupError::kNotCoordinator;
  }
  if (machine_ && partition->term() != term_) drop(GroupError::kNotCoordinator);
  if (!machine_) {
    if (parts_.clock.mono_ms() < retry_at_ms_) return GroupError::kCoordinatorLoadInProgress;
    start_loading(*partition);
  }
  return loading_ ? GroupError::kCoordinatorLoadInProgress : GroupError::kNone;
}

// --- Loading -------------------------------------------------------------------------------------

void Coordinator::start_loading(partition::Partition& partition) {
  auto new_id = [this] {
    uint64_t high = parts_.random.next();
    return Uuid::from_random(high, parts_.random.next());
  };
  machine_ = std::make_unique<Machine>(options_.settings, topics_, new_id);
  loading_ = true;
  term_ = partition.term();
  load_at_ = partition.log_start();
  load_end_ = partition.log_end();
  load_began_ms_ = parts_.clock.mono_ms();
  records_since_snapshot_ = 0;
  snapshotting_ = false;
  ++load_;
  // Never passed: wakes when leadership ends.
  partition.wait_past(Offset{std::numeric_limits<int64_t>::max()}, [this, alive = alive_] {
    if (!*alive) return;
    parts_.executor.post([this, alive] {
      if (*alive) check();
    });
  });
  load_step();
}

void Coordinator::load_later(int64_t delay_ms) {
  parts_.executor.schedule_after(delay_ms, [this, alive = alive_, load = load_] {
    if (*alive && load == load_ && loading_) load_step();
  });
}

// Reads a piece a turn, so that a long log does not hold up the reactor.
void Coordinator::load_step() {
  partition::Partition* partition = parts_.find_partition(id_);
  if (!partition || !partition->is_leader() || partition->term() != term_) {
    return drop(GroupError::kNotCoordinator);
  }
  if (load_at_ < partition->log_start()) {
    // This leader has only now learnt of a deletion. What was live has been said again behind the
    // new start, what was not has no record that takes it back: from the start, into a new machine.
    machine_.reset();
    return start_loading(*partition);
  }
  if (load_at_ >= load_end_) return finish_loading();
  if (load_at_ >= partition->high_watermark()) {
    // What earlier leaders appended is committed first; only then it is certain to stay.
    partition->wait_past(load_at_, [this, alive = alive_, load = load_] {
      if (*alive && load == load_ && loading_) load_later(0);
    });
    return;
  }
  auto fetched = partition->read(load_at_, kReadBytes);
  if (!fetched.ok()) return load_later(kRetryMs);
  for (const Batch& batch : fetched->batches) {
    Status status = replay(batch);
    if (!status.ok()) {
      log_error("groups", "records of groups cannot be read and are passed over",
                {{"shard", id_.to_string()},
                 {"offset", batch.header.base_offset.value},
                 {"error", status.to_string()}});
    }
    load_at_ = std::max(load_at_, batch.header.end_offset());
  }
  load_later(0);
}

Status Coordinator::replay(const Batch& batch) {
  if (batch.header.control()) return {};
  ASSIGN_OR_RETURN(auto records, RecordIterator::open(batch.bytes.view(), kReplayedBytesMax));
  Status first_problem;
  Record record;
  while (records.next(record)) {
    if (record.offset < load_at_) continue;
    ++records_since_snapshot_;
    Status status = machine_->replay(record.key.value_or(""), record.value);
    if (!status.ok() && first_problem.ok()) first_problem = status;
  }
  return records.status().ok() ? first_problem : records.status();
}

void Coordinator::finish_loading() {
  loading_ = false;
  Now time = now();
  machine_->loaded(time);
  expire_at_ms_ = time.mono_ms + options_.settings.offsets_check_ms;
  log_info("groups", "coordinates",
           {{"partition", id_.index},
            {"term", term_.value},
            {"groups", machine_->list().size()},
            {"records", records_since_snapshot_},
            {"ms", time.mono_ms - load_began_ms_}});
  snapshot_if_due();
  arm();
}

// Forgets the machine. Whoever waits asks elsewhere, or here again.
void Coordinator::drop(GroupError why) {
  if (!machine_) return;
  log_info("groups", "coordinates no longer", {{"partition", id_.index}, {"term", term_.value}});
  Effects fx;
  machine_->abandon(why, fx);
  machine_.reset();
  loading_ = false;
  ++load_;
  if (timer_) parts_.executor.cancel(*timer_);
  timer_.reset();
  std::deque<Waiting> waiting = std::exchange(waiting_, {});
  committed_ = appended_;
  for (auto& entry : waiting) {
    for (auto& answer : entry.answers) answer.fail(why);
  }
  for (auto& answer : fx.answers) answer.send();
}

// --- Steps ---------------------------------------------------------------------------------------

void Coordinator::run(const Step& step) {
  Effects fx;
  step(*machine_, now(), fx);
  finish(std::move(fx));
}

void Coordinator::finish(Effects fx) {
  if (!append(fx.puts, kStepBatchBytes, nullptr)) {
    // The machine is ahead of the log now: it is loaded again.
    for (auto& answer : fx.answers) answer.fail(GroupError::kCoordinatorNotAvailable);
    return;
  }
  if (!machine_) {
    for (auto& answer : fx.answers) answer.fail(GroupError::kNotCoordinator);
    return;
  }
  if (!fx.answers.empty()) waiting_.push_back({appended_, std::move(fx.answers)});
  answer_committed();
  if (!machine_) return;
  snapshot_if_due();
  arm();
}

// Appends puts in batches of about `batch_bytes`; `done` gets the first one's offset when the last
// one is committed. False when an append was refused; the machine is gone then.
bool Coordinator::append(const std::vector<Put>& puts, size_t batch_bytes,
                         const std::function<void(Offset)>& done) {
  auto first = std::make_shared<std::optional<Offset>>();
  for (size_t from = 0, to = 0; from < puts.size(); from = to) {
    for (size_t bytes = 0; to < puts.size() && (bytes == 0 || bytes < batch_bytes); ++to) {
      bytes += puts[to].key.size() + (puts[to].value ? puts[to].value->size() : 0);
    }
    bool last = to == puts.size();
    bool accepted = append_batch(puts, from, to, [first, last, done](Offset base) {
      if (!*first) *first = base;
      if (last && done) done(**first);
    });
    if (!accepted) return false;
  }
  return true;
}

bool Coordinator::append_batch(const std::vector<Put>& puts, size_t from, size_t to,
                               std::function<void(Offset)> done) {
  partition::Partition* partition = parts_.find_partition(id_);
  RecordBatchBuilder builder;
  int64_t wall_ms = parts_.clock.wall_ms();
  for (size_t i = from; i < to; ++i) {
    std::optional<std::string_view> value;
    if (puts[i].value) value = *puts[i].value;
    builder.add(wall_ms, puts[i].key, value);
  }
  auto batch = builder.build();
  CHECK(batch.ok());
  uint64_t sequence = ++appended_;
  auto refused = std::make_shared<std::optional<Status>>();
  auto in_call = std::make_shared<bool>(true);
  auto on_done = [this, alive = alive_, load = load_, sequence, refused, in_call,
                  done = std::move(done)](const Result<partition::Appended>& result) {
    if (!*alive || load != load_) return;
    if (*in_call && !result.ok()) {
      *refused = result.status();
      return;
    }
    if (result.ok() && done) done(result->base_offset);
    on_appended(sequence, result);
  };
  if (partition) {
    partition->append(Buffer::from_string(std::move(*batch)), partition::Acks::kAll, on_done);
  } else {
    *refused = Status(Code::kNotLeader, "the partition has left this broker");
  }
  *in_call = false;
  if (!*refused) {
    records_since_snapshot_ += to - from;
    return true;
  }
  log_warn("groups", "an append was refused",
           {{"partition", id_.index}, {"error", (*refused)->to_string()}});
  retry_at_ms_ = parts_.clock.mono_ms() + kRetryMs;
  drop(GroupError::kCoordinatorNotAvailable);
  return false;
}

void Coordinator::on_appended(uint64_t sequence, const Result<partition::Appended>& result) {
  if (!result.ok()) return drop(GroupError::kNotCoordinator);
  committed_ = std::max(committed_, sequence);
  answer_committed();
}

// An answer may bring the next request at once, and that one may end the machine.
void Coordinator::answer_committed() {
  while (!waiting_.empty() && waiting_.front().sequence <= committed_) {
    auto answers = std::move(waiting_.front().answers);
    waiting_.pop_front();
    for (auto& answer : answers) answer.send();
  }
}

// --- Snapshots -----------------------------------------------------------------------------------

// Writes all that is live anew and drops what lies before: the log stays a few times as long as
// the state. A leader that dies half-way leaves repeated records, which say the same.
void Coordinator::snapshot_if_due() {
  size_t live = machine_->live_records();
  if (snapshotting_ ||
      records_since_snapshot_ < std::max(options_.snapshot_records_min, 3 * live)) {
    return;
  }
  snapshotting_ = true;
  std::vector<Put> puts = machine_->snapshot();
  if (!append(puts, kSnapshotBatchBytes, [this](Offset first) { trim(first); })) return;
  records_since_snapshot_ = 0;
  if (puts.empty()) snapshotting_ = false;
}

void Coordinator::trim(Offset before) {
  partition::Partition* partition = parts_.find_partition(id_);
  if (!partition) return;
  partition->delete_records(before, [this, alive = alive_, load = load_](Result<Offset> done) {
    if (!*alive || load != load_) return;
    snapshotting_ = false;
    if (done.ok()) return;
    log_warn("groups", "old records stay for now",
             {{"partition", id_.index}, {"error", done.status().to_string()}});
  });
}

// --- Time ----------------------------------------------------------------------------------------

void Coordinator::arm() {
  if (!machine_ || loading_) return;
  int64_t at_ms = std::min(machine_->next_deadline().value_or(expire_at_ms_), expire_at_ms_);
  if (timer_ && timer_at_ms_ <= at_ms) return;
  if (timer_) parts_.executor.cancel(*timer_);
  timer_at_ms_ = at_ms;
  int64_t delay_ms = std::max<int64_t>(at_ms - parts_.clock.mono_ms(), 0);
  timer_ = parts_.executor.schedule_after(delay_ms, [this, alive = alive_] {
    if (*alive) on_timer();
  });
}

void Coordinator::on_timer() {
  timer_.reset();
  if (check() != GroupError::kNone) return;
  run([this](Machine& machine, Now time, Effects& fx) {
    machine.tick(time, fx);
    if (time.mono_ms < expire_at_ms_) return;
    machine.expire(time, fx);
    expire_at_ms_ = time.mono_ms + options_.settings.offsets_check_ms;
  });
}

}  // namespace broker::groups
