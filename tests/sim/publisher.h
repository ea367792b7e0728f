#pragma once
// Publishes through the native API of some broker: the real PublishFlow, which routes, batches,
// retries and follows splits by itself. A call that breaks is not repeated: what was unanswered is
// unknown, and the next call names new keys.
#include "tests/sim/clients.h"

namespace broker::sim {

class Publisher : public Clients::Client {
 public:
  Publisher(Clients& clients, std::string stream)
      : clients_(clients), stream_(std::move(stream)) {}
  ~Publisher() override;

  void step() override;
  std::string busy() override;

 private:
  struct Call {
    int broker = 0;
    uint64_t incarnation = 0;
    std::shared_ptr<handlers::grpc::PublishFlow> flow;
    std::string keys;  // prefix
    std::map<std::string, uint64_t> numbers;
    std::deque<std::vector<uint64_t>> unanswered;
    int64_t last_answer_us = 0;
    bool over = false;
  };
  void open();
  void drop();
  void send();
  void on_response(Call& call, const cluster::v1::PublishResponse& response);

  Clients& clients_;
  const std::string stream_;
  std::shared_ptr<Call> call_;
  std::string last_error_;
};

}  // namespace broker::sim
