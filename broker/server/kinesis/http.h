#pragma once
// A request and a response of HTTP, whichever version carried them.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/server/kinesis/sha256.h"

namespace broker::server::kinesis {

using Headers = std::vector<std::pair<std::string, std::string>>;  // names in lower case

struct HttpRequest {
  std::string method;
  std::string target;  // path and query, as sent
  Headers headers;
  std::string body;
  // Made while the body came. None where nothing was to be verified (HttpLimits::hash_bodies).
  std::optional<Digest> body_sha256;
  std::string peer;  // the client's address

  // The first value; empty without one.
  std::string_view header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
  bool has_header(std::string_view name) const {
    return std::any_of(headers.begin(), headers.end(),
                       [&](const auto& header) { return header.first == name; });
  }
};

struct HttpResponse {
  int status = 200;
  Headers headers;  // without Content-Length and Connection
  std::string body;
};

struct HttpLimits {
  size_t head_bytes_max = 32 << 10;
  size_t headers_max = 100;
  // 10 MiB of records in base64, their keys and the JSON around them.
  size_t body_bytes_max = 20 << 20;
  // A signature covers the body's hash, a third of the cost of a large PutRecords. Without it a request
  // can still be verified: the hash is made then.
  bool hash_bodies = true;
};

}  // namespace broker::server::kinesis
