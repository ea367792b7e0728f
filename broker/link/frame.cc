#include "broker/link/frame.h"

namespace broker::link {
namespace {
// The newest that this broker speaks. Two brokers speak the older one's newest: a later version may only
// add to the hello's end.
constexpr uint8_t kProtocolVersion = 1;
constexpr uint8_t kOldestVersion = 1;
}  // namespace

std::string encode_hello(const Hello& hello) {
  std::string body;
  ByteWriter out(body);
  out.u8(kProtocolVersion);
  out.i32(hello.broker.value);
  out.uuid(hello.directory);
  out.u16(static_cast<uint16_t>(hello.cluster.size()));
  out.bytes(hello.cluster);
  return body;
}

Result<Hello> decode_hello(std::string_view body) {
  ByteReader in(body);
  uint8_t version = in.u8();
  Hello hello;
  hello.broker = BrokerId{in.i32()};
  hello.directory = in.uuid();
  hello.cluster = std::string(in.bytes(in.u16()));
  const bool longer = in.remaining() > 0;
  if (!in.ok() || (longer && version == kProtocolVersion)) {
    return Status(Code::kCorruption, "malformed hello");
  }
  if (version < kOldestVersion) {
    return Status(Code::kUnsupported, "the peer speaks broker link version " + std::to_string(version) +
                                          ", this broker " + std::to_string(kOldestVersion) +
                                          " and later");
  }
  return hello;
}

}  // namespace broker::link
