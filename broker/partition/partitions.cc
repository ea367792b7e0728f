#include "broker/partition/partitions.h"

#include <utility>

#include "broker/base/log.h"

namespace broker::partition {
namespace {

constexpr int64_t kTickMs = 50;
constexpr int64_t kUsageMs = 2000;
constexpr int64_t kRetentionMs = 300'000;  // as Kafka's log.retention.check.interval.ms

std::optional<ShardId> to_shard_id(const cluster::v1::ShardRef& ref) {
  auto stream = Uuid::parse(ref.stream_id());
  if (!stream) return std::nullopt;
  return ShardId{*stream, ref.index()};
}

}  // namespace

Partitions::Partitions(Parts parts, BrokerId self, replication::ReplicaOptions options,
                       replication::FlowOptions flow)
    : parts_(parts),
      self_(self),
      options_(options),
      leaders_(parts.metrics.gauge("sluice_broker_leaders", "Shards that this broker leads.")),
      under_replicated_(parts.metrics.gauge(
          "sluice_broker_under_replicated_shards",
          "Shards that this broker leads and that lack a replica which has all that is committed.")),
      replicas_(parts.metrics.gauge("sluice_broker_replicas",
                                    "Copies of shards on this broker.")),
      catch_up_bytes_(parts.metrics.counter(
          "sluice_replication_catch_up_bytes_total",
          "Bytes of record batches sent to replicas that were behind.")),
      flow_(flow, [this] { give_turns_soon(); }) {}

Partitions::~Partitions() { end(); }

void Partitions::end() {
  *alive_ = false;
  // Who is told looks for shards, and is to find none.
  const auto ended = std::exchange(partitions_, {});
}

void Partitions::start() {
  parts_.metadata.add_listener([this](const cluster::Metadata::Change& change) {
    on_metadata(change);
  });
  // From a file of an earlier process, perhaps older than what that process had come to hold: what it
  // does not name here stays until the coordinator says the same.
  for (const auto& stream : parts_.metadata.streams()) follow(stream, false);
  count_roles_soon();
  parts_.store.for_each([this](storage::ShardLog& log) {
    if (partitions_.contains(log.id())) return;
    log_warn("partitions", "a shard's log is here that is not known to belong here (yet): kept",
             {{"shard", log.id().to_string()}, {"records", log.log_end() - log.log_start()}});
  });
  parts_.executor.schedule_after(kRetentionMs, [this] { retention(); });
  parts_.executor.schedule_after(kUsageMs, [this] { tell_usage(); });
}

Partition* Partitions::find(const ShardId& id) {
  auto it = partitions_.find(id);
  return it == partitions_.end() ? nullptr : it->second.get();
}

void Partitions::for_each(const std::function<void(Partition&)>& visit) {
  for (auto& [id, partition] : partitions_) visit(*partition);
}

void Partitions::add_holdings(cluster::v1::Holdings& holdings) const {
  for (const auto& [id, partition] : partitions_) {
    auto* shard = holdings.add_shards();
    shard->mutable_shard()->set_stream_id(id.stream.to_string());
    shard->mutable_shard()->set_index(id.index);
    shard->set_bytes(static_cast<int64_t>(partition->bytes()));
  }
}

size_t Partitions::leader_count() const {
  size_t count = 0;
  for (const auto& [id, partition] : partitions_) count += partition->is_leader();
  return count;
}

bool Partitions::member_of(const cluster::v1::Shard& shard) const {
  const std::string directory = parts_.store.directory_id().to_string();
  for (const auto* members : {&shard.replicas(), &shard.next_replicas(), &shard.learners()}) {
    for (const auto& member : *members) {
      if (member.broker() == self_.value && member.directory() == directory) return true;
    }
  }
  return false;
}

// Once for all that changes in a turn: thousands of shards may.
void Partitions::count_roles_soon() {
  if (std::exchange(counting_, true)) return;
  parts_.executor.post([this, alive = alive_] {
    if (*alive) count_roles();
  });
}

void Partitions::count_roles() {
  counting_ = false;
  size_t lacking = 0;
  for (const auto& [id, partition] : partitions_) {
    if (!partition->is_leader()) continue;
    const auto report = partition->leader_report();
    const auto& shard = partition->shard();
    lacking += !report || !report->committed() || shard.learners_size() > 0 ||
               shard.next_replicas_size() > 0 || report->in_sync_size() < shard.replicas_size();
  }
  under_replicated_.Set(static_cast<double>(lacking));
  leaders_.Set(static_cast<double>(leader_count()));
  replicas_.Set(static_cast<double>(count()));
}

void Partitions::on_metadata(const cluster::Metadata::Change& change) {
  for (const auto& stream : change.changed) follow(stream, true);
  if (change.full) drop_strays();
  for (const auto& stream : change.removed) {
    for (const auto& shard : stream->map.shards()) {
      drop({stream->id, shard.index()}, "stream deleted");
    }
  }
  count_roles_soon();
}

void Partitions::follow(const cluster::StreamPtr& stream, bool may_drop) {
  for (const auto& shard : stream->map.shards()) {
    ShardId id{stream->id, shard.index()};
    if (stream->map.deleting() || !member_of(shard)) {
      if (may_drop) drop(id, stream->map.deleting() ? "stream deleted" : "moved to other brokers");
      continue;
    }
    Partition* partition = find(id);
    if (!partition) partition = open(id, stream);
    if (partition) partition->on_metadata(stream);
  }
}

// Logs that an earlier process has left, of shards that the coordinator says are elsewhere now.
void Partitions::drop_strays() {
  std::vector<ShardId> strays;
  parts_.store.for_each([&](storage::ShardLog& log) {
    if (partitions_.contains(log.id())) return;
    const auto* shard = parts_.metadata.find_shard(log.id());
    if (shard && !member_of(*shard)) strays.push_back(log.id());
  });
  for (const auto& id : strays) drop(id, "moved to other brokers");
}

Partition* Partitions::open(const ShardId& id, const cluster::StreamPtr& stream) {
  storage::ShardLog* log = parts_.store.find(id);
  if (!log) {
    auto created = parts_.store.create(id, {}, [](Status) {});
    if (!created.ok()) {
      log_error("partitions", "cannot create a shard's log",
                {{"shard", id.to_string()}, {"error", created.status().to_string()}});
      return nullptr;
    }
    log = *created;
  }
  if (!log->quarantined().ok()) {
    log_error("partitions", "a shard's log is damaged; it will be fetched from its peers",
              {{"shard", id.to_string()}, {"error", log->quarantined().to_string()}});
  }
  Surroundings& around = *this;
  auto partition = std::make_unique<Partition>(around, *log, options_, stream);
  Partition* raw = partition.get();
  partitions_[id] = std::move(partition);
  for (const auto& [broker, member] : peers_up_) raw->on_peer(member, true);
  return raw;
}

void Partitions::drop(const ShardId& id, const char* why) {
  auto it = partitions_.find(id);
  if (it != partitions_.end()) {
    auto partition = std::move(it->second);
    partitions_.erase(it);
    ticking_.erase(id);
    // The last that anybody can say of it.
    if (auto usage = partition->usage_report(true)) {
      cluster::v1::UsageReports last;
      *last.add_shards() = *usage;
      parts_.session.usage(last);
    }
  }
  if (!parts_.store.find(id)) return;
  log_info("partitions", "dropping a shard", {{"shard", id.to_string()}, {"why", why}});
  Status status = parts_.store.remove(id, [](Status) {});
  if (!status.ok()) {
    log_error("partitions", "cannot drop a shard",
              {{"shard", id.to_string()}, {"error", status.to_string()}});
  }
}

void Partitions::on_new_terms(const cluster::v1::NewTerms& terms) {
  for (const auto& request : terms.terms()) {
    auto id = to_shard_id(request.shard());
    Partition* partition = id ? find(*id) : nullptr;
    if (partition && partition->quarantined().ok()) {
      partition->on_new_term(Term{request.term()});
      continue;
    }
    cluster::v1::NewTermResult refusal;
    *refusal.mutable_shard() = request.shard();
    refusal.set_term(request.term());
    refusal.set_current_term(-1);
    refusal.set_directory(parts_.store.directory_id().to_string());
    refusal.set_error(partition ? partition->quarantined().to_string()
                                : "this broker has no replica of the shard");
    parts_.session.answer(refusal);
  }
}

void Partitions::on_prepare_transfer(const cluster::v1::PrepareTransfer& request) {
  auto id = to_shard_id(request.shard());
  Partition* partition = id ? find(*id) : nullptr;
  if (partition) {
    partition->prepare_transfer(Term{request.term()}, BrokerId{request.target()});
  } else if (id) {
    transfer_ready(*id, Term{request.term()}, BrokerId{request.target()}, false);
  }
}

void Partitions::on_welcomed() {
  for (auto& [id, partition] : partitions_) {
    if (auto report = partition->leader_report()) parts_.session.report(*report);
  }
  report_usage(true);
}

void Partitions::report_usage(bool again) {
  cluster::v1::UsageReports reports;
  for (auto& [id, partition] : partitions_) {
    if (auto usage = partition->usage_report(again)) *reports.add_shards() = *usage;
  }
  parts_.session.usage(reports);
}

void Partitions::tell_usage() {
  report_usage();
  parts_.executor.schedule_after(kUsageMs, [this] { tell_usage(); });
}

void Partitions::on_message(BrokerId from, const ShardId& shard, replication::Message message) {
  // Unknown: its metadata is still on the way, and the leader asks again.
  if (Partition* partition = find(shard)) partition->on_message(from, std::move(message));
}

void Partitions::on_peer(const replication::Member& peer, bool up) {
  if (up) {
    peers_up_[peer.broker] = peer;
  } else {
    peers_up_.erase(peer.broker);
  }
  for (auto& [id, partition] : partitions_) partition->on_peer(peer, up);
  parts_.session.heartbeat_now();  // the pre-vote depends on it
}

void Partitions::save_all() {
  for (auto& [id, partition] : partitions_) partition->save_producers();
}

void Partitions::send(BrokerId to, const ShardId& shard, replication::Message message) {
  parts_.transport.send(to, shard, message);
}

bool Partitions::may_send(BrokerId to, const ShardId& shard, replication::Urgency urgency) {
  const int64_t now_ms = mono_ms();
  if (flow_.may_send(shard, to, urgency, now_ms)) return true;
  give_turns_later(now_ms);
  return false;
}

replication::Flow::Credit Partitions::take_credit(BrokerId to, replication::Urgency urgency,
                                                  size_t bytes) {
  if (urgency == replication::Urgency::kCatchUp) {
    catch_up_bytes_.Increment(static_cast<double>(bytes));
  }
  return flow_.take(to, urgency, bytes, mono_ms());
}

// Not inside the shard's turn that gave bytes back.
void Partitions::give_turns_soon() {
  if (!*alive_ || std::exchange(turns_posted_, true)) return;
  parts_.executor.post([this, alive = alive_] {
    if (*alive) give_turns();
  });
}

// When it is the rate that holds somebody back.
void Partitions::give_turns_later(int64_t now_ms) {
  auto wait_ms = flow_.retry_after_ms(now_ms);
  if (!wait_ms || std::exchange(turns_scheduled_, true)) return;
  parts_.executor.schedule_after(*wait_ms, [this, alive = alive_] {
    if (!*alive) return;
    turns_scheduled_ = false;
    give_turns_soon();
  });
}

// One append of catch-up data in a turn of the reactor: producers come in between.
void Partitions::give_turns() {
  turns_posted_ = false;
  while (auto turn = flow_.next(mono_ms())) {
    if (Partition* partition = find(turn->shard)) partition->on_turn(turn->peer);
    if (turn->urgency == replication::Urgency::kCatchUp) return give_turns_soon();
  }
  give_turns_later(mono_ms());
}

void Partitions::answer_new_term(const ShardId& shard, const replication::HeadAnswer& answer) {
  cluster::v1::NewTermResult result;
  result.mutable_shard()->set_stream_id(shard.stream.to_string());
  result.mutable_shard()->set_index(shard.index);
  result.set_term(answer.asked.value);
  result.set_accepted(answer.accepted);
  result.set_current_term(answer.current.value);
  result.set_adopted_term(answer.adopted.value);
  result.set_end_offset(answer.end.value);
  result.set_directory(parts_.store.directory_id().to_string());
  result.set_tail_lost(answer.tail_lost);
  parts_.session.answer(result);
}

void Partitions::report(const ShardId& shard) {
  count_roles_soon();
  Partition* partition = find(shard);
  if (!partition) return;
  if (auto report = partition->leader_report()) parts_.session.report(*report);
}

void Partitions::resign(const ShardId& shard, Term term, const std::string& why) {
  cluster::v1::NewTermResult message;  // that nobody asked for: this broker cannot lead
  message.mutable_shard()->set_stream_id(shard.stream.to_string());
  message.mutable_shard()->set_index(shard.index);
  message.set_term(term.value);
  message.set_current_term(-1);
  message.set_directory(parts_.store.directory_id().to_string());
  message.set_error(why);
  parts_.session.answer(message);
}

void Partitions::transfer_ready(const ShardId& shard, Term term, BrokerId target, bool ready) {
  cluster::v1::TransferReady message;
  message.mutable_shard()->set_stream_id(shard.stream.to_string());
  message.mutable_shard()->set_index(shard.index);
  message.set_term(term.value);
  message.set_target(target.value);
  message.set_ready(ready);
  parts_.session.transfer_ready(message);
}

void Partitions::want_tick(const ShardId& shard) {
  ticking_.insert(shard);
  if (tick_scheduled_) return;
  tick_scheduled_ = true;
  parts_.executor.schedule_after(kTickMs, [this] { tick(); });
}

void Partitions::tick() {
  tick_scheduled_ = false;
  auto due = std::exchange(ticking_, {});
  for (const ShardId& id : due) {
    Partition* partition = find(id);
    if (partition && partition->tick()) want_tick(id);
  }
}

void Partitions::retention() {
  for (auto& [id, partition] : partitions_) {
    partition->apply_retention(parts_.store);
    partition->expire_producers(parts_.clock.wall_ms() - kProducerIdExpirationMs);
  }
  parts_.executor.schedule_after(kRetentionMs, [this] { retention(); });
}

}  // namespace broker::partition
