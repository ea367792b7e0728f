#pragma once
// A record's place in Kinesis's words: sequence numbers and shard ids. A sequence number and an
// offset name the same record; the number also names the shard, and it is above every number of
// the shard's parents, because their shards were opened by earlier writes of the stream's map.
// Used by the Kinesis door, the gRPC API and the command line. Pure; any thread.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/ids.h"
#include "broker/base/uuid.h"

namespace broker {

// As a number it has the fields of AWS's numbers, and always 56 digits; from the high end:
//   4 bits: 2 | 36 bits opened generation | 4 bits: the shard's lowest | 64 bits place | 8 bits: 0
//   | 36 bits: a hash of the stream's id, of 28 bits | 32 bits shard | 4 bits: 2, the layout
// (AWS has a time where the generation and the hash are; a clock would not keep the order.)
// A record's place is its offset + 1; place 0 is before the shard's first record (where the shard's
// range of sequence numbers starts), the place of the seal ends it.
struct SequenceNumber {
  uint64_t generation = 0;  // Shard.opened_generation, below 2^36
  int32_t shard = 0;
  uint64_t place = 0;
  uint32_t stream_hash = 0;
  bool operator==(const SequenceNumber&) const = default;
};

uint32_t sequence_stream_hash(const Uuid& stream);
// Of the record at `offset` of a shard.
SequenceNumber sequence_number_of(const Uuid& stream, int32_t shard, int64_t opened_generation,
                                  Offset offset);
std::string format_sequence_number(const SequenceNumber& number);
// Nothing for text that is not a number of this layout.
std::optional<SequenceNumber> parse_sequence_number(std::string_view decimal);

// May it be a sequence number of any stream of Kinesis, AWS's own included (the layout above, or the
// one or the other before it)? AWS takes such as PutRecord's SequenceNumberForOrdering, "0" too.
bool may_be_sequence_number(std::string_view decimal);

// "shardId-000000000042".
std::string format_shard_id(int32_t index);
// Takes a bare number and any word before the hyphen too ("42", "shard-42"), as AWS does.
std::optional<int32_t> parse_shard_id(std::string_view text);

}  // namespace broker
