#include "tests/sim/coordinator_host.h"

namespace broker::sim {
namespace {
constexpr int64_t kStalledUs = 3'000'000;  // a session that stands still for longer ends
}

CoordinatorHost::CoordinatorHost(SimWorld& world, Trace& trace, StoredMetadata& stored)
    : world_(world), trace_(trace), stored_(stored), clock_(world) {
  watch();
}

CoordinatorHost::~CoordinatorHost() = default;

void CoordinatorHost::start() {
  if (coordinator_) return;
  executor_ = std::make_unique<SimExecutor>(world_);
  store_ = std::make_unique<SimMetadataStore>(*executor_, stored_, trace_);
  coordination::CoordinatorOptions options;
  options.cluster = "sim";
  coordination::Outbox& outbox = *this;
  coordinator_ = std::make_unique<coordination::Coordinator>(options, clock_, world_.random(),
                                                             *store_, outbox);
  coordinator_->set_wake_callback([this] { tick_due_ms_ = 0; });
  tick_due_ms_ = 0;
  coordinator_->start();
  say_wishes();
  tick();
  trace_.note(world_.now_us(), "coordinator starts");
}

void CoordinatorHost::say_wishes() {
  if (!coordinator_) return;
  if (!expected.empty()) coordinator_->set_expected_brokers(expected);
  for (const auto& broker : expected) {
    coordinator_->set_draining(broker.id, draining.contains(broker.id));
  }
}

void CoordinatorHost::crash() {
  if (!coordinator_) return;
  trace_.note(world_.now_us(), "coordinator dies");
  executor_->kill();
  coordinator_.reset();
  store_.reset();
  bool notices = !world_.random().one_in(4);
  for (auto& [id, channel] : channels_) {
    channel.coordinator_open = false;
    int64_t delay = notices ? latency_us() : kStalledUs + latency_us();
    world_.schedule(delay, [this, id = id] { close_at_broker(id); });
  }
}

void CoordinatorHost::tick() {
  if (clock_.mono_ms() >= tick_due_ms_) tick_due_ms_ = coordinator_->tick();
  executor_->schedule_after(coordination::kTickMs, [this] { tick(); });
}

CoordinatorHost::Channel* CoordinatorHost::find(SessionId session) {
  auto it = channels_.find(session);
  return it == channels_.end() ? nullptr : &it->second;
}

// ---- brokers ----

void CoordinatorHost::attach(int broker, SimExecutor& executor, cluster::Session& session) {
  brokers_[broker] = {&executor, &session};
  executor.schedule_us(latency_us(), [this, broker] { dial(broker); });
}

void CoordinatorHost::detach(int broker, bool power_loss) {
  auto it = brokers_.find(broker);
  if (it == brokers_.end()) return;
  SessionId session = it->second.channel;
  brokers_.erase(it);
  Channel* channel = find(session);
  if (!channel) return;
  channel->broker_open = false;
  world_.schedule(power_loss ? kStalledUs : latency_us(),
                  [this, session] { close_at_coordinator(session); });
}

void CoordinatorHost::dial(int broker) {
  auto it = brokers_.find(broker);
  if (it == brokers_.end() || it->second.channel) return;
  if (!coordinator_ || blocked_to_.contains(broker) || blocked_from_.contains(broker)) {
    it->second.executor->schedule_us(world_.random().between(100'000, 800'000),
                                     [this, broker] { dial(broker); });
    return;
  }
  SessionId session = next_session_++;
  it->second.channel = session;
  channels_[session].broker = broker;
  carry(session, false, [this, session] {
    if (coordinator_) coordinator_->on_connect(session);
  });
  it->second.session->on_connected();
}

void CoordinatorHost::block(int broker, bool to_broker, bool from_broker) {
  if (to_broker) blocked_to_.insert(broker);
  if (from_broker) blocked_from_.insert(broker);
}

void CoordinatorHost::unblock_all() {
  blocked_to_.clear();
  blocked_from_.clear();
  for (auto& [id, channel] : channels_) {
    auto stalled = std::move(channel.stalled);
    channel.stalled.clear();
    channel.stalled_since_us = -1;
    for (auto& task : stalled) task();
  }
}

void CoordinatorHost::carry(SessionId session, bool to_broker, env::Task arrival) {
  Channel* channel = find(session);
  if (!channel) return;
  int64_t& last = to_broker ? channel->to_broker_us : channel->to_coordinator_us;
  last = std::max(last, world_.now_us() + latency_us());
  auto land = [this, session, to_broker, arrival = std::move(arrival)] {
    Channel* channel = find(session);
    if (!channel) return;
    if (to_broker) {
      auto broker = brokers_.find(channel->broker);
      if (!channel->broker_open || broker == brokers_.end()) return;
      broker->second.executor->schedule_us(0, [this, session, arrival] {
        Channel* channel = find(session);
        if (channel && channel->broker_open) arrival();
      });
    } else if (channel->coordinator_open && coordinator_) {
      executor_->schedule_us(0, [this, session, arrival] {
        Channel* channel = find(session);
        if (channel && channel->coordinator_open) arrival();
      });
    }
  };
  world_.schedule(last - world_.now_us(), [this, session, to_broker, land] {
    Channel* channel = find(session);
    if (!channel) return;
    bool blocked = (to_broker ? blocked_to_ : blocked_from_).contains(channel->broker);
    if (!blocked) return land();
    channel->stalled.push_back(land);
    if (channel->stalled_since_us < 0) channel->stalled_since_us = world_.now_us();
  });
}

void CoordinatorHost::from_broker(int broker, const sluice::v1::BrokerMessage& message) {
  auto it = brokers_.find(broker);
  if (it == brokers_.end() || !it->second.channel) return;
  trace_.mix(static_cast<uint64_t>(world_.now_us()) << 16 | message.ByteSizeLong());
  carry(it->second.channel, false, [this, session = it->second.channel, message] {
    if (coordinator_) coordinator_->on_message(session, message);
  });
}

void CoordinatorHost::send(SessionId session, const sluice::v1::CoordinatorMessage& message) {
  trace_.mix(static_cast<uint64_t>(world_.now_us()) << 16 | message.ByteSizeLong());
  carry(session, true, [this, session, message] {
    Channel* channel = find(session);
    brokers_.at(channel->broker).session->on_message(message);
  });
}

void CoordinatorHost::close(SessionId session) {
  Channel* channel = find(session);
  if (!channel) return;
  channel->coordinator_open = false;
  carry(session, true, [this, session] { close_at_broker(session); });
}

void CoordinatorHost::hang_up(int broker) {
  auto it = brokers_.find(broker);
  if (it == brokers_.end() || !it->second.channel) return;
  SessionId session = it->second.channel;
  close_at_broker(session);
  world_.schedule(latency_us(), [this, session] { close_at_coordinator(session); });
}

// As gRPC ends a call: on the process's own thread. The broker dials again.
void CoordinatorHost::close_at_broker(SessionId session) {
  Channel* channel = find(session);
  if (!channel || !channel->broker_open) return;
  channel->broker_open = false;
  auto broker = brokers_.find(channel->broker);
  if (broker == brokers_.end() || broker->second.channel != session) return;
  Attached& attached = broker->second;
  attached.executor->schedule_us(0, [this, id = channel->broker, session] {
    auto it = brokers_.find(id);
    if (it == brokers_.end() || it->second.channel != session) return;
    it->second.channel = 0;
    it->second.session->on_disconnected();
    it->second.executor->schedule_us(world_.random().between(50'000, 500'000),
                                     [this, id] { dial(id); });
  });
}

void CoordinatorHost::close_at_coordinator(SessionId session) {
  Channel* channel = find(session);
  if (!channel || !channel->coordinator_open || !coordinator_) return;
  channel->coordinator_open = false;
  executor_->schedule_us(0, [this, session] { coordinator_->on_disconnect(session); });
}

void CoordinatorHost::watch() {
  std::vector<SessionId> dead;
  for (auto& [id, channel] : channels_) {
    bool stalled = channel.stalled_since_us >= 0 &&
                   world_.now_us() - channel.stalled_since_us > kStalledUs;
    if (stalled) dead.push_back(id);
  }
  for (SessionId id : dead) {
    close_at_broker(id);
    close_at_coordinator(id);
    channels_.at(id).stalled.clear();
    channels_.at(id).stalled_since_us = -1;
  }
  std::erase_if(channels_, [](const auto& entry) {
    return !entry.second.broker_open && !entry.second.coordinator_open;
  });
  world_.schedule(500'000, [this] { watch(); });
}

}  // namespace broker::sim
