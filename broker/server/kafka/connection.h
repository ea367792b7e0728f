#pragma once
// One client's connection: reads frames, hands each to the dispatcher, and sends the answers in the
// order of their requests. Requests are worked on side by side; reading stops while too much is in
// flight. Owned by the listener and by its own pending operations; reactor only.
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/handlers/kafka/context.h"
#include "broker/server/kafka/frame_reader.h"
#include "broker/server/socket/client_socket.h"

namespace broker::server::kafka {

class Listener;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Listener& listener, boost::asio::ip::tcp::socket socket);

  void start();
  // Reads on, when it had to stop.
  void resume();
  // Reads nothing and works on nothing new for so long (KIP-219); answers go out.
  void mute(int64_t ms);
  // Reads nothing more; closes when all is answered.
  void drain();
  void close(std::string_view reason);
  // Why it ought to be closed by now; empty: it need not.
  std::string_view overdue(int64_t now_ms) const;

 private:
  // A request's place in the order of answers.
  struct Slot {
    size_t request_bytes = 0;
    bool answered = false;
    bool closes = false;  // ends the connection in its turn, instead of an answer
    std::vector<Buffer> answer;
  };
  using SlotPtr = std::shared_ptr<Slot>;

  void handshake();
  void wait(boost::asio::ip::tcp::socket::wait_type what, void (Connection::*then)());
  void read_soon();
  void read();
  bool take_frames(std::string_view bytes);
  void dispatch(Buffer frame);
  void unmute_later(int64_t ms);
  void unmute();
  bool muted() const;
  void answer(const SlotPtr& slot, std::vector<Buffer> pieces, bool closes);
  void queue_answers();
  void write_soon();
  void write();
  void on_written(size_t bytes);
  void close_if_done();
  bool may_read() const;
  void add_in_flight(int64_t bytes);

  Listener& listener_;
  ClientSocket socket_;
  std::shared_ptr<handlers::kafka::Client> client_;
  FrameReader frames_;
  std::deque<SlotPtr> slots_;
  std::deque<Buffer> held_;  // came while muted
  std::deque<Buffer> out_;
  size_t in_flight_bytes_ = 0;  // of requests unanswered and answers unsent
  bool reading_ = false, writing_ = false, write_posted_ = false;
  bool heard_ = false;     // a whole request has come
  bool draining_ = false;  // reads nothing more
  bool closing_ = false;   // closes when all is sent
  bool closed_ = false;
  bool unmute_scheduled_ = false;
  int64_t muted_until_ms_ = 0;
  int64_t opened_ms_;
  int64_t active_ms_;  // last whole request or last byte of an answer sent
};

}  // namespace broker::server::kafka
