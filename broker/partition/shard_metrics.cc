#include "broker/partition/shard_metrics.h"

#include "broker/model/records.h"

namespace broker::partition {
namespace {

constexpr const char* kBytesIn = "sluice_shard_bytes_in_total";
constexpr const char* kRecordsIn = "sluice_shard_records_in_total";
constexpr const char* kBytesOut = "sluice_shard_bytes_out_total";
constexpr const char* kRecordsOut = "sluice_shard_records_out_total";
constexpr const char* kRecordsThrottled = "sluice_shard_throttled_records_total";
constexpr const char* kBytesThrottled = "sluice_shard_throttled_bytes_total";
constexpr const char* kHeat = "sluice_shard_heat_bytes_total";
constexpr const char* kHotKeyShare = "sluice_shard_hot_key_share";
constexpr double kHotShare = 0.2;  // below it a key is not worth a series
constexpr size_t kDecompressedMax = 16 << 20;

Metrics::Labels labels(const std::string& stream, int32_t shard) {
  return {{"stream", stream}, {"shard", std::to_string(shard)}};
}

}  // namespace

ShardMetrics::ShardMetrics(Metrics& metrics, const std::string& stream, int32_t shard,
                           std::optional<coordination::KeyRange> range)
    : metrics_(metrics),
      range_(range),
      bytes_in_(metrics.counter(kBytesIn, "Bytes of record batches appended.",
                                labels(stream, shard))),
      records_in_(metrics.counter(kRecordsIn, "Records appended.", labels(stream, shard))),
      bytes_out_(metrics.counter(kBytesOut, "Bytes of record batches read.",
                                 labels(stream, shard))),
      records_out_(metrics.counter(kRecordsOut, "Records in batches read.",
                                   labels(stream, shard))),
      records_throttled_(metrics.counter(kRecordsThrottled,
                                         "Records that the shard's limits refused.",
                                         labels(stream, shard))),
      bytes_throttled_(metrics.counter(kBytesThrottled, "Bytes that the shard's limits refused.",
                                       labels(stream, shard))),
      labels_(labels(stream, shard)) {
  if (!range_) return;
  for (size_t part = 0; part < kHeatParts; part++) {
    auto with_part = labels(stream, shard);
    with_part["part"] = std::to_string(part);
    heat_[part] = &metrics.counter(
        kHeat, "Bytes appended by sixteenth of the shard's hash range.", with_part);
  }
}

ShardMetrics::~ShardMetrics() {
  metrics_.remove_counter(kBytesIn, bytes_in_);
  metrics_.remove_counter(kRecordsIn, records_in_);
  metrics_.remove_counter(kBytesOut, bytes_out_);
  metrics_.remove_counter(kRecordsOut, records_out_);
  metrics_.remove_counter(kRecordsThrottled, records_throttled_);
  metrics_.remove_counter(kBytesThrottled, bytes_throttled_);
  if (hottest_share_) metrics_.remove_gauge(kHotKeyShare, *hottest_share_);
  for (auto* counter : heat_) {
    if (counter) metrics_.remove_counter(kHeat, *counter);
  }
}

void ShardMetrics::appended(const Batch& batch) {
  bytes_in_.Increment(static_cast<double>(batch.bytes.size()));
  records_in_.Increment(batch.header.record_count);
  if (range_) heat(batch);
}

void ShardMetrics::read(size_t bytes, int64_t records) {
  bytes_out_.Increment(static_cast<double>(bytes));
  records_out_.Increment(static_cast<double>(records));
}

void ShardMetrics::throttled(int64_t records, int64_t bytes) {
  records_throttled_.Increment(static_cast<double>(records));
  bytes_throttled_.Increment(static_cast<double>(bytes));
}

// By the records' keys: those published with an explicit hash key count where their key would be.
void ShardMetrics::heat(const Batch& batch) {
  auto records = RecordIterator::open(batch.bytes.view(), kDecompressedMax);
  if (!records.ok()) return;  // heat is a hint
  coordination::HashKey width = (range_->last - range_->first) / kHeatParts + 1;
  Record record;
  while (records->next(record)) {
    auto key = coordination::hash_key_of(record.key.value_or(""));
    if (!range_->contains(key)) continue;
    auto part = static_cast<size_t>((key - range_->first) / width);
    auto bytes =
        static_cast<double>(record.key.value_or("").size() + record.value.value_or("").size());
    heat_[part]->Increment(bytes);
    hitters_.add(record.key.value_or(""), key, bytes);
  }
  if (auto hottest = hitters_.end_of_round()) show_hottest(*hottest);
}

// One series at a time: that of the key that weighs most now.
void ShardMetrics::show_hottest(const HeavyHitters::Hottest& hottest) {
  bool worth = hottest.share >= kHotShare;
  if (hottest_share_ && (!worth || hottest.key != hottest_)) {
    metrics_.remove_gauge(kHotKeyShare, *hottest_share_);
    hottest_share_ = nullptr;
  }
  if (!worth) return;
  if (!hottest_share_) {
    hottest_ = hottest.key;
    auto with_key = labels_;
    with_key["key"] = hottest.key;
    with_key["hash_key"] = coordination::format_hash_key(hottest.at);
    hottest_share_ = &metrics_.gauge(
        kHotKeyShare, "Share of the shard's bytes that its heaviest key has.", with_key);
  }
  hottest_share_->Set(hottest.share);
}

}  // namespace broker::partition
