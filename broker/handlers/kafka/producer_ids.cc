#include "broker/handlers/kafka/producer_ids.h"

namespace broker::handlers::kafka {
namespace {
constexpr int64_t kTimeoutMs = 5000;
}

void ProducerIds::next(Done done) {
  if (next_ < end_) return done(next_++);
  waiting_.push_back(std::move(done));
  if (!asking_) ask_for_block();
}

void ProducerIds::ask_for_block() {
  asking_ = true;
  v1::AdminRequest request;
  request.mutable_allocate_producer_ids()->set_count(services_.options.producer_id_block);
  services_.admin(std::move(request), kTimeoutMs,
                  [this](Result<v1::AdminResponse> answer) { on_block(std::move(answer)); });
}

void ProducerIds::on_block(Result<v1::AdminResponse> answer) {
  asking_ = false;
  auto waiting = std::exchange(waiting_, {});
  if (!answer.ok()) {
    for (Done& done : waiting) done(answer.status());
    return;
  }
  next_ = answer->first_producer_id();
  end_ = next_ + services_.options.producer_id_block;
  for (Done& done : waiting) next(std::move(done));
}

}  // namespace broker::handlers::kafka
