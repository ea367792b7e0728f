#include "broker/handlers/kinesis/streams.h"

#include <algorithm>
#include <cstdlib>

#include "broker/base/bytes.h"
#include "broker/handlers/kinesis/attributes.h"
#include "broker/partition/shard_limits.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;
constexpr int32_t kRecordKibDefault = 1024;
constexpr int32_t kBatchRoomBytes = 64 << 10;

// AWS's partition of a region.
std::string_view partition_of(std::string_view region) {
  if (region.starts_with("cn-")) return "aws-cn";
  if (region.starts_with("us-gov-")) return "aws-us-gov";
  return "aws";
}

bool may_have_records(const cluster::Stream& stream, const v1::Shard& shard, int64_t now_ms) {
  const int64_t retention_ms = stream.map.config().retention_ms();
  return shard.state() != v1::SHARD_STATE_CLOSED || retention_ms < 0 ||
         shard.closed_ms() + retention_ms > now_ms;
}

}  // namespace

std::string stream_arn(const wire::Caller& caller, const std::string& name) {
  return "arn:" + std::string(partition_of(caller.region)) + ":kinesis:" + caller.region + ":" +
         caller.account + ":stream/" + name;
}

std::string consumer_arn(const wire::Caller& caller, const std::string& stream,
                         const std::string& consumer, int64_t created_ms) {
  return stream_arn(caller, stream) + "/consumer/" + consumer + ":" +
         std::to_string(created_ms / 1000);
}

// arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME[/consumer/NAME:CREATED]
std::optional<ArnParts> parse_arn(std::string_view arn) {
  std::vector<std::string_view> fields;
  for (int i = 0; i < 5; ++i) {
    size_t colon = arn.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    fields.push_back(arn.substr(0, colon));
    arn.remove_prefix(colon + 1);
  }
  constexpr std::string_view kStream = "stream/", kConsumer = "/consumer/";
  if (fields[0] != "arn" || fields[2] != "kinesis" || !arn.starts_with(kStream)) {
    return std::nullopt;
  }
  arn.remove_prefix(kStream.size());
  ArnParts parts;
  parts.account = fields[4];
  size_t slash = arn.find('/');
  parts.stream = arn.substr(0, slash);
  if (slash == std::string_view::npos) return parts;
  arn.remove_prefix(slash);
  size_t colon = arn.rfind(':');
  if (!arn.starts_with(kConsumer) || colon == std::string_view::npos || colon < kConsumer.size()) {
    return std::nullopt;
  }
  parts.consumer = arn.substr(kConsumer.size(), colon - kConsumer.size());
  parts.consumer_created_s = std::strtoll(std::string(arn.substr(colon + 1)).c_str(), nullptr, 10);
  return parts;
}

std::string stream_id_text(const Uuid& id) {
  unsigned __int128 value = 0;
  for (uint8_t byte : id.bytes) value = value << 8 | byte;
  std::string text;
  for (int i = 0; i < 23; ++i, value /= 36) {
    if (i == 20) text += '-';
    text += "0123456789abcdefghijklmnopqrstuvwxyz"[static_cast<size_t>(value % 36)];
  }
  return text;
}

std::string_view status_of(const cluster::Stream& stream) {
  if (stream.map.deleting()) return wire::StreamStatus::kDeleting;
  bool led_once = true, resharding = false;
  for (const auto& shard : stream.map.shards()) {
    // A shard of a split is led by its parent's broker at once; a new stream's first waits.
    if (shard.parents().empty() && shard.term() <= 0 && !shard.has_leader()) led_once = false;
    if (shard.state() == v1::SHARD_STATE_SEALING) resharding = true;
  }
  if (!led_once) return wire::StreamStatus::kCreating;
  if (resharding || !attributes::get(stream, attributes::kTargetShards).empty()) {
    return wire::StreamStatus::kUpdating;
  }
  return wire::StreamStatus::kActive;
}

bool is_active(const cluster::Stream& stream) {
  return status_of(stream) == wire::StreamStatus::kActive;
}

bool is_on_demand(const cluster::Stream& stream) {
  return attributes::get(stream, attributes::kMode) == wire::StreamMode::kOnDemand;
}

int64_t created_ms(const cluster::Stream& stream) {
  int64_t created = INT64_MAX;
  for (const auto& shard : stream.map.shards()) created = std::min(created, shard.opened_ms());
  return created == INT64_MAX ? 0 : created;
}

// Retention for ever, or of minutes, is not Kinesis's to tell: it is shown as the nearest.
int32_t retention_hours(const cluster::Stream& stream) {
  const int64_t ms = stream.map.config().retention_ms();
  if (ms < 0) return INT32_MAX;
  return static_cast<int32_t>(std::clamp<int64_t>((ms + kHourMs - 1) / kHourMs, 1, INT32_MAX));
}

int32_t record_kib(const cluster::Stream& stream) {
  return static_cast<int32_t>(
      attributes::get_number(stream, attributes::kRecordKib, kRecordKibDefault));
}

int32_t open_shards(const cluster::Stream& stream) {
  return static_cast<int32_t>(std::count_if(
      stream.map.shards().begin(), stream.map.shards().end(),
      [](const v1::Shard& shard) { return shard.state() != v1::SHARD_STATE_CLOSED; }));
}

