// DeleteRecords: drops a partition's records below an offset, for good. Answers when no later leader
// can bring them back, or when the request's time is over.
#include <algorithm>

#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::DeleteRecordsRequest;
using Response = wire::DeleteRecordsResponse;
constexpr int64_t kHighWatermark = -1;
constexpr int32_t kTimeoutMsMax = 600'000;

// A request whose deletions are in flight. Kept alive by their callbacks and by the timer's.
class Deletion : public std::enable_shared_from_this<Deletion> {
 public:
  Deletion(const Services& services, ExchangePtr exchange)
      : services_(services), exchange_(std::move(exchange)) {}

  void start(const Request& request) {
    for (const auto& asked : request.topics) {
      auto& topic = response_.topics.emplace_back();
      topic.name = asked.name;
      for (const auto& partition : asked.partitions) {
        topic.partitions.push_back({partition.partition_index, -1, 0, {}});
      }
    }
    for (size_t t = 0; t < request.topics.size(); ++t) {
      TopicRef ref = find_topic(services_, *exchange_, security::Operation::kDelete, request.topics[t].name);
      for (size_t p = 0; p < request.topics[t].partitions.size(); ++p) {
        start_one(ref, request.topics[t].partitions[p].offset, t, p);
      }
    }
    auto self = shared_from_this();
    timer_ = services_.executor.schedule_after(
        std::clamp(request.timeout_ms, 0, kTimeoutMsMax), [self] {
          self->timer_.reset();
          self->answer();
        });
    finish_one();
  }

 private:
  void start_one(const TopicRef& ref, int64_t offset, size_t t, size_t p) {
    auto& answer = response_.topics[t].partitions[p];
    if (!ref.stream) {
      answer.error_code = exchange_->fail(ref.error);
      return;
    }
    Led led = find_led(services_, *ref.stream, answer.partition_index, -1);
    if (led.error != Error::kNone) {
      answer.error_code = exchange_->fail(led.error);
      return;
    }
    Offset before = offset == kHighWatermark ? led.partition->high_watermark() : Offset{offset};
    if (before < Offset{0} || before > led.partition->high_watermark()) {
      answer.error_code = exchange_->fail(Error::kOffsetOutOfRange);
      return;
    }
    if (before <= led.partition->log_start()) {
      answer.low_watermark = led.partition->log_start().value;
      return;
    }
    ++pending_;
    answer.error_code = wire::wire(Error::kRequestTimedOut);  // until it is done
    led.partition->delete_records(before, [self = shared_from_this(), t, p](Result<Offset> start) {
      self->on_deleted(t, p, start);
    });
  }

  void on_deleted(size_t t, size_t p, const Result<Offset>& start) {
    if (answered_) return;
    auto& answer = response_.topics[t].partitions[p];
    if (start.ok()) {
      answer.low_watermark = start->value;
      answer.error_code = 0;
    } else {
      bool waits = start.code() == Code::kUnavailable;
      answer.error_code = exchange_->fail(waits ? Error::kNotLeaderOrFollower
                                                : wire::to_kafka_error(start.code()));
    }
    finish_one();
  }

  void finish_one() {
    if (--pending_ == 0) answer();
  }

  void answer() {
    if (answered_) return;
    answered_ = true;
    if (timer_) services_.executor.cancel(*timer_);
    respond(*exchange_, response_);
  }

  const Services& services_;
  ExchangePtr exchange_;
  Response response_;
  size_t pending_ = 1;
  bool answered_ = false;
  std::optional<env::TimerId> timer_;
};

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  std::make_shared<Deletion>(context.services, exchange)->start(request);
}

}  // namespace broker::handlers::kafka
