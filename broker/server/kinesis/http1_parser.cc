#include "broker/server/kinesis/http1_parser.h"

#include <charconv>

namespace broker::server::kinesis {
namespace {

constexpr size_t kGrowBytes = 1 << 20;  // memory follows what has come, not what was announced
constexpr size_t kBelieved = 16;        // times what has come
constexpr size_t kChunkLineMax = 1024;
constexpr size_t kTrailerBytesMax = 8 << 10;
constexpr size_t kPadding = 64;  // the JSON parser reads whole blocks

bool token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool lists(std::string_view value, std::string_view word) {
  const std::string all = lower(value);
  for (size_t at = 0; at <= all.size();) {
    size_t comma = std::min(all.find(',', at), all.size());
    if (trimmed(std::string_view(all).substr(at, comma - at)) == word) return true;
    at = comma + 1;
  }
  return false;
}

template <class T>
bool parse_number(std::string_view text, T& out, int base) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() &&
         text[0] != '-';
}

}  // namespace

void Http1Parser::feed(std::string_view& bytes) {
  while (!bytes.empty() && !failed_ && state_ != State::kWhole) {
    switch (state_) {
      case State::kHead:
        feed_head(bytes);
        break;
      case State::kBody:
      case State::kChunk:
        feed_body(bytes);
        break;
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kTrailers:
        feed_line(bytes);
        break;
      case State::kWhole:
        break;
    }
  }
}

void Http1Parser::feed_head(std::string_view& bytes) {
  // Empty lines before a request are tolerated (RFC 9112, 2.2).
  while (head_.empty() && !bytes.empty() && (bytes[0] == '\r' || bytes[0] == '\n')) {
    bytes.remove_prefix(1);
  }
  const size_t from = head_.size() < 3 ? 0 : head_.size() - 3;
  const size_t before = head_.size();
  head_.append(bytes.substr(0, limits_.head_bytes_max + 1 - std::min(before, limits_.head_bytes_max)));
  size_t end = head_.find("\r\n\r\n", from);
  if (end == head_.npos) {
    bytes.remove_prefix(head_.size() - before);
    if (head_.size() > limits_.head_bytes_max) fail(431, "Request header fields are too large");
    return;
  }
  bytes.remove_prefix(end + 4 - before);
  std::string head = std::exchange(head_, {});
  head.resize(end + 2);  // every line keeps its end
  on_head(head);
}

void Http1Parser::on_head(std::string_view head) {
  request_ = {};
  size_t end = head.find("\r\n");
  if (!take_request_line(head.substr(0, end))) return fail(400, "Malformed request line");
  head.remove_prefix(end + 2);
  while (!head.empty()) {
    end = head.find("\r\n");
    if (request_.headers.size() >= limits_.headers_max) return fail(431, "Too many header fields");
    if (!take_header(head.substr(0, end))) return fail(400, "Malformed header field");
    head.remove_prefix(end + 2);
  }
  take_framing();
}

bool Http1Parser::take_request_line(std::string_view line) {
  size_t first = line.find(' '), last = line.rfind(' ');
  if (first == line.npos || first == last || first == 0) return false;
  std::string_view method = line.substr(0, first), version = line.substr(last + 1);
  std::string_view target = line.substr(first + 1, last - first - 1);
  if (!std::all_of(method.begin(), method.end(), token_char)) return false;
  if (target.empty() || target.find(' ') != target.npos) return false;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return false;
  http_1_0_ = version == "HTTP/1.0";
  // The absolute form, which a server must take (RFC 9112, 3.2.2).
  if (target.substr(0, 7) == "http://") {
    size_t path = target.find('/', 7);
    target = path == target.npos ? "/" : target.substr(path);
  }
  request_.method = method;
  request_.target = target;
  return true;
}

bool Http1Parser::take_header(std::string_view line) {
  size_t colon = line.find(':');
  if (colon == line.npos || colon == 0) return false;
  std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
  if (!std::all_of(name.begin(), name.end(), token_char)) return false;
  for (char c : value) {
    if (static_cast<uint8_t>(c) < 0x20 && c != '\t') return false;
  }
  request_.headers.emplace_back(lower(name), value);
  return true;
}

