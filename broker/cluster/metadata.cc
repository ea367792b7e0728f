#include "broker/cluster/metadata.h"

#include "broker/base/log.h"

namespace broker::cluster {

const v1::Shard* Stream::shard(int32_t index) const {
  // Shards are kept in order of their index, without gaps until retention removes closed ones.
  auto at = static_cast<size_t>(index);
  if (index >= 0 && at < static_cast<size_t>(map.shards_size()) &&
      map.shards(index).index() == index) {
    return &map.shards(index);
  }
  for (const auto& shard : map.shards()) {
    if (shard.index() == index) return &shard;
  }
  return nullptr;
}

void Metadata::apply(const v1::MetadataUpdate& update) {
  Change change;
  if (!update.cluster_id().empty()) cluster_id_ = update.cluster_id();
  for (const auto& map : update.streams()) {
    auto id = Uuid::parse(map.stream_id());
    if (!id) {
      log_error("metadata", "stream without an id ignored", {{"stream", map.stream()}});
      continue;
    }
    auto known = by_id_.find(*id);
    if (known != by_id_.end() && known->second->map.generation() >= map.generation()) continue;
    auto stream = std::make_shared<const Stream>(Stream{*id, map});
    by_id_[*id] = stream;
    auto named = by_name_.find(map.stream());
    if (map.deleting()) {
      if (named != by_name_.end() && named->second->id == *id) by_name_.erase(named);
    } else {
      by_name_[map.stream()] = stream;
    }
    change.changed.push_back(std::move(stream));
  }
  for (const auto& text : update.deleted_stream_ids()) {
    auto id = Uuid::parse(text);
    auto known = id ? by_id_.find(*id) : by_id_.end();
    if (known == by_id_.end()) continue;
    change.removed.push_back(known->second);
    auto named = by_name_.find(known->second->name());
    if (named != by_name_.end() && named->second->id == *id) by_name_.erase(named);
    by_id_.erase(known);
  }
  change.full = update.full();
  if (update.full()) brokers_.clear();
  for (const auto& broker : update.brokers()) brokers_[BrokerId{broker.id()}] = broker;
  change.brokers = update.full() || update.brokers_size() > 0;
  if (update.has_security()) {
    security_ = update.security();
    change.security = true;
  }
  if (update.has_client_quotas()) {
    client_quotas_ = update.client_quotas();
    change.client_quotas = true;
  }
  if (update.has_ledger()) ledger_ = update.ledger();
  if (update.has_prices()) prices_ = update.prices();
  if (prices_ && prices_->currency().empty()) prices_.reset();
  version_++;
  for (const auto& listener : listeners_) listener(change);
}

StreamPtr Metadata::find(std::string_view name) const {
  auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

StreamPtr Metadata::find(const Uuid& id) const {
  auto it = by_id_.find(id);
  return it == by_id_.end() || it->second->map.deleting() ? nullptr : it->second;
}

const v1::Shard* Metadata::find_shard(const ShardId& id) const {
  auto it = by_id_.find(id.stream);
  return it == by_id_.end() ? nullptr : it->second->shard(id.index);
}

std::vector<StreamPtr> Metadata::streams() const {
  std::vector<StreamPtr> all;
  all.reserve(by_name_.size());
  for (const auto& [name, stream] : by_name_) all.push_back(stream);
  return all;
}

const v1::Broker* Metadata::find_broker(BrokerId id) const {
  auto it = brokers_.find(id);
  return it == brokers_.end() ? nullptr : &it->second;
}

v1::MetadataUpdate Metadata::snapshot() const {
  v1::MetadataUpdate all;
  all.set_full(true);
  all.set_cluster_id(cluster_id_);
  std::map<Uuid, StreamPtr> ordered(by_id_.begin(), by_id_.end());
  for (const auto& [id, stream] : ordered) *all.add_streams() = stream->map;
  for (const auto& [id, broker] : brokers_) *all.add_brokers() = broker;
  *all.mutable_security() = security_;
  *all.mutable_client_quotas() = client_quotas_;
  if (ledger_) *all.mutable_ledger() = *ledger_;
  if (prices_) *all.mutable_prices() = *prices_;
  return all;
}

Status save_metadata(env::FileSystem& fs, const std::string& path, const Metadata& metadata) {
  return env::write_file_atomically(fs, path, metadata.snapshot().SerializeAsString());
}

Result<v1::MetadataUpdate> load_metadata(env::FileSystem& fs, const std::string& path) {
  v1::MetadataUpdate update;
  if (!fs.exists(path)) return update;
  ASSIGN_OR_RETURN(std::string bytes, env::read_file(fs, path, 1u << 30));
  if (!update.ParseFromString(bytes)) {
    return Status(Code::kCorruption, path + " is damaged; remove it to fetch it again");
  }
  return update;
}

}  // namespace broker::cluster
