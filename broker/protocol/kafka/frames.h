#pragma once
// Whole Kafka frames: headers, whose form depends on API and version, and bodies. Called by the
// server and by tests' clients. Frames come and go without their four length bytes unless said
// otherwise.
#include <optional>
#include <string>
#include <vector>

#include "broker/base/status.h"
#include "broker/protocol/kafka/api_table.h"
#include "broker/protocol/kafka/codec.h"

namespace broker::protocol::kafka {

struct RequestHeader {
  int16_t api_key = 0;
  int16_t api_version = 0;
  int32_t correlation_id = 0;
  std::optional<std::string> client_id;
  UnknownTags unknown_tags;
  bool operator==(const RequestHeader&) const = default;
};

// What is known about an API key; null for one that has no schema here.
const ApiInfo* find_api(int16_t api_key);

// Reads a header. For an unknown key or version everything after the correlation id is left unread,
// because its form is not known. False when the bytes end too early or contradict themselves.
bool decode_header(Reader& in, RequestHeader& header);
void encode_header(Writer& out, const RequestHeader& header);

// Version of the response's header: 1 adds tagged fields. ApiVersions' is always 0.
int response_header_version(int16_t api_key, int16_t version);

// The body that follows a header. Bytes left over are accepted, as Apache Kafka does.
template <class Request>
Result<Request> decode_body(Reader& in, int16_t version) {
  Request request;
  decode_fields(in, version, request);
  if (!in.ok()) {
    return Status(Code::kInvalidArgument, "malformed request body of API key " +
                                              std::to_string(Request::kApiKey) + " version " +
                                              std::to_string(version));
  }
  return request;
}

// A response frame with its length in front, ready to be sent.
template <class Response>
std::vector<Buffer> encode_response(int32_t correlation_id, int16_t version,
                                    const Response& response) {
  Writer out;
  out.i32(0);
  out.i32(correlation_id);
  if (response_header_version(Response::kApiKey, version) == 1) out.uvarint(0);
  encode_fields(out, version, response);
  out.patch_i32(0, static_cast<int32_t>(out.size() - 4));
  return out.take();
}

// A request frame with its length in front.
template <class Request>
std::string encode_request(const RequestHeader& header, const Request& request) {
  Writer out;
  out.i32(0);
  encode_header(out, header);
  encode_fields(out, header.api_version, request);
  out.patch_i32(0, static_cast<int32_t>(out.size() - 4));
  return out.take_flat();
}

}  // namespace broker::protocol::kafka
