// Produce: judges each partition's batch, appends it, and answers when the appends are as durable
// as `acks` asks, or when the request's time is over. Batches are stored as they came; partitions
// of a request succeed and fail one by one.
#include <algorithm>

#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topic_configs.h"
#include "broker/handlers/kafka/throttle.h"
#include "broker/handlers/kafka/topics.h"
#include "broker/model/records.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::ProduceRequest;
using Response = wire::ProduceResponse;
using Answer = Response::Topic::Partition;

constexpr int16_t kZstdVersionMin = 7;
constexpr int32_t kTimeoutMsMax = 600'000;

// A request whose appends are in flight. Kept alive by their callbacks and by the timer's.
class Production : public std::enable_shared_from_this<Production> {
 public:
  Production(const Services& services, ExchangePtr exchange, Request request)
      : services_(services), exchange_(std::move(exchange)), request_(std::move(request)) {}
  void start();

 private:
  void start_partition(const Request::Topic& topic, const TopicRef& ref, size_t topic_at,
                       size_t partition_at);
  // What the client sent for one partition, fit to be appended; else fills the answer.
  Result<Buffer> checked_batch(const cluster::Stream& stream,
                               const Request::Topic::Partition& asked, Error& error);
  Status check_timestamps(const cluster::Stream& stream, const BatchHeader& header) const;
  void fail(Answer& answer, Error error, std::string message);
  void name_leader(Answer& answer, const Leader& leader);
  void on_appended(size_t topic_at, size_t partition_at, const ShardId& id,
                   const Result<partition::Appended>& result);
  void finish_one();
  void on_timeout();
  void answer();

  const Services& services_;
  ExchangePtr exchange_;
  Request request_;
  Response response_;
  size_t pending_ = 1;  // appends in flight, and start() itself
  bool answered_ = false;
  std::optional<env::TimerId> timer_;
};

Error append_error(Code code) {
  switch (code) {
    case Code::kUnavailable:
      return Error::kNotEnoughReplicas;  // retried by producers
    case Code::kInvalidArgument:
      return Error::kInvalidRecord;
    case Code::kUnsupported:
      return Error::kUnsupportedForMessageFormat;
    case Code::kFenced:
      return Error::kNotLeaderOrFollower;
    default:
      return wire::to_kafka_error(code);
  }
}

// What is wrong with the request as a whole.
std::pair<Error, std::string> judge(const Request& request, int16_t version) {
  if (version < 3) {
    return {Error::kUnsupportedVersion, "message formats 0 and 1 are not stored"};
  }
  if (request.acks < -1 || request.acks > 1) {
    return {Error::kInvalidRequiredAcks, "acks must be -1, 0 or 1"};
  }
  if (request.transactional_id) {
    return {Error::kInvalidTxnState, "transactions are not served by this version"};
  }
  return {Error::kNone, ""};
}

void Production::start() {
  auto [refusal, message] = judge(request_, exchange_->version());
  auto self = shared_from_this();
  // Laid out before the first append: its callback may run at once.
  for (const Request::Topic& asked : request_.topics) {
    auto& topic = response_.responses.emplace_back();
    topic.name = asked.name;
    topic.topic_id = asked.topic_id;
    topic.partitions.resize(asked.partitions.size());
    for (size_t p = 0; p < asked.partitions.size(); ++p) {
      topic.partitions[p].index = asked.partitions[p].index;
      if (refusal != Error::kNone) fail(topic.partitions[p], refusal, message);
    }
  }
  for (size_t t = 0; refusal == Error::kNone && t < request_.topics.size(); ++t) {
    const Request::Topic& topic = request_.topics[t];
    TopicRef ref =
        find_topic(services_, *exchange_, security::Operation::kWrite, topic.name, topic.topic_id,
                   exchange_->version() >= 13);
    for (size_t p = 0; p < topic.partitions.size(); ++p) start_partition(topic, ref, t, p);
  }
  if (pending_ > 1 && request_.acks != 0) {
    int32_t timeout_ms = std::clamp(request_.timeout_ms, 0, kTimeoutMsMax);
    timer_ = services_.executor.schedule_after(timeout_ms, [self] { self->on_timeout(); });
  }
  finish_one();
}

void Production::start_partition(const Request::Topic& topic, const TopicRef& ref, size_t t,
                                 size_t p) {
  const Request::Topic::Partition& asked = topic.partitions[p];
  Answer& answer = response_.responses[t].partitions[p];
  if (!ref.stream) return fail(answer, ref.error, "no such topic");
  if (ref.stream->elastic()) {
    return fail(answer, Error::kPolicyViolation,
                "an elastic stream is not produced to by Kafka clients: their partitioners would "
                "choose closed shards; publish to it by gRPC");
  }
  Led led = find_led(services_, *ref.stream, asked.index, -1);
  const bool elsewhere = services_.hand_over && services_.hand_over->takes(led.id);
  if (led.error != Error::kNone && !elsewhere) {
    if (led.error == Error::kNotLeaderOrFollower) name_leader(answer, led.leader);
    return fail(answer, led.error, "");
  }
  Error error = Error::kNone;
  auto batch = checked_batch(*ref.stream, asked, error);
  if (!batch.ok()) return fail(answer, error, batch.status().message());
  ++pending_;
  partition::Acks acks = request_.acks == 0   ? partition::Acks::kNone
                         : request_.acks == 1 ? partition::Acks::kLeader
                                              : partition::Acks::kAll;
  auto done = [self = shared_from_this(), t, p,
               id = led.id](Result<partition::Appended> result) {
    self->on_appended(t, p, id, result);
  };
  if (elsewhere) {
    int64_t timeout_ms = std::clamp(request_.timeout_ms, 0, kTimeoutMsMax);
    return services_.hand_over->append(led.id, std::move(*batch), acks, timeout_ms,
                                       std::move(done));
  }
  led.partition->append(std::move(*batch), acks, std::move(done));
}

