#include "broker/link/connection.h"

namespace broker::link {
namespace {

namespace asio = boost::asio;
constexpr size_t kChunk = 256 << 10;
constexpr size_t kWritePieces = 64;

// The tail of a shared chunk that is read into, and the frames that lie before it. Frames are slices
// of the chunk; it is used up from front to back, so that small frames share it.
class FrameReader {
 public:
  asio::mutable_buffer space() {
    if (size_ == filled_) grow(kChunk);
    return asio::buffer(chunk_.get() + filled_, size_ - filled_);
  }
  void filled(size_t bytes) { filled_ += bytes; }

  // The next whole frame; nothing when more must be read; an error when it is too long.
  Result<std::optional<std::pair<FrameKind, Buffer>>> next() {
    std::optional<std::pair<FrameKind, Buffer>> none;
    size_t have = filled_ - taken_;
    if (have < kFrameHeader) return none;
    auto length = load_be<uint32_t>(chunk_.get() + taken_);
    if (length < 1 || length > kFrameBytesMax) {
      return Status(Code::kCorruption, "frame of " + std::to_string(length) + " bytes");
    }
    if (have < 4 + length) {
      if (taken_ + 4 + length > size_) grow(4 + length);
      return none;
    }
    auto kind = static_cast<FrameKind>(chunk_[taken_ + 4]);
    Buffer body(chunk_, std::string_view(chunk_.get() + taken_ + kFrameHeader, length - 1));
    taken_ += 4 + length;
    return std::optional(std::pair(kind, std::move(body)));
  }

 private:
  // A new chunk of `wanted` bytes, of which what is not taken yet are the first.
  void grow(size_t wanted) {
    size_t rest = filled_ - taken_;
    size_ = std::max(kChunk, wanted);
    auto fresh = std::make_shared_for_overwrite<char[]>(size_);
    std::memcpy(fresh.get(), chunk_.get() + taken_, rest);
    chunk_ = std::move(fresh);
    taken_ = 0;
    filled_ = rest;
  }
  size_t size_ = kChunk;
  std::shared_ptr<char[]> chunk_ = std::make_shared_for_overwrite<char[]>(kChunk);
  size_t taken_ = 0, filled_ = 0;
};

template <class Stream>
class ConnectionOf : public Connection, public std::enable_shared_from_this<ConnectionOf<Stream>> {
 public:
  ConnectionOf(std::unique_ptr<Stream> stream, std::shared_ptr<void> keep)
      : keep_(std::move(keep)), stream_(std::move(stream)) {
    boost::system::error_code ignored;
    stream_->lowest_layer().set_option(asio::ip::tcp::no_delay(true), ignored);
  }

  void start(Events events) override {
    events_ = std::move(events);
    read();
    write_soon();
  }

  void close(const std::string& why) override {
    if (closed_) return;
    closed_ = true;
    boost::system::error_code ignored;
    stream_->lowest_layer().close(ignored);
    auto replies_left = std::exchange(replies, {});
    auto self = this->shared_from_this();
    if (events_.closed) events_.closed(*this, why);
    events_ = {};
    for (auto& [id, reply] : replies_left) {
      reply(Status(Code::kTimeout, "the connection to the leader broke; the outcome is unknown"));
    }
  }

 protected:
  void write_soon() override {
    if (writing_ || closed_ || queue_.empty() || !events_.frame) return;
    writing_ = true;
    // After this turn: whatever else it sends goes out in the same write.
    asio::post(stream_->get_executor(), [self = this->shared_from_this()] { self->write(); });
  }

 private:
  void write() {
    if (closed_) return;
    writing_now_.clear();
    std::vector<asio::const_buffer> pieces;
    while (!queue_.empty() && pieces.size() < kWritePieces) {
      pieces.emplace_back(queue_.front().data(), queue_.front().size());
      writing_now_.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    auto self = this->shared_from_this();
    asio::async_write(
        *stream_, pieces,
        // Called after each piece that the socket took: a slow peer is not one that stands still.
        [self, before = taken_bytes_](const boost::system::error_code& error, size_t n) {
          self->taken_bytes_ = before + n;
          return asio::transfer_all()(error, n);
        },
        [self](boost::system::error_code error, size_t n) { self->written(error, n); });
  }
  void written(boost::system::error_code error, size_t bytes) {
    if (closed_) return;
    if (error) return close(error.message());
    queued_bytes_ -= bytes;
    writing_ = false;
    writing_now_.clear();
    if (!queue_.empty()) {
      writing_ = true;
      write();
    }
  }
  void read() {
    stream_->async_read_some(
        reader_.space(),
        [self = this->shared_from_this()](boost::system::error_code error, size_t n) {
          self->have_read(error, n);
        });
  }
  void have_read(boost::system::error_code error, size_t bytes) {
    if (closed_) return;
    if (error) return close(error.message());
    reader_.filled(bytes);
    while (!closed_) {
      auto frame = reader_.next();
      if (!frame.ok()) return close(frame.status().to_string());
      if (!*frame) break;
      auto on_frame = events_.frame;
      on_frame(*this, (*frame)->first, (*frame)->second);
    }
    if (!closed_) read();
  }

  std::shared_ptr<void> keep_;
  std::unique_ptr<Stream> stream_;
  Events events_;
  FrameReader reader_;
  std::vector<Buffer> writing_now_;
  bool writing_ = false, closed_ = false;
};

}  // namespace

void Connection::send(FrameKind kind, std::string head, std::vector<Buffer> payload) {
  size_t length = 1 + head.size();
  for (const auto& piece : payload) length += piece.size();
  std::string frame;
  frame.reserve(kFrameHeader + head.size());
  ByteWriter out(frame);
  out.u32(static_cast<uint32_t>(length));
  out.u8(static_cast<uint8_t>(kind));
  frame += head;
  queued_bytes_ += 4 + length;
  queue_.push_back(Buffer::from_string(std::move(frame)));
  for (auto& piece : payload) {
    if (!piece.empty()) queue_.push_back(std::move(piece));
  }
  sent_frames++;
  write_soon();
}

std::shared_ptr<Connection> make_connection(PlainStream stream) {
  return std::make_shared<ConnectionOf<PlainStream>>(
      std::make_unique<PlainStream>(std::move(stream)), nullptr);
}

std::shared_ptr<Connection> make_connection(std::unique_ptr<TlsStream> stream,
                                            std::shared_ptr<asio::ssl::context> context) {
  return std::make_shared<ConnectionOf<TlsStream>>(std::move(stream), std::move(context));
}

}  // namespace broker::link
