#include "broker/coordination/shard_map.h"

#include <algorithm>

namespace broker::coordination {
namespace {

using sluice::v1::SHARD_STATE_CLOSED;
using sluice::v1::SHARD_STATE_OPEN;
using sluice::v1::STREAM_MODE_ELASTIC;
using sluice::v1::STREAM_MODE_PARTITIONED;

Status bad(std::string message) {
  return Status(Code::kInvalidArgument, std::move(message));
}

void append_shard(ShardMap& map, const std::vector<Replica>& ensemble, KeyRange range,
                  int64_t now_ms) {
  Shard* shard = map.add_shards();
  shard->set_index(map.next_index());
  map.set_next_index(map.next_index() + 1);
  shard->set_state(SHARD_STATE_OPEN);
  *shard->mutable_hash_range() = format_range(range);
  shard->set_term(0);
  for (const auto& replica : ensemble) *shard->add_replicas() = replica;
  shard->set_opened_generation(map.generation());
  shard->set_opened_ms(now_ms);
}

}  // namespace

Shard* find_shard_by_index(ShardMap& map, int32_t index) {
  for (auto& shard : *map.mutable_shards()) {
    if (shard.index() == index) return &shard;
  }
  return nullptr;
}

const Shard* find_shard_by_index(const ShardMap& map, int32_t index) {
  return find_shard_by_index(const_cast<ShardMap&>(map), index);
}

bool same_replica(const Replica& a, const Replica& b) {
  return a.broker() == b.broker() && a.directory() == b.directory();
}

bool contains_replica(const Replicas& replicas, const Replica& wanted) {
  return std::any_of(replicas.begin(), replicas.end(),
                     [&](const Replica& r) { return same_replica(r, wanted); });
}

const Replica* find_replica(const Replicas& replicas, int32_t broker) {
  for (const auto& replica : replicas) {
    if (replica.broker() == broker) return &replica;
  }
  return nullptr;
}

std::vector<Replica> voters_of(const Shard& shard) {
  std::vector<Replica> out(shard.replicas().begin(), shard.replicas().end());
  for (const auto& replica : shard.next_replicas()) {
    if (!contains_replica(shard.replicas(), replica)) out.push_back(replica);
  }
  return out;
}

bool is_joint(const Shard& shard) {
  return !shard.next_replicas().empty();
}

int open_shard_count(const ShardMap& map) {
  return static_cast<int>(
      std::count_if(map.shards().begin(), map.shards().end(),
                    [](const Shard& s) { return s.state() != SHARD_STATE_CLOSED; }));
}

Status check_stream_name(std::string_view name) {
  if (name.empty() || name.size() > 249) return bad("a stream's name has 1 to 249 characters");
  if (name == "." || name == "..") return bad("'.' and '..' are no names for a stream");
  for (char c : name) {
    bool legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '.' || c == '_' || c == '-';
    if (!legal) return bad("a stream's name consists of letters, digits, '.', '_' and '-'");
  }
  return {};
}

Status check_config(const StreamConfig& c) {
  if (c.mode() != STREAM_MODE_PARTITIONED && c.mode() != STREAM_MODE_ELASTIC) {
    return bad("mode must be PARTITIONED or ELASTIC");
  }
  if (c.partitions() < 1 || c.partitions() > kShardsMax) {
    return bad("partitions must be 1 to " + std::to_string(kShardsMax));
  }
  if (c.replication() < 1 || c.replication() > kReplicationMax) {
    return bad("replication must be 1 to " + std::to_string(kReplicationMax));
  }
  if (c.min_insync() < 0 || c.min_insync() > c.replication()) {
    return bad("min_insync must be 0 (a majority) to replication");
  }
  if (c.retention_ms() < -1 || c.retention_bytes() < -1) {
    return bad("retention must be -1 (for ever), or above 0");
  }
  if (c.record_bytes_max() < 1) return bad("record_bytes_max must be above 0");
  if (!sluice::v1::Durability_IsValid(c.durability())) {
    return bad("durability must be SYNCED or MEMORY");
  }
  if (c.mode() == STREAM_MODE_PARTITIONED) {
    if (c.shards_min() != 0 || c.shards_max() != 0) {
      return bad("shards_min and shards_max are for ELASTIC streams");
    }
    return {};
  }
  if (c.shards_min() < 1 || c.shards_max() < c.shards_min() || c.shards_max() > kShardsMax) {
    return bad("1 <= shards_min <= shards_max <= " + std::to_string(kShardsMax) + " must hold");
  }
  return {};
}

Result<ShardMap> make_map(const NewStream& stream,
                          const std::vector<std::vector<Replica>>& ensembles) {
  RETURN_IF_ERROR(check_stream_name(stream.name));
  RETURN_IF_ERROR(check_config(stream.config));
  CHECK_EQ(static_cast<int>(ensembles.size()), stream.config.partitions());
  ShardMap map;
  map.set_stream_id(stream.id);
  map.set_stream(stream.name);
  map.set_cluster(stream.cluster);
  *map.mutable_config() = stream.config;
  map.set_generation(1);
  auto ranges = std::vector<KeyRange>(ensembles.size());
  if (stream.config.mode() == STREAM_MODE_ELASTIC) {
    ASSIGN_OR_RETURN(ranges, split_equally(KeyRange{}, static_cast<int>(ensembles.size())));
  }
  for (size_t i = 0; i < ensembles.size(); ++i) {
    append_shard(map, ensembles[i], ranges[i], stream.now_ms);
  }
  return map;
}

Status add_partitions(ShardMap& map, const std::vector<std::vector<Replica>>& ensembles,
                      int64_t now_ms) {
  if (map.config().mode() != STREAM_MODE_PARTITIONED) {
    return Status(Code::kPolicyViolation,
                  "stream '" + map.stream() + "' is elastic: split its shards instead");
  }
  for (const auto& ensemble : ensembles) append_shard(map, ensemble, KeyRange{}, now_ms);
  return {};
}

Status update_config(ShardMap& map, const StreamConfig& config) {
  RETURN_IF_ERROR(check_config(config));
  if (config.mode() != map.config().mode()) return bad("a stream's mode cannot be changed");
  if (config.durability() != map.config().durability()) {
    return bad("the durability of stream '" + map.stream() +
               "' was fixed at its creation; copy its records to a new stream");
  }
  if (config.mode() == STREAM_MODE_PARTITIONED && config.partitions() < map.config().partitions()) {
    return bad("stream '" + map.stream() + "' has " + std::to_string(map.config().partitions()) +
               " partitions; their number can only grow");
  }
  if (config.replication() != map.config().replication()) {
    for (Shard& shard : *map.mutable_shards()) {
      if (shard.wanted_brokers_size() != config.replication()) shard.clear_wanted_brokers();
    }
  }
  *map.mutable_config() = config;
  return {};
}

Status merge_config(StreamConfig& into, const StreamConfig& from,
                    const std::vector<std::string>& fields) {
  const auto* descriptor = StreamConfig::descriptor();
  StreamConfig result = into;
  for (const auto& name : fields) {
    if (name == "kafka") {
      for (const auto& [key, value] : from.kafka()) {
        value.empty() ? (void)result.mutable_kafka()->erase(key)
                      : (void)((*result.mutable_kafka())[key] = value);
      }
      continue;
    }
    if (name == "durability") return bad("a stream's durability is fixed at its creation");
    const auto* field = descriptor->FindFieldByName(name);
    if (!field) return bad("'" + name + "' is no setting of a stream");
    const auto* reflection = from.GetReflection();
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
      reflection->SetInt64(&result, field, reflection->GetInt64(from, field));
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT32) {
      reflection->SetInt32(&result, field, reflection->GetInt32(from, field));
    } else {
      return bad("'" + name + "' cannot be changed");
    }
    auto& defaulted = *result.mutable_defaulted();
    defaulted.erase(std::remove(defaulted.begin(), defaulted.end(), name), defaulted.end());
  }
  into = result;
  return {};
}

