#pragma once
// Base64 (RFC 4648, padded) for blobs in JSON: strict, as AWS, and fast, since most of a PutRecords
// body is base64: 32 characters a step where the processor has AVX2.
#include <string>
#include <string_view>

namespace broker::protocol::kinesis {

// kPortable is what every processor does, and what the tests hold the fastest way against.
enum class Base64Way { kFastest, kPortable };

// False, with AWS's reason, when `text` is not canonical base64.
bool base64_decode(std::string_view text, std::string& out, std::string& why,
                   Base64Way way = Base64Way::kFastest);
void base64_append(std::string_view bytes, std::string& out, Base64Way way = Base64Way::kFastest);
inline size_t base64_size(size_t bytes) { return (bytes + 2) / 3 * 4; }

}  // namespace broker::protocol::kinesis
