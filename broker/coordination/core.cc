// Start, and what follows every input: look at each map that may need a step, write, send.
#include "broker/coordination/core.h"

#include <algorithm>

#include "broker/base/log.h"

namespace broker::coordination {
namespace {
constexpr int64_t kScanMs = 100;
constexpr int64_t kPlanMs = 250;
constexpr int64_t kLoadRetryMs = 500;
}  // namespace

Core::Core(CoordinatorOptions options, env::Clock& clock, env::Random& random, MetadataStore& store,
           Outbox& outbox, Observer* observer)
    : options_(std::move(options)),
      clock_(clock),
      random_(random),
      store_(store),
      outbox_(outbox),
      observer_(observer ? observer : &silent_observer_),
      metering_interval_ms_(options_.metering_interval_ms) {}

Core::~Core() {
  *alive_ = false;
  store_.set_listener(nullptr);
}

void Core::start() {
  load();
}

void Core::load() {
  loading_ = true;
  store_.load([this, alive = alive_](Result<StoreContents> contents) {
    if (!*alive) return;
    heard_something();
    loading_ = false;
    if (contents.ok()) {
      loaded_contents(std::move(*contents));
    } else {
      load_error_ = contents.status();
      load_again_ms_ = now() + kLoadRetryMs;
      log_error("coordinator", "cannot load the metadata",
                {{"cluster", options_.cluster}, {"error", load_error_.to_string()}});
    }
    settle();
  });
}

void Core::loaded_contents(StoreContents contents) {
  loaded_ = true;
  store_declares_ = contents.declarations.has_value();
  load_error_ = Status();
  cluster_id_ = contents.cluster_id;
  client_quotas_ = std::move(contents.client_quotas);
  started_ms_ = now();
  calm_since_ms_ = now();
  for (auto& stored : contents.maps) {
    Stream& stream = take_in(std::move(stored));
    if (!contents.declarations && !stream.map.deleting()) {
      declared_[stream.map.stream()] = {stream.map.stream(), stream.map.config()};
    }
  }
  if (contents.ledger) {
    ledger_ = stored_ledger_ = std::move(contents.ledger->ledger);
    ledger_version_ = std::move(contents.ledger->version);
    metered_brokers_.insert(ledger_.brokers().begin(), ledger_.brokers().end());
    const auto removing = ledger_.removing();
    for (const auto& id : removing) {
      if (!streams_.count(id)) ledger_dirty_ |= metering::forget_folded(ledger_, id);
    }
  }
  for (const auto& declaration : contents.declarations.value_or(std::vector<StreamDeclaration>())) {
    declared_[declaration.name] = declaration;
  }
  if (contents.declarations) {
    for (auto& [id, stream] : streams_) {
      // Nobody wants it any more. Whether its records may go is not known: they stay.
      if (!declared_.count(stream.map.stream()) && !stream.map.deleting()) {
        stream.withdrawn = stream.keep_data = true;
      }
    }
  }
  streams_dirty_ = true;
  something_changed_ = true;
  for (auto& [id, session] : sessions_) {
    if (session.broker >= 0) push_full(session);
  }
  log_info("coordinator", "metadata loaded",
           {{"cluster", options_.cluster}, {"streams", streams_.size()}});
}

int64_t Core::tick() {
  stepping_ = true;
  step();
  stepping_ = false;
  const int64_t next = next_tick_ms();
  waits_ = next > now() + kTickMs;
  return next;
}

void Core::heard_something() {
  heard_ms_ = now();
  if (!waits_) return;
  waits_ = false;
  last_tick_ms_ = now();  // nobody was to tick meanwhile: that is no standstill of this process
  if (wake_) wake_();
}

// Without brokers and maps nothing but an input changes what a scan and a plan find, once the times that
// both know of have passed.
int64_t Core::next_tick_ms() const {
  if (!loaded_) return loading_ ? kNever : load_again_ms_;
  if (!sessions_.empty() || !streams_.empty() || !pending_.empty() || streams_dirty_) return 0;
  const int64_t looked_ms = std::min({last_scan_ms_, last_plan_ms_, ledger_look_ms_ - kLevelsMs});
  if (looked_ms <= heard_ms_) return 0;
  int64_t next = kNever;
  for (int64_t then_ms : {started_ms_ + options_.grace_ms, calm_since_ms_ + options_.steady_ms}) {
    if (looked_ms < then_ms) next = std::min(next, then_ms);
  }
  if (ledger_dirty_ && !ledger_busy_) {
    const bool soon = ledger_urgent_ || ledger_written_ms_ < 0;
    const int64_t due_ms = soon ? 0 : ledger_written_ms_ + metering_interval_ms_;
    next = std::min(next, ledger_retry_ms_ >= 0 ? ledger_retry_ms_ : due_ms);
  }
  return next;
}

void Core::step() {
  const int64_t time = now();
  if (!loaded_) {
    if (!loading_ && time >= load_again_ms_) load();
    return;
  }
  watch_silence();
  retry_reads();
  if (time - last_scan_ms_ >= kScanMs) {
    last_scan_ms_ = time;
    mark_all_dirty();
    streams_dirty_ = true;
  }
  if (time - last_plan_ms_ >= kPlanMs) {
    last_plan_ms_ = time;
    if (may_elect()) plan();
  }
  write_usage();
  follow_levels();
  write_ledger();
  settle();
}

// A map that is in the store.
Stream& Core::take_in(StoredMap stored) {
  Stream& stream = streams_[stored.map.stream_id()];
  stream.name = stored.map.stream();
  stream.map = std::move(stored.map);
  stream.version = std::move(stored.version);
  for (const auto& shard : stream.map.shards()) {
    for (const auto& replica : voters_of(shard)) {
      peers_[replica.broker()].info.set_id(replica.broker());
    }
  }
  return stream;
}

void Core::mark_all_dirty() {
  for (auto& [id, stream] : streams_) stream.dirty = true;
}

void Core::settle() {
  if (!stepping_) heard_something();
  if (!loaded_) return;
  if (streams_dirty_) {
    streams_dirty_ = false;
    reconcile_streams();
    for (auto& [id, stream] : streams_) adopt_copies(stream);
  }
  resume_leaving();
  for (auto& [id, stream] : streams_) {
    if (!stream.dirty) continue;
    stream.dirty = false;
    evaluate(stream);
  }
  for (auto& [id, stream] : streams_) flush(stream);
  send_new_terms();
  check_pending();
  if (something_changed_ && changed_) changed_();
  something_changed_ = false;
}

void Core::evaluate(Stream& stream) {
  if (!stream.stored() || stream.removing) return;
  if (stream.withdrawn || stream.map.deleting()) return step_deletion(stream);
  Wanted wanted;
  for (const auto& shard : stream.map.shards()) {
    Live& live = stream.live[shard.index()];
    if (live.busy) continue;
    if (!shard.has_leader()) {
      step_election(stream, shard, live, wanted);
    } else {
      live.election.reset();
      live.preferred = -1;
      evaluate_led(stream, shard, live, wanted);
    }
  }
  if (!wanted.terms.empty()) queue_terms(stream, std::move(wanted.terms));
  if (!wanted.leaders.empty()) queue_leaders(stream, std::move(wanted.leaders));
}

void Core::evaluate_led(Stream& stream, const Shard& shard, Live& live, Wanted& wanted) {
  if (live.report && live.report->term() != shard.term()) live.report.reset();
  if (live.transfer && live.transfer->term != shard.term()) live.transfer.reset();
  std::string reason = reason_to_elect(stream, shard, live);
  if (!reason.empty()) {
    live.transfer.reset();
    wanted.terms.push_back({shard.index(), shard.term(), shard.term() + 1, reason});
    return;
  }
  if (shard.state() == sluice::v1::SHARD_STATE_SEALING) step_sealing(stream, shard);
  if (live.busy || step_transfer(stream, shard, live, wanted)) return;
  step_membership(stream, shard, live, wanted);
}

Stream* Core::find_stream(const std::string& name) {
  for (auto& [id, stream] : streams_) {
    if (stream.stored() && stream.map.stream() == name && !stream.map.deleting() &&
        !stream.withdrawn) {
      return &stream;
    }
  }
  return nullptr;
}

const Stream* Core::find_stream(const std::string& name) const {
  return const_cast<Core*>(this)->find_stream(name);
}

Stream* Core::find_stream_by_id(const std::string& id) {
  auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : &it->second;
}

std::vector<const ShardMap*> Core::maps() const {
  std::vector<const ShardMap*> out;
  for (const auto& [id, stream] : streams_) {
    if (stream.stored()) out.push_back(&stream.map);
  }
  return out;
}

const ShardMap* Core::map_of(const std::string& name) const {
  const Stream* stream = find_stream(name);
  return stream ? &stream->map : nullptr;
}

}  // namespace broker::coordination
