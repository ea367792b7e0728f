#include "broker/partition/producers.h"

namespace broker::partition {
namespace {

constexpr size_t kRemembered = 5;  // batches in flight that Kafka's producer may repeat
constexpr uint8_t kFormat = 1;

// Sequences count 0..2^31-1 and wrap to 0.
int32_t sequence_after(int32_t sequence, int32_t count) {
  return static_cast<int32_t>((static_cast<int64_t>(sequence) + count) & 0x7fffffff);
}

}  // namespace

Producers::Verdict Producers::check(const BatchHeader& header, bool from_zero) const {
  Verdict verdict;
  auto it = producers_.find(header.producer_id);
  if (it == producers_.end()) {
    if (header.base_sequence == 0) return verdict;
    verdict.unknown = true;
    verdict.code = from_zero && !forgot_ ? Code::kOutOfOrderSequence : Code::kUnknownProducer;
    verdict.reason = "producer " + std::to_string(header.producer_id) +
                     " is not known here and starts at sequence 0, not " +
                     std::to_string(header.base_sequence);
    return verdict;
  }
  const Producer& producer = it->second;
  if (!producer.batches.empty()) verdict.last_end = producer.batches.back().end;
  if (header.producer_epoch < producer.epoch) {
    verdict.code = Code::kInvalidProducerEpoch;
    verdict.reason = "epoch " + std::to_string(header.producer_epoch) + " of producer " +
                     std::to_string(header.producer_id) + " was replaced by " +
                     std::to_string(producer.epoch);
    return verdict;
  }
  if (header.producer_epoch > producer.epoch) {
    if (header.base_sequence == 0) return verdict;
    verdict.code = Code::kOutOfOrderSequence;
    verdict.reason = "a new epoch starts at sequence 0, not " +
                     std::to_string(header.base_sequence);
    return verdict;
  }
  int32_t last_sequence = sequence_after(header.base_sequence, header.record_count - 1);
  for (const Stored& stored : producer.batches) {
    if (stored.first_sequence == header.base_sequence && stored.last_sequence == last_sequence) {
      verdict.duplicate = {stored.base, stored.end};
      return verdict;
    }
  }
  if (producer.batches.empty()) return verdict;
  int32_t expected = sequence_after(producer.batches.back().last_sequence, 1);
  if (header.base_sequence == expected) return verdict;
  bool older = static_cast<int32_t>((static_cast<uint32_t>(header.base_sequence) -
                                     static_cast<uint32_t>(expected))
                                    << 1) < 0;
  verdict.code = older ? Code::kDuplicateSequence : Code::kOutOfOrderSequence;
  verdict.reason = "sequence " + std::to_string(header.base_sequence) + " of producer " +
                   std::to_string(header.producer_id) + " where " + std::to_string(expected) +
                   " was expected";
  return verdict;
}

void Producers::apply(const BatchHeader& header) {
  if (!header.idempotent() || header.control()) return;
  Producer& producer = producers_[header.producer_id];
  if (header.producer_epoch != producer.epoch) producer.batches.clear();
  producer.epoch = header.producer_epoch;
  producer.last_timestamp_ms = header.max_timestamp_ms;
  producer.batches.push_back({header.base_sequence,
                              sequence_after(header.base_sequence, header.record_count - 1),
                              header.base_offset, header.end_offset()});
  if (producer.batches.size() > kRemembered) producer.batches.pop_front();
}

void Producers::expire(int64_t timestamp_ms) {
  forgot_ |= std::erase_if(producers_, [&](const auto& entry) {
               return entry.second.last_timestamp_ms < timestamp_ms;
             }) > 0;
}

void Producers::for_each(const std::function<void(const View&)>& visit) const {
  for (const auto& [id, producer] : producers_) {
    int32_t last = producer.batches.empty() ? -1 : producer.batches.back().last_sequence;
    visit({id, producer.epoch, last, producer.last_timestamp_ms});
  }
}

std::string Producers::encode() const {
  std::string blob;
  ByteWriter out(blob);
  out.u8(kFormat);
  out.uvarint32(static_cast<uint32_t>(producers_.size()));
  for (const auto& [id, producer] : producers_) {
    out.i64(id);
    out.i16(producer.epoch);
    out.i64(producer.last_timestamp_ms);
    out.u8(static_cast<uint8_t>(producer.batches.size()));
    for (const Stored& stored : producer.batches) {
      out.i32(stored.first_sequence);
      out.i32(stored.last_sequence);
      out.i64(stored.base.value);
      out.i64(stored.end.value);
    }
  }
  return blob;
}

Result<Producers> Producers::decode(std::string_view blob) {
  ByteReader in(blob);
  Producers table;
  uint8_t format = in.u8();
  uint32_t count = in.uvarint32();
  for (uint32_t i = 0; i < count && in.ok(); i++) {
    int64_t id = in.i64();
    Producer producer;
    producer.epoch = in.i16();
    producer.last_timestamp_ms = in.i64();
    uint8_t batches = in.u8();
    for (uint8_t k = 0; k < batches && in.ok(); k++) {
      Stored stored{};
      stored.first_sequence = in.i32();
      stored.last_sequence = in.i32();
      stored.base = Offset{in.i64()};
      stored.end = Offset{in.i64()};
      producer.batches.push_back(stored);
    }
    table.producers_.emplace(id, std::move(producer));
  }
  if (format != kFormat || !in.ok() || in.remaining() > 0) {
    return Status(Code::kCorruption, "producer table of format " + std::to_string(format));
  }
  return table;
}

}  // namespace broker::partition
