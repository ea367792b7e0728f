// A day of metering on virtual time, with everything that restarts, moves and splits meanwhile: what
// the maps and the ledger hold adds up to the record that the test keeps itself, exactly.
#include "broker/metering/bill.h"
#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;

// Some records are large.
int64_t units_at(int64_t offset) { return 1 + offset % 3; }

// The test's own record of time: integrals over what the store holds.
class Record {
 public:
  explicit Record(World& w) : w_(w) {
    w.store.after_write = [this](int) { look(); };
  }
  ~Record() { w_.store.after_write = nullptr; }
  void look() {
    const int64_t ms = w_.clock.wall_ms() - at_ms_;
    shard_ms += open_ * ms;
    extended_shard_ms += extended_ ? open_ * ms : 0;
    at_ms_ = w_.clock.wall_ms();
    const ShardMap* map = w_.map("s");
    open_ = map && !map->deleting() ? open_shard_count(*map) : 0;
    extended_ = map && map->config().retention_ms() > metering::kExtendedAfterMs;
  }
  int64_t shard_ms = 0, extended_shard_ms = 0;

 private:
  World& w_;
  int64_t at_ms_ = 0, open_ = 0;
  bool extended_ = false;
};

// What leaders and brokers tell, as partition/ and cluster/ do.
class Teller {
 public:
  explicit Teller(World& w) : w_(w) {}

  void tell_all() {
    for (auto& [id, broker] : w_.brokers) tell(broker);
  }
  void sent(int32_t broker, int64_t bytes) { traffic_[w_.brokers[broker].directory] += bytes; }
  int64_t sent_in_all() const {
    int64_t sum = 0;
    for (const auto& [directory, bytes] : traffic_) sum += bytes;
    return sum;
  }
  // Of all that was ever committed: the truth.
  sluice::v1::Usage committed() const {
    sluice::v1::Usage usage;
    for (const auto& [key, end] : w_.committed) {
      int64_t last = end;
      const ShardMap* map = w_.map("s");
      const Shard* shard = map ? find_shard_by_index(*map, key.second) : nullptr;
      if (shard && shard->end_offset() > 0) last = shard->end_offset() - 1;  // the seal is free
      for (int64_t at = 0; at < last; ++at) usage.set_put_units(usage.put_units() + units_at(at));
      usage.set_records(usage.records() + last);
    }
    return usage;
  }

 private:
  void tell(WorldBroker& broker) {
    if (!broker.up || !broker.session || !w_.coordinator) return;
    sluice::v1::BrokerMessage message;
    auto& reports = *message.mutable_usage();
    for (auto& [key, replica] : broker.replicas) {
      auto known = broker.maps.find(key.first);
      if (!replica.leads || known == broker.maps.end()) continue;
      const Shard* shard = find_shard_by_index(known->second, key.second);
      if (!shard || shard->term() != replica.term) continue;
      int64_t end = std::min(replica.end, w_.committed[key]);
      if (end <= shard->metered_offset()) continue;
      auto* report = reports.add_shards();
      report->set_stream_id(key.first);
      report->set_shard(key.second);
      report->set_term(replica.term);
      report->set_from_offset(shard->metered_offset());
      report->set_to_offset(end);
      const int64_t last = replica.sealed ? std::min(end, replica.sealed_end - 1) : end;
      for (int64_t at = shard->metered_offset(); at < last; ++at) {
        report->set_put_units(report->put_units() + units_at(at));
        report->set_records(report->records() + 1);
      }
    }
    if (const ShardMap* map = w_.map("s"); map && traffic_.count(broker.directory)) {
      auto* entry = reports.add_traffic();
      entry->set_stream_id(map->stream_id());
      entry->mutable_traffic()->set_directory(broker.directory);
      entry->mutable_traffic()->set_replicated_bytes(traffic_[broker.directory]);
    }
    w_.coordinator->on_message(broker.session, message);
  }

  World& w_;
  std::map<std::string, int64_t> traffic_;
};

void set_retention(World& w, int64_t hours) {
  sluice::v1::AdminRequest request;
  request.mutable_update_stream()->set_name("s");
  request.mutable_update_stream()->mutable_config()->set_retention_ms(hours * kHourMs);
  request.mutable_update_stream()->add_fields("retention_ms");
  EXPECT_EQ(w.ask(request).code(), "OK");
}

