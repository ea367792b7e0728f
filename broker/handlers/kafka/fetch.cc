// Fetch: reads committed batches from the partitions that a consumer names, waiting up to max_wait
// for min_bytes. At least one whole batch is returned when there is one, whatever the limits say,
// so that a consumer always gets on. Nothing is transactional yet: the last stable offset is the
// high watermark.
#include <algorithm>
#include <map>

#include "broker/handlers/kafka/fetch_sessions.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/nearest.h"
#include "broker/handlers/kafka/throttle.h"
#include "broker/handlers/kafka/topics.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::FetchRequest;
using Response = wire::FetchResponse;
using Answer = Response::Topic::Partition;

constexpr int16_t kRackVersionMin = 11, kTopicIdVersionMin = 13;

// A request that reads, and perhaps waits. Kept alive by its timer and by the partitions' wakes.
class Fetching : public std::enable_shared_from_this<Fetching> {
 public:
  Fetching(const Services& services, FetchSessions& sessions, ExchangePtr exchange,
           const Request& request, FetchSessions::Plan plan);
  void start() { attempt(); }

 private:
  struct Read {
    std::vector<Answer> answers;  // as plan_.targets
    size_t bytes = 0;
    bool urgent = false;  // an error or a divergence is told at once
    size_t loading = 0;    // bytes that are on their way from the disk, at most
    std::map<Uuid, size_t> by_stream;  // bytes
  };
  struct Wait {
    ShardId shard;
    partition::Partition::WaitId id;
  };

  void attempt();
  Read read_all();
  void read_one(const FetchTarget& target, Read& read, Answer& answer);
  Led find_replica(const cluster::Stream& stream, const FetchTarget& target) const;
  Error read_records(partition::Partition& partition, const FetchTarget& target, Read& read,
                     Answer& answer);
  bool diverged(const partition::Partition& partition, const FetchTarget& target,
                Answer& answer) const;
  TopicRef find(const FetchTarget& target) const;
  void fail(Answer& answer, Error error);
  void wait();
  void cancel_waits();
  void on_wake();
  void on_loaded(const ShardId& shard);
  void answer(Read read);
  bool is_over_quota(size_t bytes);
  void answer_throttled();
  bool is_news(FetchTarget& target, const Answer& answer) const;

  const Services& services_;
  FetchSessions& sessions_;
  ExchangePtr exchange_;
  FetchSessions::Plan plan_;
  int64_t deadline_ms_;
  int64_t bytes_min_;
  size_t bytes_max_;
  bool read_committed_;
  std::string rack_;  // the consumer's zone, where it reads from the closest replica
  bool done_ = false, wake_posted_ = false;
  std::vector<Wait> waits_;
  std::map<ShardId, bool> loads_;  // for this request; whether one is over
  std::optional<env::TimerId> timer_;
};

Fetching::Fetching(const Services& services, FetchSessions& sessions, ExchangePtr exchange,
                   const Request& request, FetchSessions::Plan plan)
    : services_(services),
      sessions_(sessions),
      exchange_(std::move(exchange)),
      plan_(std::move(plan)),
      deadline_ms_(services.clock.mono_ms() +
                   std::clamp(request.max_wait_ms, 0, services.options.fetch_wait_ms_max)),
      bytes_min_(request.min_bytes),
      bytes_max_(
          static_cast<size_t>(std::clamp(request.max_bytes, 0, services.options.fetch_bytes_max))),
      read_committed_(request.isolation_level == 1),
      rack_(exchange_->version() >= kRackVersionMin ? request.rack_id : "") {
  if (services_.quotas) {
    int64_t allowed =
        services_.quotas->bytes_max(quotas::Quota::kConsumerByteRate, quota_client(*exchange_));
    bytes_max_ = static_cast<size_t>(std::min(allowed, static_cast<int64_t>(bytes_max_)));
  }
  bytes_min_ = std::min(bytes_min_, static_cast<int64_t>(bytes_max_));
}

void Fetching::attempt() {
  wake_posted_ = false;
  if (done_) return;
  Working working(*exchange_);
  cancel_waits();
  Read read = read_all();
  // What is on the disk is waited for, as Apache Kafka does: the time is for news.
  bool waits_for_disk = read.loading > 0 && read.bytes == 0;
  bool enough = services_.clock.mono_ms() >= deadline_ms_ ||
                static_cast<int64_t>(read.bytes) >= bytes_min_;
  if (read.urgent || plan_.targets.empty() || (enough && !waits_for_disk)) {
    return answer(std::move(read));
  }
  wait();
}

TopicRef Fetching::find(const FetchTarget& target) const {
  return find_topic(services_, *exchange_, security::Operation::kRead, target.topic, target.topic_id,
                    exchange_->version() >= kTopicIdVersionMin);
}

