// Usage: what leaders count goes into the maps, the brokers' time into the ledger; both seldom, and
// only when there is something to write. broker/metering has the arithmetic.
#include <google/protobuf/util/message_differencer.h>

#include "broker/base/log.h"
#include "broker/coordination/core.h"
#include "broker/metering/bill.h"

namespace broker::coordination {
namespace {

constexpr int64_t kLedgerRetryMs = 1000;

}  // namespace

void Core::on_usage(Session& session, const sluice::v1::UsageReports& message) {
  for (const auto& report : message.shards()) {
    Stream* stream = find_stream_by_id(report.stream_id());
    const Shard* shard = stream ? find_shard_by_index(stream->map, report.shard()) : nullptr;
    if (!shard || shard->term() != report.term() || !shard->has_leader() ||
        shard->leader() != session.broker) {
      continue;  // another leader counts from here on
    }
    const Replica* leader = leader_replica(*shard);
    if (!leader || leader->directory() != session.directory) continue;
    stream->usage[report.shard()] = report;
  }
  for (const auto& report : message.traffic()) {
    Stream* stream = find_stream_by_id(report.stream_id());
    if (!stream || report.traffic().directory() != session.directory) continue;
    stream->traffic[session.directory] = report.traffic();
  }
}

// A stream that was quiet is written at once, a busy one once per interval.
void Core::write_usage() {
  for (auto& [id, stream] : streams_) {
    if (now() < next_usage_write_ms_) return;
    if (stream.usage.empty() && stream.traffic.empty()) continue;
    if (!stream.stored() || stream.writing || stream.retry_ms >= 0 || !stream.queued.empty()) {
      continue;
    }
    if (stream.withdrawn || stream.map.deleting()) continue;  // goes into the ledger
    if (stream.metered_ms >= 0 && now() - stream.metered_ms < metering_interval_ms_) {
      continue;
    }
    queue_usage(stream);
  }
}

void Core::queue_usage(Stream& stream) {
  ShardMap trial = stream.map;
  bool news = false;
  const int64_t time = clock_.wall_ms();
  for (const auto& [index, report] : stream.usage) news |= metering::add_usage(trial, report, time);
  for (const auto& [dir, traffic] : stream.traffic) {
    news |= metering::add_traffic(trial, traffic, time);
  }
  Edit edit;
  edit.what = "meter";
  edit.apply = [usage = std::move(stream.usage), traffic = std::move(stream.traffic),
                time](ShardMap& map) {
    bool added = false;
    for (const auto& [index, report] : usage) added |= metering::add_usage(map, report, time);
    for (const auto& [dir, bytes] : traffic) added |= metering::add_traffic(map, bytes, time);
    return added ? Status() : Status(Code::kConflict, "it is counted already");
  };
  stream.usage.clear();
  stream.traffic.clear();
  if (!news) return;
  stream.metered_ms = now();
  next_usage_write_ms_ = now() + metering_interval_ms_ / kMeterWritesPerInterval;
  queue(stream, std::move(edit));
}

void Core::follow_levels() {
  if (now() < ledger_look_ms_) return;
  ledger_look_ms_ = now() + kLevelsMs;
  if (metering::change_levels(ledger_, metering::levels_of(maps(), metered_brokers_),
                              clock_.wall_ms())) {
    ledger_dirty_ = true;
  }
}

// True when the ledger that holds the stream's usage is durable. What its leaders said last goes in too.
bool Core::fold_into_ledger(const Stream& stream) {
  const std::string& id = stream.map.stream_id();
  if (metering::is_folded(stored_ledger_, id)) return true;
  if (!metering::is_folded(ledger_, id)) {
    ShardMap last = stream.map;
    const int64_t time = clock_.wall_ms();
    metering::accrue(last, time);
    for (const auto& [index, report] : stream.usage) metering::add_usage(last, report, time);
    for (const auto& [dir, traffic] : stream.traffic) metering::add_traffic(last, traffic, time);
    metering::fold(ledger_, last, time);
  }
  ledger_dirty_ = ledger_urgent_ = true;
  return false;
}

void Core::write_ledger() {
  if (ledger_busy_ || !ledger_dirty_) return;
  if (ledger_retry_ms_ >= 0) {
    if (now() >= ledger_retry_ms_) read_ledger_again();
    return;
  }
  const bool due = ledger_written_ms_ < 0 || ledger_urgent_ ||
                   now() - ledger_written_ms_ >= metering_interval_ms_;
  if (!due) return;
  ledger_dirty_ = ledger_urgent_ = false;
  ledger_busy_ = true;
  ledger_written_ms_ = now();
  metering::accrue(ledger_, clock_.wall_ms());
  ledger_.set_generation(stored_ledger_.generation() + 1);
  next_ledger_ = ledger_;
  store_.write_ledger(next_ledger_, ledger_version_,
                      [this, alive = alive_](Result<std::string> version) {
                        if (*alive) ledger_written(std::move(version));
                      });
}

void Core::ledger_written(Result<std::string> version) {
  ledger_busy_ = false;
  if (!version.ok()) {
    log_warn("coordinator", "the meter ledger was not written",
             {{"cluster", options_.cluster}, {"error", version.status().to_string()}});
    ledger_dirty_ = true;
    return read_ledger_again();
  }
  stored_ledger_ = next_ledger_;
  ledger_version_ = std::move(*version);
  ledger_changed();
}

// Whatever became of the write: what the store has is what is so.
void Core::read_ledger_again() {
  ledger_busy_ = true;
  ledger_retry_ms_ = -1;
  store_.read_ledger([this, alive = alive_](Result<std::optional<StoredLedger>> stored) {
    if (!*alive) return;
    heard_something();
    ledger_busy_ = false;
    if (!stored.ok()) {
      ledger_dirty_ = true;
      ledger_retry_ms_ = now() + kLedgerRetryMs;
      return;
    }
    StoredLedger found = stored->value_or(StoredLedger());
    const bool ours = google::protobuf::util::MessageDifferencer::Equals(found.ledger, next_ledger_);
    const bool before =
        google::protobuf::util::MessageDifferencer::Equals(found.ledger, stored_ledger_);
    ledger_version_ = found.version;
    if (before && !ours) return;  // our write did not get there: what is in memory goes on
    stored_ledger_ = std::move(found.ledger);
    if (!ours) {
      // Somebody else's, an operator's before this one: time goes on from there.
      ledger_ = stored_ledger_;
      ledger_look_ms_ = 0;
    }
    ledger_changed();
  });
}

void Core::ledger_changed() {
  something_changed_ = true;
  for (auto& [id, stream] : streams_) {
    if (stream.withdrawn || stream.map.deleting()) stream.dirty = true;
  }
  sluice::v1::CoordinatorMessage message;
  message.mutable_metadata()->set_cluster_id(cluster_id_);
  *message.mutable_metadata()->mutable_ledger() = stored_ledger_;
  push_to_all(message);
  settle();
}

void Core::set_prices(const sluice::v1::Prices* prices) {
  sluice::v1::Prices next;
  if (prices) next = *prices;
  if (prices_ && google::protobuf::util::MessageDifferencer::Equals(next, *prices_)) return;
  prices_ = next;
  something_changed_ = true;
  heard_something();
  sluice::v1::CoordinatorMessage message;
  *message.mutable_metadata()->mutable_prices() = next;
  push_to_all(message);
}

const sluice::v1::Prices* Core::prices() const {
  return prices_ && !prices_->currency().empty() ? &*prices_ : nullptr;
}

void Core::set_metering_interval(int64_t ms) {
  if (ms == metering_interval_ms_) return;
  metering_interval_ms_ = ms;
  heard_something();
}

int64_t Core::metered_ms(const std::string& name) const {
  if (!name.empty()) {
    const Stream* stream = find_stream(name);
    return stream ? stream->map.metering().counted_ms() : -1;
  }
  // A ledger that has no broker yet says when it began, and counts nothing.
  const bool counts = stored_ledger_.broker_us() > 0 || stored_ledger_.brokers_size() > 0 ||
                      stored_ledger_.has_removed();
  int64_t latest = counts ? stored_ledger_.at_ms() : -1;
  for (const auto& [id, stream] : streams_) {
    latest = std::max(latest, stream.map.metering().counted_ms());
  }
  return latest;
}

sluice::v1::Bill Core::bill(int64_t now_ms) const {
  metering::BillInput input;
  input.maps = maps();
  input.ledger = &stored_ledger_;
  input.prices = prices();
  input.now_ms = now_ms;
  return metering::make_bill(input);
}

}  // namespace broker::coordination
