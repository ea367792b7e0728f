#pragma once
// The codecs of Kafka record batches: gzip, snappy (xerial framing and raw), lz4 frames, zstd.
// Only reading and writing records uses them: a produced batch is stored as it came. Decompression
// never makes more than the caller's bound, whatever the input claims. Stateless; any thread.
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/status.h"
#include "broker/model/record_batch.h"

namespace broker {

// Compresses in the form that every Kafka client reads.
Result<std::string> compress(Compression codec, std::string_view raw);

// kTooLarge when more than `size_max` bytes would come out, kCorruption when the input is damaged.
Result<std::string> decompress(Compression codec, std::string_view compressed, size_t size_max);

std::string_view to_string(Compression codec);
// By Kafka's names in compression.type: uncompressed, gzip, snappy, lz4, zstd; nothing for others.
std::optional<Compression> parse_compression(std::string_view name);

}  // namespace broker