// How long the body is, and what happens after it.
bool Http1Parser::take_framing() {
  std::optional<size_t> length;
  bool chunked = false;
  keep_alive_ = !http_1_0_;
  for (const auto& [name, value] : request_.headers) {
    if (name == "content-length") {
      size_t number = 0;
      if (!parse_number(std::string_view(value), number, 10) || (length && *length != number)) {
        return fail(400, "Malformed Content-Length"), false;
      }
      length = number;
    } else if (name == "transfer-encoding") {
      if (chunked || lower(value) != "chunked" || http_1_0_) {
        return fail(501, "Transfer-Encoding may be chunked only"), false;
      }
      chunked = true;
    } else if (name == "connection") {
      if (lists(value, "close")) keep_alive_ = false;
      if (http_1_0_ && lists(value, "keep-alive")) keep_alive_ = true;
    } else if (name == "expect") {
      if (lower(value) != "100-continue") return fail(417, "Unknown expectation"), false;
      expectation_ = !http_1_0_;
    }
  }
  if (chunked && length) return fail(400, "Content-Length beside Transfer-Encoding"), false;
  if (length.value_or(0) > limits_.body_bytes_max) {
    return fail(413, "Request body is too large"), false;
  }
  if (chunked) {
    state_ = State::kChunkSize;
    return true;
  }
  left_ = length.value_or(0);
  if (left_ == 0) {
    finish();
    return true;
  }
  request_.body.reserve(std::min(left_, kGrowBytes) + kPadding);
  state_ = State::kBody;
  return true;
}

void Http1Parser::feed_body(std::string_view& bytes) {
  std::string_view part = bytes.substr(0, left_);
  // A megabyte has come of ten: it is time to believe the rest.
  if (state_ == State::kBody && request_.body.size() + part.size() > request_.body.capacity()) {
    size_t whole = request_.body.size() + left_;
    request_.body.reserve(std::min(whole, kBelieved * (request_.body.size() + part.size())) + kPadding);
  }
  request_.body.append(part);
  if (limits_.hash_bodies) hash_.update(part);
  bytes.remove_prefix(part.size());
  left_ -= part.size();
  if (left_ > 0) return;
  if (state_ == State::kBody) return finish();
  state_ = State::kChunkEnd;
}

// A chunk's size, the empty line behind it, or a trailer.
void Http1Parser::feed_line(std::string_view& bytes) {
  size_t end = bytes.find('\n');
  std::string_view part = bytes.substr(0, end == bytes.npos ? bytes.size() : end + 1);
  head_.append(part);
  bytes.remove_prefix(part.size());
  if (head_.size() > kChunkLineMax) return fail(400, "Malformed chunk");
  if (end == std::string_view::npos) return;
  std::string line = std::exchange(head_, {});
  if (line.size() < 2 || line[line.size() - 2] != '\r') return fail(400, "Malformed chunk");
  line.resize(line.size() - 2);
  if (state_ == State::kChunkEnd) {
    if (!line.empty()) return fail(400, "Malformed chunk");
    state_ = State::kChunkSize;
  } else if (state_ == State::kTrailers) {
    trailer_bytes_ += line.size();
    if (line.empty()) return finish();
    if (trailer_bytes_ > kTrailerBytesMax) fail(431, "Trailers are too large");
  } else {
    on_chunk_size(line);
  }
}

void Http1Parser::on_chunk_size(std::string_view line) {
  std::string_view digits = trimmed(line.substr(0, line.find(';')));
  if (!parse_number(digits, left_, 16)) return fail(400, "Malformed chunk");
  if (left_ > limits_.body_bytes_max - request_.body.size()) {
    return fail(413, "Request body is too large");
  }
  trailer_bytes_ = 0;
  state_ = left_ == 0 ? State::kTrailers : State::kChunk;
}

void Http1Parser::finish() {
  state_ = State::kWhole;
  if (limits_.hash_bodies) request_.body_sha256 = hash_.finish();
}

std::optional<HttpRequest> Http1Parser::take() {
  if (state_ != State::kWhole) return std::nullopt;
  state_ = State::kHead;
  expectation_ = false;
  return std::exchange(request_, {});
}

void Http1Parser::fail(int status, std::string_view why) {
  failed_ = HttpResponse{status, {{"content-type", "text/plain"}}, std::string(why) + "\n"};
  request_ = {};
  head_.clear();
}

}  // namespace broker::server::kinesis