int32_t record_bytes_max(int32_t kib) {
  return kib * 1024 + kBatchRoomBytes;
}

bool has_limits(const cluster::Stream& stream) {
  auto limits = partition::parse_limits(attributes::get(stream, partition::kLimitsAttribute));
  return limits.ok() && limits->has_value();
}

coordination::KeyRange range_of(const cluster::Stream& stream, const v1::Shard& shard) {
  if (stream.elastic()) {
    auto range = coordination::parse_range(shard.hash_range());
    return range.ok() ? *range : coordination::KeyRange{};
  }
  auto ranges = coordination::split_equally({}, std::max(1, stream.map.shards_size()));
  CHECK(ranges.ok());
  for (int i = 0; i < stream.map.shards_size(); ++i) {
    if (stream.map.shards(i).index() == shard.index()) return (*ranges)[static_cast<size_t>(i)];
  }
  return {};
}

SequenceNumber sequence_number(const cluster::Stream& stream, const v1::Shard& shard,
                               Offset offset) {
  return sequence_number_of(stream.id, shard.index(), shard.opened_generation(), offset);
}

wire::Shard describe(const cluster::Stream& stream, const v1::Shard& shard) {
  wire::Shard out;
  out.shard_id = format_shard_id(shard.index());
  if (shard.parents_size() > 0) out.parent_shard_id = format_shard_id(shard.parents(0));
  if (shard.parents_size() > 1) out.adjacent_parent_shard_id = format_shard_id(shard.parents(1));
  const auto range = range_of(stream, shard);
  out.hash_key_range = {coordination::format_hash_key(range.first),
                        coordination::format_hash_key(range.last)};
  // Place 0 comes before the first record, the place of the seal after the last.
  out.sequence_number_range.starting_sequence_number =
      format_sequence_number(sequence_number(stream, shard, Offset{-1}));
  if (shard.state() == v1::SHARD_STATE_CLOSED) {
    out.sequence_number_range.ending_sequence_number =
        format_sequence_number(sequence_number(stream, shard, Offset{shard.end_offset() - 1}));
  }
  return out;
}

std::vector<const v1::Shard*> live_shards(const cluster::Stream& stream, int64_t now_ms) {
  std::vector<const v1::Shard*> out;
  for (const auto& shard : stream.map.shards()) {
    if (may_have_records(stream, shard, now_ms)) out.push_back(&shard);
  }
  std::sort(out.begin(), out.end(),
            [](const v1::Shard* a, const v1::Shard* b) { return a->index() < b->index(); });
  return out;
}

const v1::Shard* find_shard(const cluster::Stream& stream, std::string_view shard_id) {
  auto index = parse_shard_id(shard_id);
  return index ? stream.shard(*index) : nullptr;
}

std::vector<wire::ChildShard> children_of(const cluster::Stream& stream, const v1::Shard& shard) {
  std::vector<wire::ChildShard> out;
  for (int32_t index : shard.children()) {
    const v1::Shard* child = stream.shard(index);
    if (!child) continue;
    wire::ChildShard entry;
    entry.shard_id = format_shard_id(index);
    for (int32_t parent : child->parents()) {
      entry.parent_shards.push_back(format_shard_id(parent));
    }
    const auto range = range_of(stream, *child);
    entry.hash_key_range = {coordination::format_hash_key(range.first),
                            coordination::format_hash_key(range.last)};
    out.push_back(std::move(entry));
  }
  return out;
}

KeyTable::KeyTable(const cluster::Stream& stream) {
  if (stream.elastic()) {
    for (const auto& shard : stream.map.shards()) {
      if (shard.state() == v1::SHARD_STATE_CLOSED) continue;
      entries_.push_back({range_of(stream, shard), shard.index()});
    }
  } else {
    auto ranges = coordination::split_equally({}, std::max(1, stream.map.shards_size()));
    CHECK(ranges.ok());
    for (int i = 0; i < stream.map.shards_size(); ++i) {
      entries_.push_back({(*ranges)[static_cast<size_t>(i)], stream.map.shards(i).index()});
    }
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.range.first < b.range.first; });
}

std::optional<int32_t> KeyTable::shard_of(coordination::HashKey key) const {
  auto it = std::upper_bound(
      entries_.begin(), entries_.end(), key,
      [](coordination::HashKey k, const Entry& entry) { return k < entry.range.first; });
  if (it == entries_.begin()) return std::nullopt;
  --it;
  if (!it->range.contains(key)) return std::nullopt;
  return it->shard;
}

KeyTables::KeyTables(cluster::Metadata& metadata)
    : tables_(std::make_shared<std::unordered_map<Uuid, Entry>>()) {
  metadata.add_listener([tables = tables_](const cluster::Metadata::Change& change) {
    for (const auto& stream : change.changed) tables->erase(stream->id);
    for (const auto& stream : change.removed) tables->erase(stream->id);
  });
}

std::shared_ptr<const KeyTable> KeyTables::of(const StreamPtr& stream) {
  Entry& entry = (*tables_)[stream->id];
  if (entry.stream != stream) entry = {stream, std::make_shared<const KeyTable>(*stream)};
  return entry.table;
}

}  // namespace broker::handlers::kinesis
