#include "broker/metering/meter.h"

#include <algorithm>
#include <map>

namespace broker::metering {
namespace {

bool is_open(const v1::Shard& shard) { return shard.state() != v1::SHARD_STATE_CLOSED; }

bool retention_is_extended(const v1::StreamConfig& config) {
  return config.retention_ms() < 0 || config.retention_ms() > kExtendedAfterMs;
}

void add_byte_time(v1::Usage& usage, int64_t bytes, int64_t ms) {
  const auto total = static_cast<__int128>(bytes) * ms + usage.long_term_byte_ms();
  usage.set_long_term_byte_hours(usage.long_term_byte_hours() +
                                 static_cast<int64_t>(total / kHourMs));
  usage.set_long_term_byte_ms(static_cast<int64_t>(total % kHourMs));
}

void add_time(v1::Usage& usage, const v1::ShardMap& map, int64_t ms) {
  if (ms <= 0 || map.deleting()) return;
  int64_t open = 0, old_bytes = 0;
  for (const auto& shard : map.shards()) {
    open += is_open(shard);
    old_bytes += shard.long_term_bytes();
  }
  usage.set_shard_ms(usage.shard_ms() + open * ms);
  if (retention_is_extended(map.config())) {
    usage.set_extended_shard_ms(usage.extended_shard_ms() + open * ms);
  }
  add_byte_time(usage, old_bytes, ms);
}

}  // namespace

void add(v1::Usage& into, const v1::Usage& usage) {
  into.set_put_units(into.put_units() + usage.put_units());
  into.set_records(into.records() + usage.records());
  into.set_bytes(into.bytes() + usage.bytes());
  into.set_shard_ms(into.shard_ms() + usage.shard_ms());
  into.set_extended_shard_ms(into.extended_shard_ms() + usage.extended_shard_ms());
  into.set_long_term_byte_hours(into.long_term_byte_hours() + usage.long_term_byte_hours());
  add_byte_time(into, usage.long_term_byte_ms(), 1);
  into.set_broker_us(into.broker_us() + usage.broker_us());
  into.set_replicated_bytes(into.replicated_bytes() + usage.replicated_bytes());
  into.set_forwarded_bytes(into.forwarded_bytes() + usage.forwarded_bytes());
  into.set_fetched_bytes(into.fetched_bytes() + usage.fetched_bytes());
}

void accrue(v1::ShardMap& map, int64_t now_ms) {
  if (!map.has_metering()) {
    map.mutable_metering()->set_since_ms(now_ms);
    map.mutable_metering()->set_at_ms(now_ms);
    return;
  }
  auto& meter = *map.mutable_metering();
  add_time(*meter.mutable_usage(), map, now_ms - meter.at_ms());
  meter.set_at_ms(std::max(meter.at_ms(), now_ms));
}

bool add_usage(v1::ShardMap& map, const v1::ShardUsage& report, int64_t now_ms) {
  auto& shards = *map.mutable_shards();
  auto shard = std::find_if(shards.begin(), shards.end(),
                            [&](const auto& s) { return s.index() == report.shard(); });
  if (shard == shards.end() || shard->metered_offset() != report.from_offset() ||
      report.to_offset() < report.from_offset()) {
    return false;
  }
  const bool counted = report.to_offset() > report.from_offset();
  if (!counted && report.long_term_bytes() == shard->long_term_bytes()) return false;
  auto& meter = *map.mutable_metering();
  auto& usage = *meter.mutable_usage();
  usage.set_put_units(usage.put_units() + report.put_units());
  usage.set_records(usage.records() + report.records());
  usage.set_bytes(usage.bytes() + report.bytes());
  shard->set_metered_offset(report.to_offset());
  shard->set_long_term_bytes(report.long_term_bytes());
  meter.set_counted_ms(std::max(meter.counted_ms(), now_ms));
  return true;
}

bool add_traffic(v1::ShardMap& map, const v1::ZoneTraffic& traffic, int64_t now_ms) {
  auto& meter = *map.mutable_metering();
  auto& known = *meter.mutable_traffic();
  auto it = std::find_if(known.begin(), known.end(), [&](const auto& t) {
    return t.directory() == traffic.directory();
  });
  v1::ZoneTraffic before;
  if (it != known.end()) before = *it;
  const int64_t replicated = traffic.replicated_bytes() - before.replicated_bytes();
  const int64_t forwarded = traffic.forwarded_bytes() - before.forwarded_bytes();
  const int64_t fetched = traffic.fetched_bytes() - before.fetched_bytes();
  if (replicated <= 0 && forwarded <= 0 && fetched <= 0) return false;
  auto& entry = it != known.end() ? *it : *known.Add();
  auto& usage = *meter.mutable_usage();
  entry.set_directory(traffic.directory());
  if (replicated > 0) {
    entry.set_replicated_bytes(traffic.replicated_bytes());
    usage.set_replicated_bytes(usage.replicated_bytes() + replicated);
  }
  if (forwarded > 0) {
    entry.set_forwarded_bytes(traffic.forwarded_bytes());
    usage.set_forwarded_bytes(usage.forwarded_bytes() + forwarded);
  }
  if (fetched > 0) {
    entry.set_fetched_bytes(traffic.fetched_bytes());
    usage.set_fetched_bytes(usage.fetched_bytes() + fetched);
  }
  meter.set_counted_ms(std::max(meter.counted_ms(), now_ms));
  return true;
}

v1::Usage usage_at(const v1::ShardMap& map, int64_t now_ms) {
  v1::Usage usage = map.metering().usage();
  if (map.has_metering()) add_time(usage, map, now_ms - map.metering().at_ms());
  return usage;
}

Status check_meter(const v1::ShardMap& map, const v1::ShardMap& before) {
  auto back = [](const std::string& what) {
    return Status(Code::kInternal, "the meter went back: " + what);
  };
  if (!before.has_metering()) return {};
  const auto& now = map.metering().usage();
  const auto& old = before.metering().usage();
  if (map.metering().at_ms() < before.metering().at_ms()) return back("its time");
  if (map.metering().since_ms() != before.metering().since_ms()) return back("its beginning");
  if (now.put_units() < old.put_units() || now.records() < old.records() ||
      now.bytes() < old.bytes()) {
    return back("records");
  }
  if (now.shard_ms() < old.shard_ms() || now.extended_shard_ms() < old.extended_shard_ms() ||
      now.long_term_byte_hours() < old.long_term_byte_hours()) {
    return back("time of shards");
  }
  if (now.replicated_bytes() < old.replicated_bytes() ||
      now.forwarded_bytes() < old.forwarded_bytes() ||
      now.fetched_bytes() < old.fetched_bytes()) {
    return back("bytes between zones");
  }
  std::map<int32_t, int64_t> offsets;
  for (const auto& shard : before.shards()) offsets[shard.index()] = shard.metered_offset();
  for (const auto& shard : map.shards()) {
    auto it = offsets.find(shard.index());
    if (it != offsets.end() && shard.metered_offset() < it->second) {
      return back("the offset of shard " + std::to_string(shard.index()));
    }
  }
  return {};
}

}  // namespace broker::metering
