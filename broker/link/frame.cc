#include "broker/link/frame.h"

namespace broker::link {
namespace {
constexpr uint8_t kProtocolVersion = 1;
}

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
  if (!in.ok() || in.remaining() > 0) return Status(Code::kCorruption, "malformed hello");
  if (version != kProtocolVersion) {
    return Status(Code::kUnsupported, "the peer speaks broker link version " +
                                          std::to_string(version) + ", this broker 1");
  }
  return hello;
}

}  // namespace broker::link
