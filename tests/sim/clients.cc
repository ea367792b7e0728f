#include "tests/sim/clients.h"

#include "broker/model/records.h"
#include "tests/sim/publisher.h"
#include "tests/sim/stream_reader.h"

namespace broker::sim {
namespace {

constexpr int64_t kCallUs = 2'000'000;
constexpr size_t kWindow = 4;  // batches in flight: the log remembers five

bool certainly_not_stored(Code code) {
  return code == Code::kNotLeader || code == Code::kUnavailable || code == Code::kNoSpace ||
         code == Code::kResourceExhausted || code == Code::kNotFound;
}

// Speaks to the leader of each shard of a partitioned stream.
class Producer : public Clients::Client {
 public:
  Producer(Clients& clients, std::string stream, bool idempotent)
      : clients_(clients), stream_(std::move(stream)), idempotent_(idempotent) {}

  void step() override {
    SimRandom& random = clients_.cluster().world.random();
    const auto* map = clients_.cluster().map(stream_);
    if (clients_.producing() && map && map->shards_size() > 0) {
      const auto& shard = map->shards(static_cast<int>(random.below(
          static_cast<uint64_t>(map->shards_size()))));
      ShardId id{*Uuid::parse(map->stream_id()), shard.index()};
      auto [lane, fresh] = lanes_.try_emplace(id);
      if (fresh) {
        lane->second.shard = id;
        lane->second.producer_id = idempotent_ ? clients_.next_producer_id() : -1;
        lane->second.key = "p" + std::to_string(clients_.next_id());
      }
      if (lane->second.window.empty() && idempotent_ && random.one_in(20)) begin_anew(lane->second);
      if (!lane->second.failed && lane->second.window.size() < (idempotent_ ? kWindow : 1)) {
        lane->second.window.push_back(make(lane->second));
        send(lane->second, lane->second.window.size() - 1);
      }
    }
    for (auto& [id, lane] : lanes_) resend(lane);
  }

  std::string busy() override {
    for (auto& [id, lane] : lanes_) {
      if (clients_.cluster().oracle.deleted(id.stream)) continue;
      if (!lane.window.empty()) {
        return "a producer waits for shard " + id.to_string() + ": " + lane.last_error;
      }
    }
    return {};
  }

 private:
  struct Item {
    uint64_t number;  // in its lane
    std::string batch;
    std::vector<uint64_t> ids;
    bool stored = false, outstanding = false;
  };
  struct Lane {
    ShardId shard;
    int64_t producer_id;
    std::string key;
    int32_t next_sequence = 0;
    uint64_t next_number = 0, next_item = 0;
    std::deque<Item> window;
    int outstanding = 0;
    bool failed = false;  // everything that is not stored is sent again, in order
    bool forgotten = false;  // the shard does not know the producer, or any of its history
    int64_t arrival_us = 0;
    std::string last_error;
  };

  Item make(Lane& lane) {
    SimRandom& random = clients_.cluster().world.random();
    RecordBatchBuilder::Options options;
    if (idempotent_) {
      options.producer_id = lane.producer_id;
      options.producer_epoch = 0;
      options.base_sequence = lane.next_sequence;
    }
    RecordBatchBuilder builder(options);
    Item item{lane.next_item++, {}, {}};
    int count = 1 + static_cast<int>(random.below(3));
    for (int i = 0; i < count; i++) {
      RecordName name{clients_.next_id(), lane.key, lane.next_number++};
      builder.add(1'700'000'000'000 + clients_.cluster().world.now_us() / 1000, name.key,
                  encode_record_value(name, random.below(clients_.settings().padding_max)));
      item.ids.push_back(name.id);
    }
    lane.next_sequence += count;
    item.batch = std::move(*builder.build());
    return item;
  }

  void begin_anew(Lane& lane) {
    lane.producer_id = clients_.next_producer_id();
    lane.next_sequence = 0;
  }

  void resend(Lane& lane) {
    if (!lane.failed || lane.outstanding > 0) return;
    lane.failed = false;
    if (std::exchange(lane.forgotten, false)) {
      // Whether what is in flight is stored nobody can say any more.
      clients_.unknown += lane.window.size();
      lane.window.clear();
      return begin_anew(lane);
    }
    for (size_t i = 0; i < lane.window.size(); i++) {
      if (!lane.window[i].stored) send(lane, i);
    }
  }

