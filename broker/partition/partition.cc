#include "broker/partition/partition.h"

#include <algorithm>

#include "broker/base/log.h"
#include "broker/metering/meter.h"
#include "broker/model/records.h"
#include "broker/partition/partition_host.h"

namespace broker::partition {
namespace {

constexpr uint64_t kSnapshotBytes = 32 << 20;  // appended between two producer snapshots
constexpr size_t kScanBytes = 1 << 20;
constexpr size_t kUsageScanBytes = 8 << 20;     // of the log, counted again in one turn
constexpr int64_t kUsageAgainMs = 10'000;       // told again until the map has it
constexpr int64_t kLongTermLookMs = 60'000;
constexpr int64_t kLongTermNews = 1 << 20;
constexpr int64_t kPredecessorMs = 30'000;  // clients come again after a second at most
constexpr int64_t kHandOverMs = 2000;  // after that somebody else has the word

Status log_not_known() {
  return Status(Code::kUnavailable, "the log cannot be read now, and with it what its producers have stored");
}

replication::Assignment to_assignment(const cluster::v1::Shard& shard,
                                      const cluster::v1::StreamConfig& config) {
  replication::Assignment assignment;
  assignment.min_insync = config.min_insync();
  assignment.memory = config.durability() == cluster::v1::DURABILITY_MEMORY;
  assignment.term = Term{shard.term()};
  if (shard.has_leader()) assignment.leader = BrokerId{shard.leader()};
  auto members = [](const auto& replicas) {
    std::vector<replication::Member> out;
    for (const auto& replica : replicas) {
      out.push_back({BrokerId{replica.broker()}, Uuid::parse(replica.directory()).value_or(Uuid{})});
    }
    return out;
  };
  assignment.voters = members(shard.replicas());
  assignment.next_voters = members(shard.next_replicas());
  assignment.learners = members(shard.learners());
  return assignment;
}

}  // namespace

Partition::Partition(Surroundings& around, storage::ShardLog& log,
                     const replication::ReplicaOptions& options, cluster::StreamPtr stream)
    : around_(around), log_(log), stream_(std::move(stream)) {
  host_ = std::make_unique<HostImpl>(*this);
  replica_ = std::make_unique<replication::Replica>(
      around_.self(), *host_, options, from_storage(log_.state()), log_.log_start());
  follow_limits();
  if (!log_.quarantined().ok()) replica_->lose_log();
  log_.set_write_behind(in_memory());
  if (in_memory() && log_.recovered_uncleanly()) replica_->lose_tail();
  rebuild_producers();
}

Partition::~Partition() {
  *alive_ = false;
  fail_waiters(Status(Code::kTimeout, "the shard has left this broker; look before you retry"));
  wake_readers();
}

// The table of producers and the seal, from the log. A read that fails may succeed later: until then
// nobody is told what is in the log and what is not (knows_log).
void Partition::rebuild_producers() {
  producers_.clear();
  bytes_since_snapshot_ = 0;
  log_known_ = false;
  log_tried_ms_ = around_.mono_ms();
  if (!log_.quarantined().ok()) return;
  Offset at = log_.log_start();
  if (auto snapshot = log_.snapshot()) {
    auto table = Producers::decode(snapshot->blob);
    if (table.ok() && snapshot->at >= at) {
      producers_ = std::move(*table);
      producers_.assume_forgotten();
      at = snapshot->at;
    }
  }
  while (at < log_.log_end()) {
    auto batches = log_.read(at, kScanBytes, log_.log_end());
    if (!batches.ok() || batches->empty()) {
      changed_.damaged |= batches.code() == Code::kCorruption;
      log_error("partition", "cannot read the log for its producers",
                {{"shard", id().to_string()}, {"error", batches.status().to_string()}});
      return;
    }
    for (const auto& batch : *batches) {
      producers_.apply(batch.header);
      bytes_since_snapshot_ += batch.bytes.size();
      at = batch.header.end_offset();
    }
  }
  if (log_.log_end() > log_.log_start()) {
    auto last = log_.read(log_.log_end() - 1, 1, log_.log_end());
    if (!last.ok() || last->empty()) return;
    if (seal_content(last->back().bytes.view())) seal_end_ = log_.log_end();
  }
  log_known_ = true;
}

bool Partition::knows_log() {
  constexpr int64_t kTryAgainMs = 100;
  if (!log_known_ && around_.mono_ms() - log_tried_ms_ >= kTryAgainMs) rebuild_producers();
  return log_known_;
}

void Partition::note_batch(const Batch& batch) {
  if (log_known_) producers_.apply(batch.header);
  if (batch.header.control() && seal_content(batch.bytes.view())) {
    seal_end_ = batch.header.end_offset();
  }
  bytes_since_snapshot_ += batch.bytes.size();
  if (bytes_since_snapshot_ >= kSnapshotBytes) save_producers();
}

void Partition::save_producers() {
  if (bytes_since_snapshot_ == 0 || !log_.quarantined().ok() || !log_known_) return;
  bytes_since_snapshot_ = 0;
  Status status = log_.save_snapshot(log_.log_end(), producers_.encode(), [](Status) {});
  status.ignore_error("recovery reads the log instead");
}

void Partition::append(Buffer bytes, Acks acks, AppendDone done) {
  auto header = parse_batch_header(bytes.view());
  if (header.ok() && answer_repeat(*header, acks, done)) return settle();
  Status status = header.ok() ? check_append(*header) : header.status();
  if (status.ok() && limits_ &&
      !limits_->admit(around_.mono_ms(), header->record_count, header->size)) {
    status = throttled(header->record_count, header->size);
  }
  if (!status.ok()) {
    if (refuses_for_now(status)) refused_ms_ = around_.mono_ms();
    done(status);
    return;
  }
  append_checked(std::move(bytes), *header, acks, std::move(done));
  settle();
}

void Partition::append_within_limits(Buffer bytes, Acks acks, AppendDone done) {
  auto header = parse_batch_header(bytes.view());
  Status status = header.ok() ? check_append(*header) : header.status();
  if (!status.ok()) {
    if (refuses_for_now(status)) refused_ms_ = around_.mono_ms();
    return done(status);
  }
  if (limits_) {
    auto admitted = admit_records(*limits_, around_.mono_ms(), std::move(bytes));
    if (!admitted.ok()) return done(admitted.status());
    if (admitted->refused > 0) status = throttled(admitted->refused, admitted->refused_bytes);
    if (admitted->records == 0) return done(status);
    bytes = std::move(admitted->batch);
    header = parse_batch_header(bytes.view());
    CHECK(header.ok());
  }
  const int32_t records = header->record_count;
  append_checked(std::move(bytes), *header, acks,
                 [records, done = std::move(done)](Result<Appended> appended) {
                   if (appended.ok()) appended->records = records;
                   done(std::move(appended));
                 });
  settle();
}

Status Partition::check_append(const BatchHeader& header) const {
  if (stream_->map.deleting()) return Status(Code::kNotFound, "the stream is being deleted");
  RETURN_IF_ERROR(replica_->may_append(static_cast<size_t>(header.size)));
  if (seal_end_ || shard().state() != cluster::v1::SHARD_STATE_OPEN) {
    // Final once all of the log is known to be here: whatever is not in it never will be.
    bool final = shard().state() == cluster::v1::SHARD_STATE_CLOSED && closed();
    return Status(final ? Code::kPolicyViolation : Code::kNotLeader,
                  "the shard is closed; its children take over");
  }
  int32_t limit = stream_->map.config().record_bytes_max();
  if (limit > 0 && header.size > limit) {
    return Status(Code::kTooLarge, "a batch of " + std::to_string(header.size) +
                                       " bytes is above the stream's record_bytes_max of " +
                                       std::to_string(limit));
  }
  return {};
}

// A shard that is being closed, or is closed, still tells its producers what it has stored: so a
// retry that crosses a split is stored once.
bool Partition::answer_repeat(const BatchHeader& header, Acks acks, AppendDone& done) {
  bool closing = seal_end_ || shard().state() != cluster::v1::SHARD_STATE_OPEN;
  if (!closing || !is_leader() || !header.idempotent()) return false;
  if (!knows_log()) {
    done(log_not_known());
    return true;
  }
  auto verdict = producers_.check(header, log_start() == Offset{0});
  if (!verdict.duplicate) return false;
  finish_when(acks, verdict.duplicate->second, {verdict.duplicate->first, log_.log_start(), -1},
              std::move(done));
  return true;
}

void Partition::append_checked(Buffer bytes, BatchHeader header, Acks acks, AppendDone done) {
  Appended answer{log_.log_end(), log_.log_start(), -1};
  if (header.idempotent()) {
    if (!knows_log()) {
      refused_ms_ = around_.mono_ms();
      return done(log_not_known());
    }
    auto verdict = producers_.check(header, log_start() == Offset{0});
    if (verdict.duplicate) {
      answer.base_offset = verdict.duplicate->first;
      finish_when(acks, verdict.duplicate->second, answer, std::move(done));
      return;
    }
    if (predecessor_may_come(verdict, acks)) verdict.code = Code::kUnavailable;
    if (verdict.code != Code::kOk) {
      done(Status(verdict.code, verdict.reason));
      return;
    }
  }
  if (Status compressed = compress_as_asked(bytes, header); !compressed.ok()) return done(compressed);
  if (stamps_append_time() && !header.control()) {
    answer.log_append_time_ms = around_.wall_ms();
    stamp_append_time(const_cast<char*>(bytes.data()), header, answer.log_append_time_ms);
  }
  // The batch is ours from here on: offset and epoch lie outside its CRC.
  patch_batch(const_cast<char*>(bytes.data()), log_.log_end(), replica_->term());
  header.base_offset = log_.log_end();
  header.term = replica_->term();
  Batch batch{header, std::move(bytes)};
  Status status = log_.append(
      {batch}, host_->when_durable([this] { replica_->on_durable(); }));
  if (!status.ok()) {
    done(status);
    return;
  }
  note_batch(batch);
  usage_.count(batch);
  if (!header.control()) load().appended(batch);
  finish_when(acks, header.end_offset(), answer, std::move(done));
  replica_->on_appended(batch.bytes.size());
}

bool Partition::refuses_for_now(const Status& status) const {
  switch (status.code()) {
    case Code::kUnavailable:
    case Code::kNotLeader:
    case Code::kNoSpace:
    case Code::kResourceExhausted: return true;
    default: return false;
  }
}

// What acks=all has stored is known to every leader. Where one batch is missing before another, it was
// refused by a leader that was not ready, or had gone, and comes again: so the later one is told to come
// again, too. Not called a gap: librdkafka then begins a new epoch in every partition, and what it has
// in flight elsewhere, perhaps stored, is sent again as new. (KIP-98 knows no such answer; a producer
// whose batch is really lost is told of the gap when the time is over.)
bool Partition::predecessor_may_come(const Producers::Verdict& verdict, Acks acks) const {
  if (verdict.code != Code::kOutOfOrderSequence || acks != Acks::kAll) return false;
  if (verdict.unknown) return true;
  if (in_memory()) return false;  // a majority's crash may have taken it
  const int64_t now_ms = around_.mono_ms();
  const bool from_before = verdict.last_end <= led_from_;
  return (from_before && now_ms - led_since_ms_ < kPredecessorMs) ||
         now_ms - refused_ms_ < kPredecessorMs;
}

void Partition::finish_when(Acks acks, Offset end, Appended answer, AppendDone done) {
  if (acks == Acks::kNone) {
    done(answer);
    return;
  }
  auto& waiters = acks == Acks::kAll ? commit_waiters_ : durable_waiters_;
  auto at = waiters.end();
  while (at != waiters.begin() && std::prev(at)->end > end) --at;  // a repeat of an older batch
  waiters.insert(at, {end, answer, std::move(done)});
  changed_.high_watermark = changed_.durable = true;
}

void Partition::settle() {
  if (settling_) return;
  settling_ = true;
  auto alive = alive_;
  while (*alive && (changed_.role || changed_.high_watermark || changed_.durable ||
                    changed_.report || changed_.log_start || changed_.damaged)) {
    auto changed = std::exchange(changed_, {});
    if (changed.damaged) on_damage();
    if (changed.role) role_changed();
    if (*alive && (changed.role || changed.high_watermark)) {
      if (!is_leader() || !replica_->committed())
        host_->end.hide();
      else
        host_->end.show(around_.metrics(), stream_->name(), id().index, high_watermark());
    }
    if (*alive && (changed.high_watermark || changed.durable)) complete_committed();
    if (*alive && changed.log_start) complete_deletions();
    if (*alive && (changed.role || changed.high_watermark)) wake_readers();
    if (*alive && (changed.report || changed.high_watermark) && is_leader()) {
      seal_if_asked();
      // The coordinator waits for a seal to be committed; other progress it learns from the view.
      bool sealed = closed() && shard().state() == cluster::v1::SHARD_STATE_SEALING;
      if (changed.report || sealed) around_.report(id());
    }
  }
  if (*alive) settling_ = false;
}

void Partition::complete_committed() {
  auto alive = alive_;
  auto complete = [&](std::deque<CommitWaiter>& waiters, Offset reached) {
    while (*alive && !waiters.empty() && waiters.front().end <= reached) {
      CommitWaiter waiter = std::move(waiters.front());
      waiters.pop_front();
      waiter.done(waiter.answer);
    }
  };
  if (!is_leader()) return;
  complete(commit_waiters_, replica_->committed() ? high_watermark() : Offset{-1});
  if (*alive) complete(durable_waiters_, in_memory() ? host_->held_end() : log_.durable_end());
}

void Partition::delete_records(Offset before, std::function<void(Result<Offset>)> done) {
  Status status = replica_->may_read_latest();
  if (status.ok() && shard().state() == cluster::v1::SHARD_STATE_SEALING) {
    status = Status(Code::kUnavailable, "the shard is being split or merged");
  }
  if (status.ok()) count_usage(SIZE_MAX);
  if (status.ok()) status = replica_->delete_before(before);
  if (!status.ok()) {
    done(status);
    return;
  }
  deletions_.emplace(before, std::move(done));
  changed_.log_start = true;
  settle();
}

void Partition::complete_deletions() {
  auto alive = alive_;
  while (*alive && !deletions_.empty() &&
         deletions_.begin()->first <= replica_->committed_log_start()) {
    auto done = std::move(deletions_.begin()->second);
    deletions_.erase(deletions_.begin());
    done(log_start());
  }
}

void Partition::fail_waiters(const Status& status) {
  auto deletions = std::move(deletions_);
  deletions_.clear();
  auto commit = std::move(commit_waiters_);
  auto durable = std::move(durable_waiters_);
  commit_waiters_.clear();
  durable_waiters_.clear();
  for (auto* waiters : {&commit, &durable}) {
    for (auto& waiter : *waiters) waiter.done(status);
  }
  for (auto& [start, done] : deletions) done(status);
}

void Partition::role_changed() {
  if (is_leader()) {
    if (host_->led == replica_->term()) return;
    host_->led = replica_->term();
    led_since_ms_ = around_.mono_ms();
    led_from_ = log_.log_end();
    host_->left_cleanly = host_->hand_over_refused = false;
    return;
  }
  if (host_->led != kNoTerm) host_->left_cleanly = leaves_cleanly();
  host_->led = kNoTerm;
  usage_.stop();
  fail_waiters(Status(Code::kTimeout, "leadership has moved; the record may or may not be stored"));
}

bool Partition::awaits_seal() const {
  return is_leader() && shard().state() == cluster::v1::SHARD_STATE_SEALING && !seal_end_;
}

void Partition::seal_if_asked() {
  if (!awaits_seal() || !replica_->committed() || !replica_->may_append(0).ok()) return;
  if (!knows_log() || seal_end_) return;
  Buffer bytes = Buffer::from_string(build_seal_batch(producers_.encode(), around_.wall_ms()));
  auto header = parse_batch_header(bytes.view());
  CHECK(header.ok());
  append_checked(std::move(bytes), *header, Acks::kNone, [](Result<Appended>) {});
}

bool Partition::closed() const {
  // The seal itself may be deleted by now.
  if (shard().state() == cluster::v1::SHARD_STATE_CLOSED) {
    return high_watermark().value >= shard().end_offset();
  }
  return seal_end_ && high_watermark() >= *seal_end_;
}

template <class T>
Result<T> Partition::checked(Result<T> read) {
  if (read.code() == Code::kCorruption) {
    changed_.damaged = true;
    settle();
  }
  return read;
}

Result<Fetched> Partition::read(Offset from, size_t bytes_max, bool any_replica,
                                storage::Load* load, int64_t records_max) {
  if (!is_leader() && !any_replica) {
    return Status(Code::kNotLeader, "this broker does not lead the shard");
  }
  Offset limit = high_watermark();
  if (from > limit && is_leader() && !replica_->committed() && from <= log_end()) {
    return Status(Code::kUnavailable, "the new leader does not know yet what is committed");
  }
  if (from < log_start() || from > limit) {
    return Status(Code::kOutOfRange, "offset " + std::to_string(from.value) + " is outside [" +
                                         std::to_string(log_start().value) + ", " +
                                         std::to_string(limit.value) + "]");
  }
  Fetched fetched;
  fetched.high_watermark = limit;
  fetched.log_start = log_start();
  if (from == limit) return fetched;
  ASSIGN_OR_RETURN(fetched.batches, checked(log_.read(from, bytes_max, limit, load, records_max)));
  int64_t records = 0;
  for (const auto& batch : fetched.batches) {
    fetched.bytes += batch.bytes.size();
    records += batch.header.record_count;
  }
  this->load().read(fetched.bytes, records);
  return fetched;
}

Result<Fetched> Partition::read_within_limits(Offset from, int64_t records_max, size_t bytes_max,
                                              storage::Load* load) {
  if (load && is_leader() && limits_ && !limits_->admit_read(around_.mono_ms())) {
    return Status(Code::kResourceExhausted, "the shard's limits are reached");
  }
  // And the one after them, whose time tells how far behind the reader is.
  const int64_t looked_at = records_max < INT64_MAX ? records_max + 1 : records_max;
  ASSIGN_OR_RETURN(Fetched fetched, read(from, bytes_max, false, load, looked_at));
  if (!limits_ || (load && load->started)) return fetched;
  ASSIGN_OR_RETURN(Cut cut, cut_records(fetched.batches, from, records_max,
                                        static_cast<int64_t>(bytes_max)));
  limits_->note_read(around_.mono_ms(), cut.bytes);
  return fetched;
}

// Made at first use: a follower that nobody reads from has no series.
ShardMetrics& Partition::load() {
  if (!load_) {
    std::optional<coordination::KeyRange> range;
    if (stream_->elastic()) {
      auto parsed = coordination::parse_range(shard().hash_range());
      if (parsed.ok()) range = *parsed;
    }
    load_ = std::make_unique<ShardMetrics>(around_.metrics(), stream_->name(), id().index, range);
  }
  return *load_;
}

Partition::WaitId Partition::wait_past(Offset offset, std::function<void()> wake) {
  WaitId id = next_wait_++;
  read_waiters_.emplace(offset, std::pair(id, std::move(wake)));
  read_waits_.emplace(id, offset);
  return id;
}

void Partition::cancel_wait(WaitId id) {
  auto wait = read_waits_.find(id);
  if (wait == read_waits_.end()) return;
  auto [first, last] = read_waiters_.equal_range(wait->second);
  for (auto it = first; it != last; ++it) {
    if (it->second.first != id) continue;
    read_waiters_.erase(it);
    break;
  }
  read_waits_.erase(wait);
}

void Partition::wake_readers() {
  // All of them when there is nothing to wait for here any more.
  bool everyone = !*alive_ || !is_leader() || closed();
  std::vector<std::function<void()>> woken;
  while (!read_waiters_.empty() &&
         (everyone || read_waiters_.begin()->first < high_watermark())) {
    auto first = read_waiters_.begin();
    woken.push_back(std::move(first->second.second));
    read_waits_.erase(first->second.first);
    read_waiters_.erase(first);
  }
  for (auto& wake : woken) wake();
}

TermEnd Partition::term_end(Term term) const {
  const auto& terms = log_.terms();
  auto next = std::find_if(terms.begin(), terms.end(),
                           [&](const auto& entry) { return entry.term > term; });
  if (next == terms.begin()) return {kNoTerm, Offset{-1}};
  Offset end = next == terms.end() ? log_end() : next->start;
  // The leader's own term may not have an entry yet: it ends where the log does.
  Term found = std::prev(next)->term;
  if (next == terms.end() && term == replica_->term()) found = term;
  return {found, end};
}

Term Partition::term_at(Offset offset) const {
  if (offset >= log_end()) return replica_->term();
  const auto& terms = log_.terms();
  auto next = std::find_if(terms.begin(), terms.end(),
                           [&](const auto& entry) { return entry.start > offset; });
  return next == terms.begin() ? kNoTerm : std::prev(next)->term;
}

Result<std::optional<BatchHeader>> Partition::find_timestamp(int64_t timestamp_ms) {
  return checked(log_.find_timestamp(timestamp_ms, high_watermark()));
}

Result<std::optional<BatchHeader>> Partition::find_max_timestamp() {
  return checked(log_.find_max_timestamp(high_watermark()));
}

void Partition::on_metadata(cluster::StreamPtr stream) {
  bool was_open = shard().state() == cluster::v1::SHARD_STATE_OPEN;
  stream_ = std::move(stream);
  follow_limits();
  if (was_open && shard().state() != cluster::v1::SHARD_STATE_OPEN) changed_.role = true;
  replica_->on_assignment(to_assignment(shard(), stream_->map.config()),
                          around_.mono_ms());
  if (is_leader()) changed_.report = true;
  if (awaits_seal()) around_.want_tick(id());
  settle();
}

const Status& Partition::quarantined() const {
  static const Status kFetching(Code::kCorruption,
                                "the log was damaged and is being fetched from the leader");
  return log_.quarantined().ok() && replica_->log_lost() ? kFetching : log_.quarantined();
}

// Damage was found where somebody read. Other members have the records: this one fetches them again.
// A sole member goes on with what is whole.
void Partition::on_damage() {
  const bool sole = shard().replicas_size() == 1 && shard().next_replicas().empty();
  if (sole || !log_.quarantined().ok()) return;
  const bool led = is_leader();
  const Term term = replica_->term();
  log_.quarantine(Status(Code::kCorruption, "a damaged record was found while reading"));
  replica_->lose_log();
  if (led) around_.resign(id(), term, log_.quarantined().message());
}

void Partition::on_message(BrokerId from, replication::Message message) {
  if (!log_.quarantined().ok() && !std::holds_alternative<replication::Attach>(message)) return;
  replica_->on_message(from, std::move(message), around_.mono_ms());
  settle();
}

void Partition::on_peer(const replication::Member& peer, bool up) {
  replica_->on_peer(peer, up, around_.mono_ms());
  settle();
}

void Partition::on_turn(BrokerId peer) {
  replica_->on_turn(peer);
  settle();
}

void Partition::prepare_transfer(Term term, BrokerId target) {
  replica_->prepare_transfer(term, target, around_.mono_ms());
  if (is_leader() && handing_over()) {
    handed_over_ = replica_->term();
    host_->hand_over_refused = false;
    hand_over_until_ms_ = around_.mono_ms() + kHandOverMs;
  }
  settle();
}

bool Partition::handing_over() const {
  if (host_->hand_over_refused) return false;
  if (is_leader()) return replica_->may_append(0).code() == Code::kNotLeader;
  const bool known = shard().has_leader() && shard().term() > handed_over_.value;
  return handed_over() && around_.mono_ms() < hand_over_until_ms_ && !known;
}

bool Partition::handed_over() const {
  if (is_leader() || host_->hand_over_refused) return false;
  return host_->led == kNoTerm ? host_->left_cleanly : leaves_cleanly();
}

bool Partition::leaves_cleanly() const {
  return commit_waiters_.empty() && handed_over_ == host_->led;
}

void Partition::refuse_hand_over() { host_->hand_over_refused = true; }

bool Partition::hand_over_refused() const { return host_->hand_over_refused; }

bool Partition::tick() {
  bool again = replica_->tick(around_.mono_ms());
  // Whatever was in the way of a seal (a transfer, a lost majority, a full disk) may be over.
  if (is_leader()) seal_if_asked();
  settle();
  return again || awaits_seal();
}

void Partition::apply_retention(storage::Store& store) {
  const auto& config = stream_->map.config();
  if (!is_leader() || (config.retention_ms() <= 0 && config.retention_bytes() <= 0)) return;
  storage::Retention retention;
  if (config.retention_ms() > 0) retention.ms = config.retention_ms();
  if (config.retention_bytes() > 0) retention.bytes = config.retention_bytes();
  Offset before = log_start();
  auto moved = std::make_shared<Offset>();
  // What nobody has counted stays while it can be told: another leader could not count it any more.
  Offset end = high_watermark();
  if (stream_->map.has_metering() && around_.coordinated()) {
    end = std::min(end, Offset{shard().metered_offset()});
  }
  auto start = store.apply_retention(
      id(), retention, end,
      host_->when_durable([this, moved] { replica_->on_log_start_durable(*moved); }));
  if (start.ok() && *start > before) {
    *moved = *start;
    save_producers();
    replica_->on_log_start_moved();
  }
  if (!start.ok()) {
    log_warn("partition", "retention failed",
             {{"shard", id().to_string()}, {"error", start.status().to_string()}});
  }
}

void Partition::count_usage(size_t bytes_max) {
  if (!is_leader() || !replica_->committed()) return;
  usage_.follow(Offset{shard().metered_offset()}, log_start());
  size_t read = 0;
  while (usage_.next() < log_end() && read < bytes_max) {
    auto batches = checked(log_.read(usage_.next(), kScanBytes, log_end()));
    if (!batches.ok() || batches->empty()) return;
    const Offset before = usage_.next();
    for (const auto& batch : *batches) {
      usage_.count(batch);
      read += batch.bytes.size();
    }
    if (usage_.next() == before) return;
  }
}

int64_t Partition::long_term_bytes() {
  const int64_t now = around_.mono_ms();
  if (long_term_looked_ms_ >= 0 && now - long_term_looked_ms_ < kLongTermLookMs) {
    return long_term_bytes_;
  }
  long_term_looked_ms_ = now;
  const auto bytes = static_cast<int64_t>(
      log_.bytes_older_than(around_.wall_ms() - metering::kLongTermAfterMs));
  const int64_t told = shard().long_term_bytes();
  // A little more or less is no news, nothing at all is.
  const bool news = bytes == 0 || std::abs(bytes - told) >= std::max(kLongTermNews, told / 100);
  return long_term_bytes_ = news ? bytes : told;
}

std::optional<cluster::v1::ShardUsage> Partition::usage_report(bool again) {
  count_usage(kUsageScanBytes);
  if (!usage_.counting()) return std::nullopt;
  const auto mark = usage_.tell(high_watermark());
  const int64_t old_bytes = long_term_bytes();
  if (mark.end <= usage_.from() && old_bytes == shard().long_term_bytes()) return std::nullopt;
  const int64_t now = around_.mono_ms();
  if (!again && mark.end == usage_told_ && now - usage_told_ms_ < kUsageAgainMs) return std::nullopt;
  usage_told_ = mark.end;
  usage_told_ms_ = now;
  cluster::v1::ShardUsage report;
  report.set_stream_id(id().stream.to_string());
  report.set_shard(id().index);
  report.set_term(term().value);
  report.set_from_offset(usage_.from().value);
  report.set_to_offset(mark.end.value);
  report.set_put_units(mark.counted.put_units);
  report.set_records(mark.counted.records);
  report.set_bytes(mark.counted.bytes);
  report.set_long_term_bytes(old_bytes);
  return report;
}

std::optional<cluster::v1::LeaderReport> Partition::leader_report() const {
  if (!is_leader() || !view_) return std::nullopt;
  cluster::v1::LeaderReport report;
  report.mutable_shard()->set_stream_id(id().stream.to_string());
  report.mutable_shard()->set_index(id().index);
  report.set_term(view_->term.value);
  report.set_committed(view_->committed);
  for (BrokerId b : view_->in_sync) report.add_in_sync(b.value);
  for (BrokerId b : view_->caught_up) report.add_caught_up(b.value);
  if (closed() && seal_end_) report.set_sealed_end_offset(seal_end_->value);
  report.set_high_watermark(high_watermark().value);
  return report;
}

}  // namespace broker::partition