std::vector<int32_t> open_shards(const World& w) {
  std::vector<int32_t> out;
  for (const auto& shard : w.map("s")->shards()) {
    if (shard.state() == sluice::v1::SHARD_STATE_OPEN) out.push_back(shard.index());
  }
  return out;
}

// Everybody is told, and the last interval is over.
void settle_meters(World& w, Teller& teller) {
  w.producing = false;
  ASSERT_TRUE(w.run_until([&] { return w.settled(); }, 60'000));
  for (int i = 0; i < 3; ++i) {
    w.run(300);
    teller.tell_all();
    w.run(500);
    w.clock.time_ms += w.options.metering_interval_ms;
    w.run(500);
  }
}

class Story {
 public:
  Story(World& w, Teller& teller, uint64_t seed) : w_(w), teller_(teller), state_(seed * 2 + 1) {}

  void day() {
    for (int minute = 0; minute < 24 * 60; ++minute) {
      const int64_t end = w_.clock.time_ms + kMinuteMs;
      w_.producing = true;
      w_.run(50);
      for (auto& [id, broker] : w_.brokers) teller_.sent(id, 1 + below(1000));
      if (below(3) > 0) teller_.tell_all();
      if (below(10) == 0) event();
      w_.run(50);
      w_.producing = false;
      w_.clock.time_ms = std::max(w_.clock.time_ms, end);
    }
  }

 private:
  uint64_t below(uint64_t bound) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state_ >> 33) % bound;
  }
  void event() {
    switch (below(8)) {
      case 0:  // a broker dies, and comes back
      case 1: {
        const auto id = static_cast<int32_t>(below(3));
        w_.kill(id);
        w_.run(2500);
        teller_.tell_all();
        w_.revive(id);
        break;
      }
      case 2:
      case 3:
        w_.crash_wanted = true;  // the coordinator, with whatever it has not written
        break;
      case 4:
        if (open_shards(w_).size() < 6 && w_.settled()) w_.split("s", open_shards(w_).front());
        break;
      case 5: {
        auto open = open_shards(w_);
        if (open.size() < 3 || !w_.settled()) break;
        for (size_t i = 0; i + 1 < open.size(); ++i) {
          if (w_.merge("s", open[i], open[i + 1]).code() == "OK") break;
        }
        break;
      }
      case 6:
        if (w_.settled()) set_retention(w_, below(2) ? 24 : 48);
        break;
      case 7: {  // writes go wrong for a while
        w_.store.fault = [this](int) {
          static constexpr WriteFault kFaults[] = {WriteFault::kNone, WriteFault::kConflict,
                                                   WriteFault::kTimeoutDone,
                                                   WriteFault::kTimeoutLost};
          return kFaults[below(4)];
        };
        w_.run(3000);
        teller_.tell_all();
        w_.run(1000);
        w_.store.fault = nullptr;
        break;
      }
    }
    w_.run_until([&] { return w_.settled(); }, 20'000);
  }

  World& w_;
  Teller& teller_;
  uint64_t state_;
};

class ADayOfMetering : public testing::TestWithParam<uint64_t> {};

TEST_P(ADayOfMetering, AddsUpToTheRecord) {
  World w(3);
  w.run(500);
  Record record(w);
  Teller teller(w);
  ASSERT_EQ(w.create("s", 2, 3, true).code(), "OK");
  w.clock.time_ms += 2 * kMinuteMs;
  w.run(1000);
  ASSERT_TRUE(w.store.ledger.has_value());
  const auto ledger_then = w.store.ledger->ledger;
  ASSERT_EQ(ledger_then.brokers_size(), 3);
  Story(w, teller, GetParam()).day();
  settle_meters(w, teller);

  record.look();
  const int64_t now = w.clock.wall_ms();
  const auto usage = metering::usage_at(*w.map("s"), now);
  const auto truth = teller.committed();
  EXPECT_GT(truth.records(), 10'000);
  EXPECT_EQ(usage.put_units(), truth.put_units());
  EXPECT_EQ(usage.records(), truth.records());
  EXPECT_EQ(usage.replicated_bytes(), teller.sent_in_all());
  EXPECT_EQ(usage.shard_ms(), record.shard_ms);
  EXPECT_EQ(usage.extended_shard_ms(), record.extended_shard_ms);
  auto bill = w.coordinator->bill(now);
  EXPECT_EQ(bill.total().usage().broker_us() - ledger_then.broker_us(),
            3 * (now - ledger_then.at_ms()) * 1000);
  EXPECT_EQ(bill.total().usage().put_units(), truth.put_units());
}

INSTANTIATE_TEST_SUITE_P(Seeds, ADayOfMetering, testing::Range<uint64_t>(1, 4));

TEST(Metering, NothingIsWrittenWhileNothingIsUsed) {
  World w(3);
  w.run(100);
  Teller teller(w);
  w.create("s", 3);
  w.producing = true;
  w.run(1000);
  settle_meters(w, teller);
  const int writes = w.store.writes(), ledgers = w.store.ledger_writes;
  const int64_t before = w.coordinator->bill(w.clock.wall_ms()).total().usage().shard_ms();
  for (int minute = 0; minute < 60; ++minute) {
    w.clock.time_ms += kMinuteMs - 100;
    teller.tell_all();
    w.run(100);
  }
  EXPECT_EQ(w.store.writes(), writes);
  EXPECT_EQ(w.store.ledger_writes, ledgers);
  EXPECT_EQ(w.coordinator->bill(w.clock.wall_ms()).total().usage().shard_ms(),
            before + 3 * 60 * kMinuteMs);
}

// The first ledger of a cluster without a broker only says when it began: its operator wrote the status of each
// such cluster once more at the next full minute.
TEST(Metering, AClusterThatHasHadNoBrokerHasMeteredNothing) {
  World w(0);
  w.run(5000);
  ASSERT_GT(w.store.ledger_writes, 0);
  EXPECT_EQ(w.coordinator->metered_ms(""), -1);
}

TEST(Metering, ABusyStreamIsWrittenOncePerInterval) {
  World w(3);
  w.run(100);
  Teller teller(w);
  w.create("s", 3);
  w.producing = true;
  w.run(1000);
  const int before = w.store.writes();
  for (int second = 0; second < 300; ++second) {
    teller.tell_all();
    w.run(1000);
  }
  const int writes = w.store.writes() - before;
  EXPECT_GE(writes, 5);
  EXPECT_LE(writes, 6);
}

// A stream that is deleted stays in the total, whenever the coordinator dies.
TEST(Metering, ADeletedStreamIsCountedOnceWhenTheCoordinatorDies) {
  for (const WriteFault fault : {WriteFault::kNone, WriteFault::kConflict, WriteFault::kTimeoutDone,
                                 WriteFault::kTimeoutLost, WriteFault::kUnavailable}) {
    for (int die_at = 0; die_at < 4; ++die_at) {
      World w(3);
      w.run(100);
      Teller teller(w);
      w.create("s", 2);
      w.producing = true;
      w.run(500);
      settle_meters(w, teller);
      w.run(61'000);
      const auto truth = teller.committed();
      int ledgers = 0, maps = 0;
      w.store.ledger_fault = [&](int) {
        if (++ledgers == die_at) w.crash_wanted = true;
        return ledgers == 1 ? fault : WriteFault::kNone;
      };
      w.store.after_write = [&](int) {
        if (++maps == die_at) w.crash_wanted = true;
      };
      sluice::v1::AdminRequest request;
      request.mutable_delete_stream()->set_name("s");
      w.coordinator->admin(request, [](const auto&) {});
      ASSERT_TRUE(w.run_until([&] { return w.map("s") == nullptr; }, 60'000));
      w.run(70'000);
      const auto bill = w.coordinator->bill(w.clock.wall_ms());
      EXPECT_EQ(bill.total().usage().put_units(), truth.put_units()) << die_at;
      EXPECT_EQ(bill.total().usage().records(), truth.records()) << die_at;
      EXPECT_EQ(w.store.ledger->ledger.removing_size(), 0) << die_at;
      w.store.after_write = nullptr;
    }
  }
}

TEST(Metering, BrokersThatAreForgottenAreNotCountedAnyMore) {
  World w(3);
  w.run(70'000);
  w.kill(2);
  w.run(3000);
  EXPECT_TRUE(w.coordinator->forget_broker(2).ok());
  w.run(70'000);
  const int64_t then = w.clock.wall_ms();
  const int64_t before = w.coordinator->bill(then).total().usage().broker_us();
  EXPECT_EQ(w.coordinator->bill(then + kHourMs).total().usage().broker_us() - before,
            2 * kHourMs * 1000);
}

}  // namespace
}  // namespace broker::coordination