  void send(Lane& lane, size_t index) {
    BrokerProcess* asked = clients_.cluster().any_broker();
    const auto* shard = asked ? asked->metadata().find_shard(lane.shard) : nullptr;
    if (!shard || !shard->has_leader()) {
      lane.failed = true;
      lane.last_error = "no leader is known";
      return;
    }
    Item& item = lane.window[index];
    item.outstanding = true;
    lane.outstanding++;
    clients_.call(
        shard->leader(), lane.arrival_us,
        [id = lane.shard, batch = item.batch, acks = clients_.settings().acks](
            BrokerProcess& broker, Clients::Answer answer) {
          if (broker.hand_over().takes(id)) {
            return broker.hand_over().append(id, Buffer::copy_of(batch), acks, kCallUs / 1000,
                                             std::move(answer));
          }
          auto* partition = broker.partitions().find(id);
          if (!partition) return answer(Status(Code::kNotLeader, "not here"));
          partition->append(Buffer::copy_of(batch), acks, std::move(answer));
        },
        [this, id = lane.shard, number = item.number](Result<partition::Appended> result) {
          on_result(lanes_.at(id), number, result);
        });
  }

  void on_result(Lane& lane, uint64_t number, const Result<partition::Appended>& result) {
    lane.outstanding--;
    Item& item = lane.window.at(number - lane.window.front().number);
    item.outstanding = false;
    if (result.ok()) {
      item.stored = true;
      clients_.acknowledged += item.ids.size();
      clients_.cluster().oracle.acknowledged(lane.shard, result->base_offset, item.ids);
    } else {
      lane.last_error = result.status().to_string();
      lane.failed = true;
      lane.forgotten |= result.code() == Code::kUnknownProducer;
      // A leader that is deposed and does not know may have heard less. One that forgot a producer
      // would refuse it for ever: then nothing comes to rest.
      if (!idempotent_ && !certainly_not_stored(result.code())) {
        clients_.unknown++;  // nobody may send it again: it might be stored twice
        item.stored = true;
      }
    }
    while (!lane.window.empty() && lane.window.front().stored) lane.window.pop_front();
  }

  Clients& clients_;
  const std::string stream_;
  const bool idempotent_;
  std::map<ShardId, Lane> lanes_;
};

}  // namespace

Clients::~Clients() = default;

int64_t Clients::pause_us() {
  return cluster_.world.random().between(settings_.pause_min_ms, settings_.pause_max_ms) * 1000;
}

void Clients::add_producer(const std::string& stream, bool idempotent) {
  clients_.push_back(std::make_unique<Producer>(*this, stream, idempotent));
  run(clients_.size() - 1);
}

void Clients::add_publisher(const std::string& stream) {
  clients_.push_back(std::make_unique<Publisher>(*this, stream));
  run(clients_.size() - 1);
}

void Clients::add_reader(const std::string& stream) {
  clients_.push_back(std::make_unique<StreamReader>(*this, stream));
  run(clients_.size() - 1);
}

void Clients::run(size_t client) {
  cluster_.world.schedule(pause_us(), [this, client] {
    clients_[client]->step();
    run(client);
  });
}

bool Clients::idle(std::string* why) {
  for (auto& client : clients_) {
    std::string busy = client->busy();
    if (busy.empty()) continue;
    if (why) *why = busy;
    return false;
  }
  return true;
}

void Clients::call(int id, int64_t& lane_us, std::function<void(BrokerProcess&, Answer)> work,
                   Answer done) {
  SimWorld& world = cluster_.world;
  auto over = std::make_shared<bool>(false);
  auto finish = [over, done](Result<partition::Appended> result) {
    if (!std::exchange(*over, true)) done(std::move(result));
  };
  world.schedule(kCallUs, [finish] { finish(Status(Code::kTimeout, "no answer")); });
  lane_us = std::max(lane_us, world.now_us() + world.random().between(50, 2'000));
  world.schedule(lane_us - world.now_us(), [this, id, work = std::move(work), finish] {
    BrokerProcess& broker = cluster_.broker(id);
    if (!broker.running()) return finish(Status(Code::kUnavailable, "connection refused"));
    // The answer travels, too, and may be lost with the broker.
    auto answer = [&world = cluster_.world, finish](Result<partition::Appended> result) {
      world.schedule(world.random().between(50, 2'000), [finish, result] { finish(result); });
    };
    broker.executor().schedule_us(0, [&broker, work, answer] { work(broker, answer); });
  });
}

}  // namespace broker::sim
