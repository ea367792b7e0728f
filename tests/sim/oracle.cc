#include "tests/sim/oracle.h"

#include <algorithm>

namespace broker::sim {
namespace {

// Tells clients' records from those of the brokers' own streams.
constexpr uint64_t kNamed = 0x736c756963657331;

uint64_t hash_of(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : bytes) hash = (hash ^ c) * 0x100000001b3ULL;
  return hash;
}

std::string at(const ShardId& shard, Offset offset) {
  return "shard " + shard.to_string() + " offset " + std::to_string(offset.value);
}

// An acknowledgement may be that long under way.
constexpr int64_t kLateUs = 15'000'000;

std::vector<RecordName> names_in(const Batch& batch) {
  std::vector<RecordName> names;
  if (batch.header.control()) return names;
  auto records = RecordIterator::open(batch.bytes.view(), 1 << 20);
  if (!records.ok()) return names;
  Record record;
  while (records->next(record)) {
    if (auto name = decode_record(record)) names.push_back(std::move(*name));
  }
  return names;
}

}  // namespace

std::string encode_record_value(const RecordName& name, size_t padding) {
  std::string value;
  ByteWriter out(value);
  out.u64(kNamed);
  out.u64(name.id);
  out.u64(name.number);
  value.append(padding, static_cast<char>('a' + name.id % 26));
  return value;
}

std::optional<RecordName> decode_record(const Record& record) {
  if (!record.value || record.value->size() < 24) return std::nullopt;
  ByteReader in(*record.value);
  if (in.u64() != kNamed) return std::nullopt;
  RecordName name;
  name.id = in.u64();
  name.number = in.u64();
  if (record.key) name.key = *record.key;
  return name;
}

const Oracle::Entry* Oracle::entry_at(const History& history, Offset base) const {
  auto it = std::lower_bound(history.entries.begin(), history.entries.end(), base,
                             [](const Entry& e, Offset b) { return e.base < b; });
  return it != history.entries.end() && it->base == base ? &*it : nullptr;
}

void Oracle::commit(const ShardId& shard, History& history, const Batch& batch,
                    const std::string& who) {
  const BatchHeader& h = batch.header;
  if (of_lost_tail(history, h)) return;
  const uint64_t hash = hash_of(batch.bytes.view());
  if (!history.first) history.first = history.end = h.base_offset;
  if (h.base_offset < history.end) {
    const Entry* known = entry_at(history, h.base_offset);
    if (!known && h.base_offset < *history.first) return;  // of before anybody looked
    if (!known || known->end != h.end_offset() || known->hash != hash) {
      fail(who + " shows another batch at " + at(shard, h.base_offset) + ": term " +
           std::to_string(h.term.value) +
           (known ? ", committed was term " + std::to_string(known->term.value)
                  : ", inside a committed batch"));
    }
    return;
  }
  if (h.base_offset > history.end) {
    fail(who + " shows " + at(shard, h.base_offset) + " after " +
         std::to_string(history.end.value) + ": offsets are missing");
    return;
  }
  if (!h.control() && h.record_count != h.last_offset_delta + 1) {
    fail(who + ": a batch at " + at(shard, h.base_offset) + " has holes");
  }
  Entry entry{h.base_offset, h.end_offset(), h.term, hash, h.control(), names_in(batch)};
  Offset offset = h.base_offset;
  for (const RecordName& name : entry.records) {
    auto [place, fresh] = where_.emplace(name.id, std::pair(shard, offset));
    if (!fresh) {
      fail("record " + std::to_string(name.id) + " (key " + name.key + ") is stored twice: " +
           at(place->second.first, place->second.second) + " and " + at(shard, offset) +
           ", the second by producer " + std::to_string(h.producer_id) + " sequence " +
           std::to_string(h.base_sequence) + " term " + std::to_string(h.term.value));
    }
    offset += 1;
  }
  trace_.mix(hash);
  history.end = entry.end;
  history.entries.push_back(std::move(entry));
  auto waiting = history.acknowledged.find(h.base_offset);
  if (waiting != history.acknowledged.end()) {
    check_acknowledged(shard, history, waiting->first, waiting->second);
  }
}

// Who has not heard yet, or an answer that is late.
bool Oracle::of_lost_tail(const History& history, const BatchHeader& batch) const {
  return std::any_of(history.losses.begin(), history.losses.end(), [&](const Loss& loss) {
    return batch.base_offset >= loss.from && batch.term < loss.term;
  });
}

