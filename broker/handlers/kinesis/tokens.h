#pragma once
// Shard iterators and pagination tokens: what a client carries between two calls and must neither
// read nor make. A payload and 16 bytes of HMAC-SHA-256 of purpose and payload with the cluster's
// secret, so that any broker takes any other's; in base64, a page's in base64url. Pure; any thread.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/ids.h"
#include "broker/model/shard.h"

namespace broker::handlers::kinesis {

inline constexpr int64_t kTokenLifeMs = 300'000;

// Where GetRecords goes on.
struct ShardIterator {
  ShardId shard;
  Offset position;
  // Records before this time are passed over until the first that is not (AT_TIMESTAMP); 0: none.
  int64_t from_timestamp_ms = 0;
  int64_t issued_ms = 0;
  uint32_t number = 0;  // tells two of the same moment and place apart: each answer has its own
  std::string stream_name;  // to be named when the stream is gone
  bool operator==(const ShardIterator&) const = default;
};

// Where a listing goes on: after `last`.
struct PageToken {
  std::string operation;
  Uuid stream;         // zero: of no stream
  std::string last;    // the last name or shard id that was listed
  std::string filter;  // what was asked for, kept for the following pages
  int64_t issued_ms = 0;
  bool operator==(const PageToken&) const = default;
};

std::string seal(std::string_view secret, const ShardIterator& iterator);
std::string seal(std::string_view secret, const PageToken& token);
// Nothing for what was not made with this secret for this purpose.
std::optional<ShardIterator> open_iterator(std::string_view secret, std::string_view text);
std::optional<PageToken> open_page_token(std::string_view secret, std::string_view text);

}  // namespace broker::handlers::kinesis
