#pragma once
// One framed connection to a peer, plain or TLS: reads frames without copying them, writes queued
// frames together. Owned by Links; on the reactor. After closed() nothing is called any more.
#include <deque>
#include <map>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>

#include "broker/link/frame.h"

namespace broker::link {

class Connection {
 public:
  struct Events {
    // A whole frame; its bytes stay valid as long as the Buffer is kept.
    std::function<void(Connection&, FrameKind, const Buffer& body)> frame;
    std::function<void(Connection&, const std::string& why)> closed;
  };
  virtual ~Connection() = default;
  virtual void start(Events events) = 0;  // the handshake is done; begin to read
  virtual void close(const std::string& why) = 0;

  void send(FrameKind kind, std::string head, std::vector<Buffer> payload = {});
  size_t queued_bytes() const { return queued_bytes_; }
  // Bytes that the socket has taken, ever.
  uint64_t taken_bytes() const { return taken_bytes_; }

  std::optional<Hello> peer;     // once its hello has come
  std::optional<BrokerId> target;    // whom we dialled; none when we were dialled
  int64_t last_heard_ms = 0;
  // What taken_bytes() was, and when it last was seen to grow or nothing was queued.
  uint64_t seen_taken_bytes = 0;
  int64_t last_taken_ms = 0;
  uint64_t sent_frames = 0;
  std::map<uint64_t, std::function<void(Result<Buffer>)>> replies;

 protected:
  virtual void write_soon() = 0;
  std::deque<Buffer> queue_;
  size_t queued_bytes_ = 0;
  uint64_t taken_bytes_ = 0;
};

using PlainStream = boost::asio::ip::tcp::socket;
using TlsStream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;
std::shared_ptr<Connection> make_connection(PlainStream stream);
// Shares the context, so that it outlives the stream.
std::shared_ptr<Connection> make_connection(std::unique_ptr<TlsStream> stream,
                                            std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace broker::link
