#include "tests/sim/publisher.h"

namespace broker::sim {
namespace {
constexpr size_t kRequestsMax = 4;
constexpr int64_t kPatienceUs = 40'000'000;  // the flow itself gives up after 30 s
constexpr int kKeys = 6;
}  // namespace

Publisher::~Publisher() = default;

void Publisher::open() {
  BrokerProcess* broker = clients_.cluster().any_broker();
  if (!broker || !clients_.cluster().map(stream_)) return;
  call_ = std::make_shared<Call>();
  call_->broker = broker->id();
  call_->incarnation = broker->incarnation();
  call_->keys = "f" + std::to_string(clients_.next_id()) + "-";
  call_->last_answer_us = clients_.cluster().world.now_us();
  std::weak_ptr<Call> weak = call_;
  broker->executor().post([this, broker, weak] {
    auto call = weak.lock();
    if (!call) return;
    handlers::grpc::PublishFlow::Output output;
    output.respond = [this, weak](cluster::v1::PublishResponse response, size_t) {
      clients_.cluster().world.schedule(200, [this, weak, response = std::move(response)] {
        if (auto call = weak.lock()) on_response(*call, response);
      });
    };
    output.finish = [weak](const Status&) {
      if (auto call = weak.lock()) call->over = true;
    };
    call->flow = broker->handlers().publish(std::move(output));
  });
}

// The broker is gone or the call has ended: nobody knows what became of the rest.
void Publisher::drop() {
  for (const auto& ids : call_->unanswered) clients_.unknown += ids.size();
  call_.reset();
}

void Publisher::step() {
  if (call_) {
    BrokerProcess& broker = clients_.cluster().broker(call_->broker);
    bool gone = !broker.running() || broker.incarnation() != call_->incarnation;
    bool stuck = clients_.cluster().world.now_us() - call_->last_answer_us > kPatienceUs &&
                 !call_->unanswered.empty();
    if (gone || stuck || call_->over) drop();
  }
  if (!clients_.producing()) return;
  if (!call_) open();
  if (call_ && call_->flow && call_->unanswered.size() < kRequestsMax) send();
}

void Publisher::send() {
  SimRandom& random = clients_.cluster().world.random();
  cluster::v1::PublishRequest request;
  request.set_stream(stream_);
  std::vector<uint64_t> ids;
  int count = 1 + static_cast<int>(random.below(6));
  for (int i = 0; i < count; i++) {
    RecordName name;
    name.id = clients_.next_id();
    name.key = call_->keys + std::to_string(random.below(kKeys));
    name.number = call_->numbers[name.key]++;
    auto* record = request.add_records();
    record->set_key(name.key);
    record->set_value(encode_record_value(name, random.below(clients_.settings().padding_max)));
    ids.push_back(name.id);
  }
  if (call_->unanswered.empty()) call_->last_answer_us = clients_.cluster().world.now_us();
  call_->unanswered.push_back(std::move(ids));
  BrokerProcess& broker = clients_.cluster().broker(call_->broker);
  std::weak_ptr<Call> weak = call_;
  broker.executor().schedule_us(random.between(50, 1'000), [weak, request = std::move(request)] {
    auto call = weak.lock();
    if (call && call->flow) call->flow->on_request(request, request.ByteSizeLong());
  });
}

void Publisher::on_response(Call& call, const cluster::v1::PublishResponse& response) {
  if (call.unanswered.empty()) return;
  call.last_answer_us = clients_.cluster().world.now_us();
  auto ids = std::move(call.unanswered.front());
  call.unanswered.pop_front();
  const auto* map = clients_.cluster().map(stream_);
  for (int i = 0; i < response.results_size(); i++) {
    const auto& result = response.results(i);
    if (result.shard() < 0 || !map) {
      clients_.unknown++;
      last_error_ = result.message();
      continue;
    }
    clients_.acknowledged++;
    clients_.cluster().oracle.acknowledged({*Uuid::parse(map->stream_id()), result.shard()},
                                           Offset{result.offset()},
                                           {ids[static_cast<size_t>(i)]});
  }
}

std::string Publisher::busy() {
  if (!call_ || call_->unanswered.empty() || !clients_.cluster().map(stream_)) return {};
  return "a publisher to " + stream_ + " waits for broker " + std::to_string(call_->broker) +
         ": " + last_error_;
}

}  // namespace broker::sim
