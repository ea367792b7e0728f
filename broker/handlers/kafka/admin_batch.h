#pragma once
// Several administrative requests to the coordinator for one Kafka request: answers when all are
// done. Used by CreateTopics, DeleteTopics and CreatePartitions on the reactor.
#include <algorithm>
#include <functional>
#include <memory>

#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

template <class Response>
class AdminBatch : public std::enable_shared_from_this<AdminBatch<Response>> {
 public:
  AdminBatch(const Services& services, ExchangePtr exchange, int32_t timeout_ms)
      : services_(services),
        exchange_(std::move(exchange)),
        timeout_ms_(std::clamp(timeout_ms, 1000, 120'000)) {}

  Response response;

  // `on_answer` fills the response; it must not keep references into it that grow stale.
  void ask(v1::AdminRequest request,
           std::function<void(const Result<v1::AdminResponse>&)> on_answer) {
    ++pending_;
    services_.admin(std::move(request), timeout_ms_,
                    [self = this->shared_from_this(),
                     on_answer = std::move(on_answer)](Result<v1::AdminResponse> answer) {
                      on_answer(answer);
                      self->finish_one();
                    });
  }
  // After the last ask().
  void finish() { finish_one(); }
  Exchange& exchange() { return *exchange_; }

 private:
  void finish_one() {
    if (--pending_ == 0) respond(*exchange_, response);
  }

  const Services& services_;
  ExchangePtr exchange_;
  int64_t timeout_ms_;
  size_t pending_ = 1;
};

// What an administrative client is told of a coordinator's refusal.
inline Error admin_error(Code code) {
  switch (code) {
    case Code::kUnavailable:
      return Error::kNotController;  // admin clients retry it
    case Code::kConflict:
      return Error::kNotController;
    default:
      return wire::to_kafka_error(code);
  }
}

}  // namespace broker::handlers::kafka
