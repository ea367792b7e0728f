// libFuzzer target: a body behind one byte for its operation and one for its format. What is taken
// must be encoded and decoded to the same value.
#include <string>

#include "broker/base/check.h"
#include "broker/protocol/kinesis/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace broker::protocol::kinesis;
  if (size < 2) return 0;
  auto operation = static_cast<Operation>(data[0] % kOperationCount);
  Format format = data[1] % 2 ? Format::kJson : Format::kCbor;
  std::string body(reinterpret_cast<const char*>(data) + 2, size - 2);
  Request request, again;
  if (decode(operation, format, body, request)) return 0;
  std::string out = std::visit([&](auto& message) { return encode(format, message); }, request);
  CHECK(!decode(operation, format, out, again));
  CHECK(again == request);
  return 0;
}