void Oracle::lose_tail(const ShardId& shard, History& history, Offset from, Term term) {
  trace_.note(now_us_, "shard " + shard.to_string() + " goes on at " +
                           std::to_string(from.value) + " of " +
                           std::to_string(history.end.value) + " in term " +
                           std::to_string(term.value));
  while (!history.entries.empty() && history.entries.back().base >= from) {
    for (const RecordName& name : history.entries.back().records) where_.erase(name.id);
    history.entries.pop_back();
  }
  if (!history.entries.empty() && history.entries.back().end > from) {
    fail("what is left of " + at(shard, from) + " ends inside a batch");
  }
  history.end = from;
  if (history.first) history.first = std::min(*history.first, from);
  const auto gone = history.acknowledged.lower_bound(from);
  for (auto at = gone; at != history.acknowledged.end(); ++at) lost_records_ += at->second.size();
  history.acknowledged.erase(gone, history.acknowledged.end());
  history.latest.clear();
  history.deletion_done = std::min(history.deletion_done, from);
  history.losses.push_back({from, term, now_us_});
  for (auto& [replica, seen] : seen_) {
    if (std::get<2>(replica) == shard) seen = std::min(seen, from);
  }
}

void Oracle::observe(int broker, uint64_t process, const Uuid& directory,
                     partition::Partition& partition) {
  const ShardId& shard = partition.id();
  if (deleted_streams_.contains(shard.stream)) return;
  if (partition.quarantined().ok() && !partition.replica().tail_lost()) {
    without_tail_.erase({directory, shard});
  } else {
    without_tail_.insert({directory, shard});
  }
  if (!partition.quarantined().ok()) return;
  History& history = histories_[shard];
  const std::string who = "broker " + std::to_string(broker);
  const Offset high = partition.high_watermark();
  if (high > partition.log_end() && partition.log_end() > partition.log_start()) {
    fail(who + " exposes more than it has: " + at(shard, high));
  }
  Offset& seen = seen_[{broker, process, shard}];
  seen = std::max(seen, partition.log_start());
  while (seen < high && !broken()) {
    auto fetched = partition.read(seen, 256 << 10, true);
    // Unreadable is not untrue: what is damaged is refused.
    if (!fetched.ok() || fetched->batches.empty()) return;
    for (const Batch& batch : fetched->batches) {
      commit(shard, history, batch, who);
      seen = std::max(seen, batch.header.end_offset());
    }
  }
}

void Oracle::observe_leader(int broker, uint64_t process, partition::Partition& partition) {
  const ShardId& shard = partition.id();
  if (deleted_streams_.contains(shard.stream)) return;
  if (!partition.quarantined().ok() || !partition.is_leader()) return;
  History& history = histories_[shard];
  const Term term = partition.term();
  auto [leader, fresh] = history.leaders.emplace(term, Leader{broker, process});
  bool sole = partition.shard().replicas_size() == 1 && leader->second.broker == broker;
  if (leader->second.broker != broker || (leader->second.process != process && !sole)) {
    fail("two leaders in term " + std::to_string(term.value) + " of shard " + shard.to_string() +
         ": brokers " + std::to_string(leader->second.broker) + " and " + std::to_string(broker));
  }
  if (fresh) {
    trace_.mix(static_cast<uint64_t>(term.value) << 8 | static_cast<uint64_t>(broker));
    auto before = partition.term_end(Term{term.value - 1});
    Offset begins = before.term == kNoTerm ? partition.log_start() : before.end;
    if (history.may_lose_tail && begins < history.end) lose_tail(shard, history, begins, term);
    // What was acknowledged and lost before anybody had looked.
    if (history.may_lose_tail) {
      history.acknowledged.erase(history.acknowledged.lower_bound(begins), history.acknowledged.end());
    }
  }
  if (!history.losses.empty() && term < history.losses.back().term) return;
  if (!partition.may_read_latest().ok()) return;
  for (const auto& [other, latest] : history.latest) {
    if (other > term || latest <= partition.high_watermark()) continue;
    fail("the high watermark of shard " + shard.to_string() + " went back from " +
         std::to_string(latest.value) + " (term " + std::to_string(other.value) + ") to " +
         std::to_string(partition.high_watermark().value) + " (term " + std::to_string(term.value) +
         ")");
  }
  Offset& latest = history.latest[term];
  latest = std::max(latest, partition.high_watermark());
}

void Oracle::read(const ShardId& shard, const Batch& batch, const std::string& who) {
  if (deleted_streams_.contains(shard.stream)) return;
  if (!batch_crc_matches(batch.bytes.view())) fail(who + " was given a damaged batch");
  commit(shard, histories_[shard], batch, who);
}