Fetching::Read Fetching::read_all() {
  Read read;
  read.answers.resize(plan_.targets.size());
  for (size_t i = 0; i < plan_.targets.size(); ++i) {
    Answer& answer = read.answers[i];
    read_one(*plan_.targets[i], read, answer);
    if (answer.error_code != 0 || answer.diverging_epoch.end_offset >= 0 ||
        answer.preferred_read_replica >= 0) {
      read.urgent = true;
    }
  }
  return read;
}

void Fetching::fail(Answer& answer, Error error) {
  answer.error_code = exchange_->fail(error);
  answer.high_watermark = -1;
}

// The leader here; or a follower that the consumer was sent to for being close.
Led Fetching::find_replica(const cluster::Stream& stream, const FetchTarget& target) const {
  Led led = find_led(services_, stream, target.asked.partition, target.asked.current_leader_epoch);
  if (led.error != Error::kNotLeaderOrFollower || rack_.empty()) return led;
  return find_followed(services_, stream, target.asked.partition,
                       target.asked.current_leader_epoch);
}

void Fetching::read_one(const FetchTarget& target, Read& read, Answer& answer) {
  answer.partition_index = target.asked.partition;
  answer.records.emplace();
  TopicRef topic = find(target);
  if (!topic.stream) return fail(answer, topic.error);
  Led led = find_replica(*topic.stream, target);
  if (led.error != Error::kNone) {
    if (led.error != Error::kUnknownTopicOrPartition) {
      answer.current_leader.leader_id = led.leader.broker.value;
      answer.current_leader.leader_epoch = led.leader.term.value;
    }
    return fail(answer, led.error);
  }
  partition::Partition& partition = *led.partition;
  auto nearest = partition.is_leader() ? nearest_replica(services_, partition, rack_) : std::nullopt;
  if (nearest && target.asked.fetch_offset >= partition.log_start().value &&
      target.asked.fetch_offset <= partition.high_watermark().value) {
    answer.preferred_read_replica = nearest->value;
  } else if (!diverged(partition, target, answer)) {
    Error error = read_records(partition, target, read, answer);
    if (error != Error::kNone) return fail(answer, error);
  }
  answer.high_watermark = partition.high_watermark().value;
  answer.last_stable_offset = answer.high_watermark;
  answer.log_start_offset = partition.log_start().value;
  if (read_committed_) answer.aborted_transactions.emplace();
}

// KIP-320: the fetcher's last record has a term whose end lies before it here.
bool Fetching::diverged(const partition::Partition& partition, const FetchTarget& target,
                        Answer& answer) const {
  if (target.asked.last_fetched_epoch < 0) return false;
  partition::TermEnd end = partition.term_end(Term{target.asked.last_fetched_epoch});
  if (end.term.value >= target.asked.last_fetched_epoch &&
      end.end.value >= target.asked.fetch_offset) {
    return false;
  }
  answer.diverging_epoch.epoch = end.term.value;
  answer.diverging_epoch.end_offset = end.end.value;
  return true;
}

Error Fetching::read_records(partition::Partition& partition, const FetchTarget& target, Read& read,
                             Answer& answer) {
  const size_t taken = read.bytes + read.loading;
  size_t room = bytes_max_ - std::min(bytes_max_, taken);
  room = std::min(room, static_cast<size_t>(std::max(target.asked.partition_max_bytes, 0)));
  Offset from{target.asked.fetch_offset};
  // A follower may hear of what is committed a little later than the leader's consumer did. An
  // offset that stays beyond its log sends the consumer back to the leader, as in Apache Kafka.
  if (!partition.is_leader() && from > partition.high_watermark() &&
      (from <= partition.log_end() || services_.clock.mono_ms() < deadline_ms_)) {
    return Error::kNone;
  }
  const ShardId& shard = partition.id();
  const auto known = loads_.find(shard);
  const bool loads = known != loads_.end() && !known->second;
  const bool in_bounds = from >= partition.log_start() && from <= partition.high_watermark();
  if (loads) read.loading += std::max<size_t>(room, 1);
  if (loads || (room == 0 && taken > 0 && in_bounds)) return Error::kNone;
  storage::Load load{[self = shared_from_this(), shard] { self->on_loaded(shard); }};
  auto fetched =
      partition.read(from, room, !rack_.empty(), known == loads_.end() ? &load : nullptr);
  if (load.started) {
    loads_[shard] = false;
    read.loading += std::max<size_t>(room, 1);
    return Error::kNone;
  }
  if (!fetched.ok()) {
    return fetched.code() == Code::kUnavailable ? Error::kOffsetNotAvailable
                                                : wire::to_kafka_error(fetched.code());
  }
  // The first batch of a partition comes whatever its size; only the response's first may stay.
  if (fetched->bytes > room && read.bytes > 0) return Error::kNone;
  // Whatever their codec, and whatever the version: as in Apache Kafka where compression.type is
  // "producer". aiokafka reads zstd by version 4.
  for (Batch& batch : fetched->batches) answer.records->pieces.push_back(std::move(batch.bytes));
  read.bytes += fetched->bytes;
  if (fetched->bytes > 0) read.by_stream[partition.id().stream] += fetched->bytes;
  return Error::kNone;
}

