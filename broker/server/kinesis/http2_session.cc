// HTTP/2 by nghttp2, which does frames, HPACK, flow control and the protocol's errors.
#include <nghttp2/nghttp2.h>

#include <cstring>
#include <map>

#include "broker/base/check.h"
#include "broker/server/kinesis/http_session.h"

namespace broker::server::kinesis {
namespace {

constexpr uint32_t kStreamsMax = 128;
constexpr int32_t kStreamWindow = 1 << 20;
constexpr int32_t kConnectionWindow = 16 << 20;
constexpr size_t kPieceBytes = 256 << 10;

class Http2Session : public HttpSession {
 public:
  explicit Http2Session(HttpLimits limits) : limits_(limits) {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    CHECK(nghttp2_session_server_new(&session_, callbacks, this) == 0);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kStreamsMax},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.head_bytes_max)}};
    broken_ = nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 3) != 0 ||
              nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                                    kConnectionWindow) != 0;
  }
  ~Http2Session() override { nghttp2_session_del(session_); }

  void feed(std::string_view bytes) override {
    if (broken_) return;
    auto used = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                         bytes.size());
    broken_ = used < 0;
  }

  std::optional<std::pair<ExchangeId, HttpRequest>> take() override {
    if (whole_.empty()) return std::nullopt;
    auto next = std::move(whole_.front());
    whole_.pop_front();
    ++open_;
    return next;
  }

  void respond(ExchangeId id, HttpResponse response) override {
    --open_;
    auto it = streams_.find(static_cast<int32_t>(id));
    if (it == streams_.end() || broken_) return;
    submit(it->first, it->second, std::move(response));
  }

  void output(std::deque<Buffer>& out) override {
    std::string piece;
    while (!broken_) {
      const uint8_t* bytes = nullptr;
      auto size = nghttp2_session_mem_send(session_, &bytes);
      broken_ = size < 0;
      if (size <= 0) break;
      piece.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
      if (piece.size() >= kPieceBytes) out.push_back(Buffer::from_string(std::exchange(piece, {})));
    }
    if (!piece.empty()) out.push_back(Buffer::from_string(std::move(piece)));
  }

  void drain() override {
    if (broken_ || draining_) return;
    draining_ = true;
    broken_ = nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(session_),
                                    NGHTTP2_NO_ERROR, nullptr, 0) != 0;
  }
  bool finished() const override {
    return broken_ || (draining_ && streams_.empty()) ||
           (!nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_));
  }
  size_t open_count() const override { return open_; }
  bool within_request() const override { return partial_ > 0; }
  bool within_body() const override { return held_ > 0; }
  size_t held_bytes() const override { return held_; }

 private:
  struct Stream {
    HttpRequest request;
    std::string authority;
    Sha256 hash;
    size_t head_bytes = 0;
    bool partial = true;  // its request is not whole
    std::string body;     // of the answer
    size_t sent = 0;
  };

  static Http2Session& self(void* data) { return *static_cast<Http2Session*>(data); }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    auto& me = self(data);
    if (me.streams_.try_emplace(frame->hd.stream_id).second) ++me.partial_;
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* data) {
    auto& me = self(data);
    auto it = me.streams_.find(frame->hd.stream_id);
    if (it == me.streams_.end() || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    std::string key(reinterpret_cast<const char*>(name), name_size);
    std::string text(reinterpret_cast<const char*>(value), value_size);
    Stream& stream = it->second;
    stream.head_bytes += name_size + value_size + 32;
    if (stream.head_bytes > me.limits_.head_bytes_max ||
        stream.request.headers.size() >= me.limits_.headers_max) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    }
    if (key == ":method") {
      stream.request.method = std::move(text);
    } else if (key == ":path") {
      stream.request.target = std::move(text);
    } else if (key == ":authority") {
      // Some SDKs sign it by this name; others call it the host.
      stream.authority = text;
      stream.request.headers.emplace_back(std::move(key), std::move(text));
    } else if (key[0] != ':') {
      stream.request.headers.emplace_back(std::move(key), std::move(text));
    }
    return 0;
  }

  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                     void* data) {
    auto& me = self(data);
    auto it = me.streams_.find(id);
    if (it == me.streams_.end() || !it->second.partial) return 0;
    Stream& stream = it->second;
    std::string_view part(reinterpret_cast<const char*>(bytes), size);
    if (stream.request.body.size() + size > me.limits_.body_bytes_max) {
      me.give_up(stream);
      me.submit(id, stream, {413, {{"content-type", "text/plain"}}, "Request body is too large\n"});
      return 0;
    }
    stream.request.body.append(part);
    if (me.limits_.hash_bodies) stream.hash.update(part);
    me.held_ += size;
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    auto& me = self(data);
    bool ends = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!ends || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    auto it = me.streams_.find(frame->hd.stream_id);
    if (it == me.streams_.end() || !it->second.partial) return 0;
    Stream& stream = it->second;
    if (me.limits_.hash_bodies) stream.request.body_sha256 = stream.hash.finish();
    if (!stream.request.has_header("host")) {
      stream.request.headers.emplace_back("host", stream.authority);
    }
    HttpRequest request = std::move(stream.request);
    me.held_ -= request.body.size();
    stream.request = {};
    stream.partial = false;
    --me.partial_;
    if (!me.draining_) {
      me.whole_.emplace_back(static_cast<ExchangeId>(frame->hd.stream_id), std::move(request));
    }
    return 0;
  }

  static int on_close(nghttp2_session*, int32_t id, uint32_t, void* data) {
    auto& me = self(data);
    auto it = me.streams_.find(id);
    if (it == me.streams_.end()) return 0;
    me.give_up(it->second);
    me.streams_.erase(it);
    std::erase_if(me.whole_, [id](const auto& w) { return w.first == static_cast<ExchangeId>(id); });
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* to, size_t size, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    size_t bytes = std::min(size, stream.body.size() - stream.sent);
    std::memcpy(to, stream.body.data() + stream.sent, bytes);
    stream.sent += bytes;
    if (stream.sent == stream.body.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(bytes);
  }

  // The rest of its request is of no interest.
  void give_up(Stream& stream) {
    if (!stream.partial) return;
    stream.partial = false;
    --partial_;
    held_ -= stream.request.body.size();
    stream.request = {};
  }

  void submit(int32_t id, Stream& stream, HttpResponse response) {
    stream.body = std::move(response.body);
    response.headers.emplace_back("content-length", std::to_string(stream.body.size()));
    const std::string status = std::to_string(response.status);
    std::vector<nghttp2_nv> fields;
    auto add = [&](std::string_view name, std::string_view value) {
      fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), NGHTTP2_NV_FLAG_NONE});
    };
    add(":status", status);
    for (const auto& [name, value] : response.headers) add(name, value);
    nghttp2_data_provider provider{};
    provider.source.ptr = &stream;
    provider.read_callback = read_body;
    broken_ |= nghttp2_submit_response(session_, id, fields.data(), fields.size(),
                                       stream.body.empty() ? nullptr : &provider) != 0;
  }

  const HttpLimits limits_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Stream> streams_;  // its nodes stay where they are: nghttp2 points to them
  std::deque<std::pair<ExchangeId, HttpRequest>> whole_;
  size_t open_ = 0, partial_ = 0, held_ = 0;
  bool broken_ = false, draining_ = false;
};

}  // namespace

std::unique_ptr<HttpSession> make_http2_session(HttpLimits limits) {
  return std::make_unique<Http2Session>(limits);
}

}  // namespace broker::server::kinesis