Result<Buffer> Production::checked_batch(const cluster::Stream& stream,
                                         const Request::Topic::Partition& asked, Error& error) {
  error = Error::kInvalidRecord;
  if (!asked.records || asked.records->pieces.empty()) {
    return Status(Code::kInvalidArgument, "a partition without a record batch");
  }
  const Buffer& batch = asked.records->pieces.front();  // a request's records are one piece
  int32_t limit = stream.map.config().record_bytes_max();
  ProduceLimits limits;
  limits.batch_bytes_max =
      static_cast<size_t>(limit > 0 ? limit : services_.options.batch_bytes_max);
  auto header = validate_produced_batch(batch.view(), limits);
  if (!header.ok()) {
    error = append_error(header.code());
    return header.status();
  }
  if (header->compression() == Compression::kZstd && exchange_->version() < kZstdVersionMin) {
    error = Error::kUnsupportedCompressionType;
    return Status(Code::kUnsupported, "zstd needs Produce version 7 or later");
  }
  Status timely = check_timestamps(stream, *header);
  if (!timely.ok()) {
    error = Error::kInvalidTimestamp;
    return timely;
  }
  return batch;
}

// The first and the largest timestamp of a batch tell enough, without decompressing it.
Status Production::check_timestamps(const cluster::Stream& stream,
                                    const BatchHeader& header) const {
  constexpr int64_t kNone = -1;
  TimestampRules rules = timestamp_rules(stream.map.config());
  if (rules.log_append_time) return {};
  int64_t now_ms = services_.clock.wall_ms();
  if (header.max_timestamp_ms != kNone && header.max_timestamp_ms > now_ms &&
      header.max_timestamp_ms - now_ms > rules.after_max_ms) {
    return Status(Code::kInvalidArgument,
                  "Timestamp " + std::to_string(header.max_timestamp_ms) +
                      " is more than message.timestamp.after.max.ms ahead of the broker's clock");
  }
  if (header.base_timestamp_ms != kNone && header.base_timestamp_ms < now_ms &&
      rules.before_max_ms < INT64_MAX && now_ms - header.base_timestamp_ms > rules.before_max_ms) {
    return Status(Code::kInvalidArgument,
                  "Timestamp " + std::to_string(header.base_timestamp_ms) +
                      " is more than message.timestamp.before.max.ms behind the broker's clock");
  }
  return {};
}

void Production::fail(Answer& answer, Error error, std::string message) {
  answer.error_code = exchange_->fail(error);
  answer.base_offset = -1;
  if (!message.empty()) answer.error_message = std::move(message);
}

void Production::name_leader(Answer& answer, const Leader& leader) {
  answer.current_leader.leader_id = leader.broker.value;
  answer.current_leader.leader_epoch = leader.term.value;
  add_endpoint(services_, *exchange_, leader.broker, response_.node_endpoints);
}

void Production::on_appended(size_t t, size_t p, const ShardId& id,
                             const Result<partition::Appended>& result) {
  if (answered_) return;
  Answer& answer = response_.responses[t].partitions[p];
  if (result.ok()) {
    answer.base_offset = result->base_offset.value;
    answer.log_start_offset = result->log_start.value;
    answer.log_append_time_ms = result->log_append_time_ms;
  } else {
    Error error = append_error(result.code());
    if (error == Error::kNotLeaderOrFollower) name_leader(answer, leader_of(services_, id));
    fail(answer, error, result.status().message());
  }
  request_.topics[t].partitions[p].records.reset();
  finish_one();
}

void Production::finish_one() {
  if (--pending_ == 0) answer();
}

// Whatever has not been appended by now is unknown to the client; it may still be.
void Production::on_timeout() {
  timer_.reset();
  if (answered_) return;
  for (size_t t = 0; t < request_.topics.size(); ++t) {
    for (size_t p = 0; p < request_.topics[t].partitions.size(); ++p) {
      Answer& answer = response_.responses[t].partitions[p];
      bool done = !request_.topics[t].partitions[p].records || answer.error_code != 0;
      if (!done) fail(answer, Error::kRequestTimedOut, "not committed in time");
    }
  }
  answer();
}

void Production::answer() {
  answered_ = true;
  if (timer_) services_.executor.cancel(*timer_);
  // As Kafka counts it: the whole request, whatever became of it.
  charge(services_, *exchange_, quotas::Quota::kProducerByteRate,
         static_cast<double>(exchange_->frame.size()));
  if (request_.acks != 0) return respond(*exchange_, response_);
  // Without responses the only way to tell the client is to end the connection.
  if (exchange_->error != Error::kNone) return exchange_->close();
  begin_pause(*exchange_);
  exchange_->reply({});
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  std::make_shared<Production>(context.services, exchange, std::move(request))->start();
}

}  // namespace broker::handlers::kafka
