#include <map>

#include "broker/server/kinesis/http1_parser.h"
#include "broker/server/kinesis/http_session.h"

namespace broker::server::kinesis {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 413: return "Content Too Large";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    default: return "Error";
  }
}

// Answers go out in the order of their requests.
class Http1Session : public HttpSession {
 public:
  explicit Http1Session(HttpLimits limits) : parser_(limits) {}

  void feed(std::string_view bytes) override {
    while (!bytes.empty() && !ending_) {
      parser_.feed(bytes);
      if (parser_.take_expectation() && parser_.within_body()) add_interim();
      if (auto request = parser_.take()) {
        Slot& slot = add_slot();
        slot.head_only = request->method == "HEAD";
        slot.closes = !parser_.keep_alive();
        ending_ |= slot.closes;
        ++open_;
        whole_.emplace_back(first_ + slots_.size() - 1, std::move(*request));
      } else if (const HttpResponse* failure = parser_.failed()) {
        Slot& slot = add_slot();
        slot.closes = ending_ = true;
        slot.answer = pieces(*failure, true, false);
      }
    }
  }

  std::optional<std::pair<ExchangeId, HttpRequest>> take() override {
    if (whole_.empty()) return std::nullopt;
    auto next = std::move(whole_.front());
    whole_.pop_front();
    return next;
  }

  void respond(ExchangeId id, HttpResponse response) override {
    Slot& slot = slots_[id - first_];
    slot.answer = pieces(std::move(response), slot.closes, slot.head_only);
    --open_;
  }

  void output(std::deque<Buffer>& out) override {
    while (!slots_.empty() && !slots_.front().answer.empty()) {
      for (Buffer& piece : slots_.front().answer) {
        if (!piece.empty()) out.push_back(std::move(piece));
      }
      slots_.pop_front();
      ++first_;
    }
  }

  void drain() override {
    ending_ = true;
    if (!slots_.empty()) slots_.back().closes = true;  // says so, if it is not answered yet
  }
  bool finished() const override { return ending_ && slots_.empty(); }
  size_t open_count() const override { return open_; }
  bool within_request() const override { return !ending_ && parser_.within_request(); }
  bool within_body() const override { return !ending_ && parser_.within_body(); }
  size_t held_bytes() const override { return parser_.held_bytes(); }

 private:
  // A request's place in the order; empty until it is answered.
  struct Slot {
    std::vector<Buffer> answer;
    bool closes = false, head_only = false;
  };

  Slot& add_slot() { return slots_.emplace_back(); }

  void add_interim() {
    add_slot().answer = {Buffer::from_string("HTTP/1.1 100 Continue\r\n\r\n")};
  }

  static std::vector<Buffer> pieces(HttpResponse response, bool closes, bool head_only) {
    std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
    head.reserve(768);
    head += reason(response.status);
    for (const auto& [name, value] : response.headers) {
      head += "\r\n";
      head += name;
      head += ": ";
      head += value;
    }
    head += "\r\ncontent-length: " + std::to_string(response.body.size());
    if (closes) head += "\r\nconnection: close";
    head += "\r\n\r\n";
    std::vector<Buffer> out;
    if (!head_only && response.body.size() < 4096) {
      head += response.body;
      out.push_back(Buffer::from_string(std::move(head)));
      return out;
    }
    out.push_back(Buffer::from_string(std::move(head)));
    if (!head_only) out.push_back(Buffer::from_string(std::move(response.body)));
    return out;
  }

  Http1Parser parser_;
  std::deque<Slot> slots_;
  ExchangeId first_ = 0;  // of slots_.front()
  std::deque<std::pair<ExchangeId, HttpRequest>> whole_;
  size_t open_ = 0;
  bool ending_ = false;  // nothing more is read
};

}  // namespace

std::unique_ptr<HttpSession> make_http1_session(HttpLimits limits) {
  return std::make_unique<Http1Session>(limits);
}

}  // namespace broker::server::kinesis