void Oracle::acknowledged(const ShardId& shard, Offset base, const std::vector<uint64_t>& ids) {
  if (deleted_streams_.contains(shard.stream)) return;
  History& history = histories_[shard];
  acknowledged_records_ += ids.size();
  if (!history.losses.empty() && now_us_ - history.losses.back().at_us < kLateUs) return;
  auto [known, fresh] = history.acknowledged.emplace(base, ids);
  if (history.may_lose_tail) {
    // The answer may be a leader's without a tail whose log nobody has looked at yet (observe), or of
    // the tail that it lacks: of two at one offset, which one stays is not known.
    if (!fresh && known->second != ids) history.acknowledged.erase(known);
    return;
  }
  if (!fresh && known->second != ids) {
    fail("two batches were acknowledged at " + at(shard, base));
  }
  if (base < history.end) check_acknowledged(shard, history, base, ids);
}

void Oracle::check_acknowledged(const ShardId& shard, const History& history, Offset base,
                                const std::vector<uint64_t>& ids) {
  if (history.first && base < *history.first) return;
  // A batch's records may be acknowledged one by one: `base` is then inside it.
  auto it = std::upper_bound(history.entries.begin(), history.entries.end(), base,
                             [](Offset b, const Entry& e) { return b < e.base; });
  bool found = it != history.entries.begin();
  if (found) {
    const Entry& entry = *std::prev(it);
    auto from = static_cast<size_t>(base - entry.base);
    for (size_t i = 0; i < ids.size() && found; i++) {
      found = from + i < entry.records.size() && entry.records[from + i].id == ids[i];
    }
  }
  if (!found) {
    fail("record " + std::to_string(ids.front()) + ", acknowledged at " + at(shard, base) +
         ", is lost: something else is committed there");
  }
}

void Oracle::deletion_asked(const ShardId& shard, Offset before) {
  Offset& asked = histories_[shard].deletion_asked;
  asked = std::max(asked, before);
}

void Oracle::deletion_done(const ShardId& shard, Offset log_start) {
  Offset& done = histories_[shard].deletion_done;
  done = std::max(done, log_start);
}

void Oracle::check_complete(partition::Partition& leader) {
  const ShardId& shard = leader.id();
  History& history = histories_[shard];
  if (leader.high_watermark() < history.end) {
    fail("the leader of shard " + shard.to_string() + " has committed " +
         std::to_string(leader.high_watermark().value) + " of " +
         std::to_string(history.end.value));
  }
  if (leader.log_start() < history.deletion_done) {
    fail("deleted records of shard " + shard.to_string() + " came back: its log starts at " +
         std::to_string(leader.log_start().value) + ", deleted was up to " +
         std::to_string(history.deletion_done.value));
  }
  if (leader.log_start() > history.deletion_asked) {
    fail("nobody deleted records of shard " + shard.to_string() + " up to " +
         std::to_string(leader.log_start().value));
  }
  for (Offset from = leader.log_start(); from < leader.high_watermark() && !broken();) {
    auto fetched = leader.read(from, 1 << 20, true);
    if (!fetched.ok() || fetched->batches.empty()) {
      fail("the leader cannot read " + at(shard, from) + ": " + fetched.status().to_string());
      return;
    }
    for (const Batch& batch : fetched->batches) {
      commit(shard, history, batch, "the leader, at rest,");
      from = batch.header.end_offset();
    }
  }
  for (const auto& [base, ids] : history.acknowledged) {
    if (base < leader.log_start()) continue;
    if (base >= history.end) {
      fail("record " + std::to_string(ids.front()) + ", acknowledged at " + at(shard, base) +
           ", is lost: the log ends at " + std::to_string(history.end.value));
      return;
    }
    check_acknowledged(shard, history, base, ids);
  }
}

void Oracle::check_order(const Uuid& stream, const std::vector<int32_t>& shards) {
  std::map<std::string, std::pair<uint64_t, ShardId>> last;
  for (int32_t index : shards) {
    const ShardId shard{stream, index};
    for (const Entry& entry : histories_[shard].entries) {
      for (const RecordName& name : entry.records) {
        auto [before, fresh] = last.emplace(name.key, std::pair(name.number, shard));
        if (!fresh && before->second.first >= name.number) {
          fail("key " + name.key + ": number " + std::to_string(name.number) + " at " +
               at(shard, entry.base) + " comes after number " +
               std::to_string(before->second.first) + " of shard " +
               before->second.second.to_string());
          return;
        }
        before->second = {name.number, shard};
      }
    }
  }
}

}  // namespace broker::sim
