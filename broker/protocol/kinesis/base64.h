#pragma once
// Base64 (RFC 4648, padded) for blobs in JSON: strict, as AWS, and fast, since most of a PutRecords
// body is base64.
#include <string>
#include <string_view>

namespace broker::protocol::kinesis {

// False, with AWS's reason, when `text` is not canonical base64.
bool base64_decode(std::string_view text, std::string& out, std::string& why);
void base64_append(std::string_view bytes, std::string& out);
inline size_t base64_size(size_t bytes) { return (bytes + 2) / 3 * 4; }

}  // namespace broker::protocol::kinesis
