#pragma once
// Requests out of the bytes of one HTTP/1.1 connection: bounded heads, bodies by Content-Length or
// in chunks, bounded before they are read. Whatever is ambiguous (two lengths, a length and chunks)
// is refused: requests must not be smuggled past a proxy. Pure; the connection owns it.
#include <optional>

#include "broker/server/kinesis/http.h"

namespace broker::server::kinesis {

class Http1Parser {
 public:
  explicit Http1Parser(HttpLimits limits) : limits_(limits) {}

  // Takes bytes off the front until a request is whole or the bytes are used up.
  void feed(std::string_view& bytes);
  // The request that is whole.
  std::optional<HttpRequest> take();
  // Nothing can be made of the connection any more: what to answer before closing it.
  const HttpResponse* failed() const { return failed_ ? &*failed_ : nullptr; }

  // Of the request that take() gave last: may another follow?
  bool keep_alive() const { return keep_alive_; }
  // Once per request whose sender waits for "100 Continue".
  bool take_expectation() { return std::exchange(expectation_, false); }
  // Some of a request is here.
  bool within_request() const { return state_ != State::kHead || !head_.empty(); }
  bool within_body() const { return state_ != State::kHead; }
  size_t held_bytes() const { return head_.size() + request_.body.size(); }

 private:
  enum class State { kHead, kBody, kChunkSize, kChunk, kChunkEnd, kTrailers, kWhole };
  void feed_head(std::string_view& bytes);
  void feed_body(std::string_view& bytes);
  void feed_line(std::string_view& bytes);
  void on_head(std::string_view head);
  bool take_request_line(std::string_view line);
  bool take_header(std::string_view line);
  bool take_framing();
  void on_chunk_size(std::string_view line);
  void finish();
  void fail(int status, std::string_view why);

  const HttpLimits limits_;
  State state_ = State::kHead;
  std::string head_;  // the head, or a chunk's line, so far
  HttpRequest request_;
  Sha256 hash_;
  size_t left_ = 0;         // of the body or the chunk
  size_t trailer_bytes_ = 0;
  bool http_1_0_ = false;
  bool keep_alive_ = true;
  bool expectation_ = false;
  std::optional<HttpResponse> failed_;
};

}  // namespace broker::server::kinesis