Status change_attributes(ShardMap& map, const AttributeChange& change) {
  auto attributes = map.attributes();
  for (const auto& [name, value] : change.expected) {
    auto it = attributes.find(name);
    bool same = it == attributes.end() ? value.empty() : !value.empty() && it->second == value;
    if (!same) return Status(Code::kConflict, "attribute '" + name + "' is not as expected");
  }
  for (const auto& name : change.remove) attributes.erase(name);
  for (const auto& [name, value] : change.set) {
    if (name.empty() || name.size() > kAttributeNameMax) {
      return bad("an attribute's name has 1 to " + std::to_string(kAttributeNameMax) + " bytes");
    }
    attributes[name] = value;
  }
  size_t bytes = 0;
  for (const auto& [name, value] : attributes) bytes += name.size() + value.size();
  if (bytes > kAttributesBytesMax) {
    return Status(Code::kTooLarge, "the attributes of stream '" + map.stream() + "' would take " +
                                       std::to_string(bytes) + " bytes; " +
                                       std::to_string(kAttributesBytesMax) + " are allowed");
  }
  *map.mutable_attributes() = std::move(attributes);
  return {};
}

Status raise_term(ShardMap& map, int32_t index, int32_t from, int32_t to) {
  Shard* shard = find_shard_by_index(map, index);
  if (!shard) return Status(Code::kNotFound, "no shard " + std::to_string(index));
  if (shard->term() != from || to <= from) {
    return Status(Code::kFenced, "shard " + std::to_string(index) + " is in term " +
                                     std::to_string(shard->term()));
  }
  shard->set_term(to);
  shard->clear_leader();
  return {};
}

Status set_leader(ShardMap& map, int32_t index, int32_t term, int32_t leader) {
  Shard* shard = find_shard_by_index(map, index);
  if (!shard) return Status(Code::kNotFound, "no shard " + std::to_string(index));
  if (shard->term() != term || shard->has_leader()) {
    return Status(Code::kFenced, "term " + std::to_string(term) + " of shard " +
                                     std::to_string(index) + " is decided or over");
  }
  if (!find_replica(shard->replicas(), leader) && !find_replica(shard->next_replicas(), leader)) {
    return Status(Code::kInternal, "the winner is no member");
  }
  shard->set_leader(leader);
  return {};
}

}  // namespace broker::coordination
