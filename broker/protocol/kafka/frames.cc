#include "broker/protocol/kafka/frames.h"

namespace broker::protocol::kafka {
namespace {

bool has_flexible_header(const ApiInfo* api, int16_t version) {
  return api != nullptr && version >= api->flexible_from;
}

}  // namespace

const ApiInfo* find_api(int16_t api_key) {
  for (const ApiInfo& api : kApis) {
    if (static_cast<int16_t>(api.key) == api_key) return &api;
  }
  return nullptr;
}

bool decode_header(Reader& in, RequestHeader& header) {
  header.api_key = in.i16();
  header.api_version = in.i16();
  header.correlation_id = in.i32();
  const ApiInfo* api = find_api(header.api_key);
  if (!in.ok() || api == nullptr || header.api_version < 0 ||
      header.api_version > api->version_max) {
    return in.ok();
  }
  in.string(false, true, header.client_id);  // not compact, even in flexible headers
  if (has_flexible_header(api, header.api_version)) in.unknown_tags(header.unknown_tags);
  return in.ok();
}

void encode_header(Writer& out, const RequestHeader& header) {
  out.i16(header.api_key);
  out.i16(header.api_version);
  out.i32(header.correlation_id);
  out.string(false, true, header.client_id);
  if (has_flexible_header(find_api(header.api_key), header.api_version)) {
    TagWriter(out).finish(header.unknown_tags);
  }
}

int response_header_version(int16_t api_key, int16_t version) {
  if (api_key == static_cast<int16_t>(ApiKey::kApiVersions)) return 0;
  return has_flexible_header(find_api(api_key), version) ? 1 : 0;
}

}  // namespace broker::protocol::kafka
