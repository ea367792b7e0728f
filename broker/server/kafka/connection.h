#pragma once
// One client's connection: reads frames, hands each to the dispatcher, and sends the answers in the
// order of their requests. Requests are worked on side by side; reading stops while too much is in
// flight. Reactor only.
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/handlers/kafka/context.h"
#include "broker/server/kafka/frame_reader.h"
#include "broker/server/socket/client_connection.h"

namespace broker::server::kafka {

class Listener;

class Connection : public ClientConnection {
 public:
  Connection(Listener& listener, boost::asio::ip::tcp::socket socket);

  void start() override;
  void drain() override;
  std::string_view overdue(int64_t now_ms) const override;

 protected:
  bool on_handshake() override;
  bool wants_more() const override;
  std::span<char> place() override {
    const FrameReader::Space space = frames_.space();
    return {space.data, space.size};
  }
  void on_bytes(size_t placed, std::string_view bytes) override;
  bool is_finished() const override { return closing_; }
  void on_close() override;

 private:
  // A request's place in the order of answers.
  struct Slot {
    size_t request_bytes = 0;
    bool answered = false;
    bool closes = false;  // ends the connection in its turn, instead of an answer
    std::vector<Buffer> answer;
  };
  using SlotPtr = std::shared_ptr<Slot>;

  std::shared_ptr<Connection> self();
  // Reads nothing and works on nothing new for so long (KIP-219); answers go out.
  void mute(int64_t ms);
  void dispatch(Buffer frame);
  void unmute_later(int64_t ms);
  void unmute();
  bool muted() const;
  void answer(const SlotPtr& slot, std::vector<Buffer> pieces, bool closes);
  void queue_answers();

  Listener& door_;
  std::shared_ptr<handlers::kafka::Client> client_;
  FrameReader frames_;
  std::deque<SlotPtr> slots_;
  std::deque<Buffer> held_;  // came while muted
  bool heard_ = false;       // a whole request has come
  bool draining_ = false;    // reads nothing more
  bool closing_ = false;     // closes when all is sent
  bool unmute_scheduled_ = false;
  int64_t muted_until_ms_ = 0;
  int64_t opened_ms_;
};

}  // namespace broker::server::kafka
