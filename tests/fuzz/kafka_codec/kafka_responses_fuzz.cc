// libFuzzer target: a response body, behind the key and version of its API. What is accepted must
// be encoded and decoded to the same value.
#include "broker/base/check.h"
#include "broker/protocol/kafka/frames.h"
#include "broker/protocol/kafka/messages/all.h"

namespace broker::protocol::kafka {
namespace {

template <class Response>
void check(Reader& in, int16_t version) {
  auto response = decode_body<Response>(in, version);
  if (!response.ok()) return;
  Writer out;
  encode_fields(out, version, *response);
  Buffer bytes = Buffer::from_string(out.take_flat());
  Reader second(bytes);
  auto again = decode_body<Response>(second, version);
  CHECK(again.ok() && second.remaining() == 0);
  if (*response == *response) CHECK(*again == *response);  // a NaN is equal to nothing
}

void run(std::string_view input) {
  Buffer frame = Buffer::copy_of(input);
  Reader in(frame);
  int16_t key = in.i16(), version = in.i16();
  const ApiInfo* api = find_api(key);
  if (api == nullptr || version < api->version_min || version > api->version_max) return;
  switch (api->key) {
#define SL_CASE(Name)   \
  case ApiKey::k##Name: \
    return check<Name##Response>(in, version);
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
