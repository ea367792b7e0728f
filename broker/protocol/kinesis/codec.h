#pragma once
// Bodies to messages and back, in both of the formats that AWS's clients speak. Decoding checks
// every rule of api.schema and answers in AWS's words; it takes whatever bytes come, in time and
// memory bounded by their number. Used by the server, and in both directions by tests and clients.
#include <optional>
#include <string>

#include "broker/protocol/kinesis/errors.h"
#include "broker/protocol/kinesis/messages.h"

namespace broker::protocol::kinesis {

// application/x-amz-json-1.1 and application/x-amz-cbor-1.1.
enum class Format { kJson, kCbor };

// The request of a body, or AWS's refusal. `body` may grow in capacity (the parser reads whole
// blocks); its bytes stay.
std::optional<Error> decode(Operation operation, Format format, std::string& body, Request& out);

// Any message of messages.h.
template <class T>
std::string encode(Format format, const T& message);
std::string encode_error(Format format, const Error& error);
// Decodes any response, for tests and clients.
template <class T>
std::optional<Error> decode_message(Format format, std::string& body, T& out);

}  // namespace broker::protocol::kinesis
