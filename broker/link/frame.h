#pragma once
// Frames between brokers: u32 length of what follows | u8 kind | body. One connection a direction:
// each broker dials every other one and sends its own messages on that connection; answers to
// requests go back on the connection they came by.
#include <string>
#include <string_view>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/status.h"

namespace broker::link {

enum class FrameKind : uint8_t {
  kHello = 1,        // first frame of both sides
  kHeartbeat = 2,    // empty
  kReplication = 3,  // replication/core/wire.h
  kRequest = 4,      // u64 id, then routing's request
  kReply = 5,        // u64 id, u8 code, then bytes (code 0) or the error's text
};

inline constexpr size_t kFrameHeader = 5;
inline constexpr uint32_t kFrameBytesMax = 72u << 20;  // above the largest batch

struct Hello {
  std::string cluster;
  BrokerId broker;
  Uuid directory;
};
std::string encode_hello(const Hello& hello);
Result<Hello> decode_hello(std::string_view body);

}  // namespace broker::link
