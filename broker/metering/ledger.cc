#include "broker/metering/ledger.h"

#include <algorithm>

namespace broker::metering {
namespace {

constexpr int64_t kMillion = 1'000'000;

bool same(const v1::MeterLedger& ledger, const Levels& levels) {
  if (!std::equal(ledger.brokers().begin(), ledger.brokers().end(), levels.brokers.begin(),
                  levels.brokers.end())) {
    return false;
  }
  size_t found = 0;
  for (const auto& share : ledger.shares()) {
    auto it = levels.shares.find(share.stream_id());
    const int64_t ppm = it == levels.shares.end() ? 0 : it->second.ppm;
    if (ppm != share.share_ppm()) return false;
    found += it != levels.shares.end();
  }
  return found == levels.shares.size();
}

}  // namespace

Levels levels_of(const std::vector<const v1::ShardMap*>& maps, std::set<int32_t> brokers) {
  Levels out;
  std::map<int32_t, int64_t> copies;                                    // by broker
  std::map<std::string, std::map<int32_t, int64_t>> copies_of_streams;  // by stream id, broker
  for (const auto* map : maps) {
    if (map->deleting()) continue;
    out.shares[map->stream_id()].stream = map->stream();
    for (const auto& shard : map->shards()) {
      std::set<int32_t> holders;
      for (const auto* members : {&shard.replicas(), &shard.next_replicas(), &shard.learners()}) {
        for (const auto& member : *members) holders.insert(member.broker());
      }
      for (int32_t id : holders) {
        if (!brokers.count(id)) continue;
        ++copies[id];
        ++copies_of_streams[map->stream_id()][id];
      }
    }
  }
  for (const auto& [id, by_broker] : copies_of_streams) {
    for (const auto& [broker, count] : by_broker) {
      out.shares[id].ppm += kMillion * count / copies[broker];
    }
  }
  out.brokers = std::move(brokers);
  return out;
}

void accrue(v1::MeterLedger& ledger, int64_t now_ms) {
  if (ledger.since_ms() == 0) {
    ledger.set_since_ms(now_ms);
    ledger.set_at_ms(now_ms);
    return;
  }
  const int64_t ms = now_ms - ledger.at_ms();
  if (ms <= 0) return;
  ledger.set_broker_us(ledger.broker_us() + ledger.brokers_size() * ms * 1000);
  for (auto& share : *ledger.mutable_shares()) {
    share.set_broker_us(share.broker_us() + share.share_ppm() * ms / 1000);
  }
  ledger.set_at_ms(now_ms);
}

bool change_levels(v1::MeterLedger& ledger, const Levels& levels, int64_t now_ms) {
  if (ledger.since_ms() > 0 && same(ledger, levels)) return false;
  accrue(ledger, now_ms);
  ledger.clear_brokers();
  for (int32_t id : levels.brokers) ledger.add_brokers(id);
  std::set<std::string> known;
  for (auto& share : *ledger.mutable_shares()) {
    auto it = levels.shares.find(share.stream_id());
    share.set_share_ppm(it == levels.shares.end() ? 0 : it->second.ppm);
    known.insert(share.stream_id());
  }
  for (const auto& [id, level] : levels.shares) {
    if (known.count(id) || is_folded(ledger, id)) continue;
    auto* share = ledger.add_shares();
    share->set_stream_id(id);
    share->set_stream(level.stream);
    share->set_share_ppm(level.ppm);
  }
  return true;
}

void fold(v1::MeterLedger& ledger, const v1::ShardMap& last, int64_t now_ms) {
  if (is_folded(ledger, last.stream_id())) return;
  accrue(ledger, now_ms);
  add(*ledger.mutable_removed(), usage_at(last, now_ms));
  auto& shares = *ledger.mutable_shares();
  for (int i = 0; i < shares.size(); ++i) {
    if (shares[i].stream_id() != last.stream_id()) continue;
    ledger.mutable_removed()->set_broker_us(ledger.removed().broker_us() + shares[i].broker_us());
    shares.DeleteSubrange(i, 1);
    break;
  }
  ledger.add_removing(last.stream_id());
}

bool is_folded(const v1::MeterLedger& ledger, const std::string& stream_id) {
  const auto& removing = ledger.removing();
  return std::find(removing.begin(), removing.end(), stream_id) != removing.end();
}

bool forget_folded(v1::MeterLedger& ledger, const std::string& stream_id) {
  auto& removing = *ledger.mutable_removing();
  for (int i = 0; i < removing.size(); ++i) {
    if (removing[i] != stream_id) continue;
    removing.DeleteSubrange(i, 1);
    return true;
  }
  return false;
}

}  // namespace broker::metering
