#pragma once
// One client's connection: the HTTP session on its socket. Reading stops while too much is in
// flight. Reactor only.
#include <memory>
#include <string>

#include "broker/server/kinesis/http_session.h"
#include "broker/server/socket/client_connection.h"

namespace broker::server::kinesis {

class Listener;

class Connection : public ClientConnection {
 public:
  Connection(Listener& listener, boost::asio::ip::tcp::socket socket);

  void drain() override;
  std::string_view overdue(int64_t now_ms) const override;

 protected:
  bool wants_more() const override;
  void on_bytes(size_t placed, std::string_view bytes) override;
  void fill_output() override;
  bool is_finished() const override { return session_->finished(); }

 private:
  bool choose_version(std::string_view& bytes);
  void take_requests();
  void answer(ExchangeId id, size_t request_bytes, HttpResponse response);
  void settle();

  Listener& door_;
  std::string first_bytes_;               // until they tell HTTP/1.1 from HTTP/2
  std::unique_ptr<HttpSession> session_;  // none until then
  size_t held_bytes_ = 0;                 // of the session, as last counted
  int64_t request_began_ms_;              // of the request that is here in part
};

}  // namespace broker::server::kinesis
