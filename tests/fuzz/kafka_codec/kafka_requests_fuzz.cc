// libFuzzer target: a request frame as a broker receives it, header first. What is accepted must be
// encoded and decoded to the same value.
#include "broker/base/check.h"
#include "broker/protocol/kafka/frames.h"
#include "broker/protocol/kafka/messages/all.h"

namespace broker::protocol::kafka {
namespace {

template <class Request>
void check(Reader& in, int16_t version) {
  auto request = decode_body<Request>(in, version);
  if (!request.ok()) return;
  Writer out;
  encode_fields(out, version, *request);
  Buffer bytes = Buffer::from_string(out.take_flat());
  Reader second(bytes);
  auto again = decode_body<Request>(second, version);
  CHECK(again.ok() && second.remaining() == 0);
  if (*request == *request) CHECK(*again == *request);  // a NaN is equal to nothing
}

void run(std::string_view input) {
  Buffer frame = Buffer::copy_of(input);
  Reader in(frame);
  RequestHeader header;
  if (!decode_header(in, header)) return;
  const ApiInfo* api = find_api(header.api_key);
  if (api == nullptr || header.api_version < api->version_min ||
      header.api_version > api->version_max) {
    return;
  }
  switch (api->key) {
#define SL_CASE(Name)   \
  case ApiKey::k##Name: \
    return check<Name##Request>(in, header.api_version);
    SL_KAFKA_FOR_EACH_API(SL_CASE)
#undef SL_CASE
  }
}

}  // namespace
}  // namespace broker::protocol::kafka

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  broker::protocol::kafka::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