void Fetching::wait() {
  auto self = shared_from_this();
  for (const auto& target : plan_.targets) {
    TopicRef topic = find(*target);
    if (!topic.stream) continue;
    ShardId shard{topic.stream->id, target->asked.partition};
    partition::Partition* partition = services_.find_partition(shard);
    if (!partition) continue;
    auto id = partition->wait_past(partition->high_watermark(), [self] { self->on_wake(); });
    waits_.push_back({shard, id});
  }
  int64_t left_ms = deadline_ms_ - services_.clock.mono_ms();
  if (!timer_ && left_ms > 0) {
    timer_ = services_.executor.schedule_after(left_ms, [self] {
      self->timer_.reset();
      self->attempt();
    });
  }
}

void Fetching::cancel_waits() {
  for (const Wait& wait : std::exchange(waits_, {})) {
    if (auto* partition = services_.find_partition(wait.shard)) partition->cancel_wait(wait.id);
  }
}

void Fetching::on_loaded(const ShardId& shard) {
  loads_[shard] = true;
  on_wake();
}

// Runs inside a partition: reads in a turn of its own, once for all that wake in this one.
void Fetching::on_wake() {
  if (done_ || wake_posted_) return;
  wake_posted_ = true;
  services_.executor.post([self = shared_from_this()] { self->attempt(); });
}

bool Fetching::is_news(FetchTarget& target, const Answer& answer) const {
  bool news = answer.error_code != 0 || answer.records->size() > 0 ||
              answer.diverging_epoch.end_offset >= 0 || answer.preferred_read_replica >= 0 ||
              answer.high_watermark != target.told_high_watermark ||
              answer.log_start_offset != target.told_log_start;
  // An error is told again until it is gone.
  target.told_high_watermark = answer.error_code != 0 ? -1 : answer.high_watermark;
  target.told_log_start = answer.log_start_offset;
  return news;
}

// Records what the answer gives; an answer that is not given is not counted.
bool Fetching::is_over_quota(size_t bytes) {
  if (!services_.quotas) return false;
  charge(services_, *exchange_, quotas::Quota::kConsumerByteRate, static_cast<double>(bytes));
  charge_work(*exchange_);
  if (exchange_->throttle_ms == 0) return false;
  services_.quotas->take_back(quotas::Quota::kConsumerByteRate, quota_client(*exchange_),
                              static_cast<double>(bytes));
  return true;
}

// KIP-219: no records, and a session that a full request has just begun is not told of.
void Fetching::answer_throttled() {
  Response response;
  if (plan_.incremental) response.session_id = plan_.session->id;
  if (plan_.session && !plan_.incremental) sessions_.close(*plan_.session);
  respond(*exchange_, response);
}

void Fetching::answer(Read read) {
  done_ = true;
  if (timer_) services_.executor.cancel(*timer_);
  if (is_over_quota(read.bytes)) return answer_throttled();
  if (!rack_.empty() && services_.fetched_in) {
    for (const auto& [stream, bytes] : read.by_stream) services_.fetched_in(rack_, stream, bytes);
  }
  Response response;
  response.session_id = plan_.session ? plan_.session->id : 0;
  for (size_t i = 0; i < plan_.targets.size(); ++i) {
    FetchTarget& target = *plan_.targets[i];
    Answer& answer = read.answers[i];
    bool is_news = this->is_news(target, answer);
    if (plan_.incremental && !is_news) continue;
    if (plan_.session && answer.records->size() > 0) FetchSessions::served(*plan_.session, target);
    if (answer.current_leader.leader_id >= 0) {
      add_endpoint(services_, *exchange_, BrokerId{answer.current_leader.leader_id}, response.node_endpoints);
    }
    if (response.responses.empty() || response.responses.back().topic != target.topic ||
        response.responses.back().topic_id != target.topic_id) {
      auto& topic = response.responses.emplace_back();
      topic.topic = target.topic;
      topic.topic_id = target.topic_id;
    }
    response.responses.back().partitions.push_back(std::move(answer));
  }
  respond(*exchange_, response);
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  auto plan = context.fetch_sessions->plan(request, exchange->version());
  if (plan.error != Error::kNone) {
    Response response;
    response.error_code = exchange->fail(plan.error);
    return respond(*exchange, response);
  }
  std::make_shared<Fetching>(context.services, *context.fetch_sessions, exchange, request,
                             std::move(plan))
      ->start();
}

}  // namespace broker::handlers::kafka
