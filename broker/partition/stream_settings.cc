// What a stream's settings do to an append: its limits, whose time records get, and their compression.
#include "broker/model/compression.h"
#include "broker/model/records.h"
#include "broker/partition/partition.h"

namespace broker::partition {
namespace {

constexpr size_t kDecompressedBytesMax = 64 << 20;  // of one batch

}  // namespace

Status Partition::throttled(int64_t records, int64_t bytes) {
  load().throttled(records, bytes);
  return Status(Code::kResourceExhausted, "the shard's limits are reached");
}

// A change of the limits begins a new count.
void Partition::follow_limits() {
  const auto& attributes = stream_->map.attributes();
  auto it = attributes.find(kLimitsAttribute);
  std::string word = it == attributes.end() ? "" : it->second;
  if (word == limits_word_) return;
  limits_word_ = word;
  limits_.reset();
  auto limits = parse_limits(word);
  if (limits.ok() && limits->has_value()) limits_.emplace(**limits);
}

std::string_view Partition::setting(const char* name) const {
  const auto& settings = stream_->map.config().kafka();
  if (settings.empty()) return {};
  auto found = settings.find(name);
  return found == settings.end() ? std::string_view() : std::string_view(found->second);
}

bool Partition::stamps_append_time() const {
  return setting("message.timestamp.type") == "LogAppendTime";
}

// Kafka's compression.type: only where the stream asks for a codec is a batch ever opened here.
Status Partition::compress_as_asked(Buffer& bytes, BatchHeader& header) const {
  auto codec = parse_compression(setting("compression.type"));
  if (!codec || *codec == header.compression() || header.control()) return {};
  ASSIGN_OR_RETURN(std::string again, recompress(bytes.view(), *codec, kDecompressedBytesMax));
  bytes = Buffer::from_string(std::move(again));
  ASSIGN_OR_RETURN(header, parse_batch_header(bytes.view()));
  return {};
}

}  // namespace broker::partition
