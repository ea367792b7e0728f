#include "broker/groups/core/consumer_protocol.h"

#include <algorithm>

#include "broker/base/bytes.h"

namespace broker::groups {
namespace {

constexpr int16_t kVersionMax = 3;

std::string read_string(ByteReader& in) {
  int16_t size = in.i16();
  if (size < 0) in.fail();
  return std::string(in.bytes(in.ok() ? static_cast<size_t>(size) : 0));
}

size_t read_count(ByteReader& in) {
  int32_t count = in.i32();
  if (count < 0 || static_cast<size_t>(count) > in.remaining()) in.fail();
  return in.ok() ? static_cast<size_t>(count) : 0;
}

void read_partitions(ByteReader& in, NamedAssignment& out) {
  for (size_t topics = read_count(in); topics > 0 && in.ok(); --topics) {
    auto& partitions = out[read_string(in)];
    for (size_t left = read_count(in); left > 0 && in.ok(); --left) partitions.insert(in.i32());
  }
}

// Null is written as a length of -1.
void skip_bytes(ByteReader& in) {
  int32_t size = in.i32();
  if (size > 0) in.bytes(static_cast<size_t>(size));
}

Status damaged() { return Status(Code::kInvalidArgument, "not a consumer's metadata"); }

}  // namespace

Result<Subscription> parse_subscription(std::string_view bytes) {
  ByteReader in(bytes);
  Subscription out;
  out.version = in.i16();
  if (!in.ok() || out.version < 0) return damaged();
  for (size_t left = read_count(in); left > 0 && in.ok(); --left) out.topics.insert(read_string(in));
  skip_bytes(in);
  if (out.version >= 1 && in.ok() && in.remaining() > 0) read_partitions(in, out.owned);
  if (out.version >= 2 && in.ok() && in.remaining() > 0) out.generation = in.i32();
  if (out.version >= 3 && in.ok() && in.remaining() > 0) {
    int16_t size = in.i16();
    if (size >= 0) out.rack = std::string(in.bytes(static_cast<size_t>(size)));
  }
  if (!in.ok()) return damaged();
  return out;
}

Result<NamedAssignment> parse_assignment(std::string_view bytes) {
  NamedAssignment out;
  if (bytes.empty()) return out;
  ByteReader in(bytes);
  int16_t version = in.i16();
  if (version < 0) return damaged();
  read_partitions(in, out);
  if (!in.ok()) return damaged();
  return out;
}

std::string encode_assignment(int16_t version, const NamedAssignment& assignment) {
  std::string bytes;
  ByteWriter out(bytes);
  out.i16(std::min(version, kVersionMax));
  out.i32(static_cast<int32_t>(assignment.size()));
  for (const auto& [topic, partitions] : assignment) {
    out.i16(static_cast<int16_t>(topic.size()));
    out.bytes(topic);
    out.i32(static_cast<int32_t>(partitions.size()));
    for (int32_t partition : partitions) out.i32(partition);
  }
  out.i32(-1);
  return bytes;
}

}  // namespace broker::groups
