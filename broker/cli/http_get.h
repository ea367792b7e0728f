#pragma once
// One HTTP GET, for the commands that ask a Prometheus. Blocks, at most for the time given.
#include <string>

#include "broker/base/status.h"

namespace broker::cli {

struct HttpGet {
  std::string url;      // http://HOST[:PORT][/PREFIX] or https://…
  std::string target;   // path and query, encoded
  std::string token;    // of `Authorization: Bearer`; empty: none
  std::string ca_path;  // what an https certificate is checked against; empty: the system's
  int timeout_ms = 15'000;
};

// The body of a 200. kInvalidArgument for a URL that is none, kUnavailable with the reason, or with
// the code and the beginning of the answer, for everything else.
Result<std::string> http_get(const HttpGet& get);

// Percent-encoded, for a query.
std::string url_encode(const std::string& text);

}  // namespace broker::cli
