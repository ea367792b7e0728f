#pragma once
// What this broker knows of its cluster: streams, shards, brokers, as the coordinator last pushed
// them. Read by the front doors and by partition/, on the reactor. Kept in a file so that a broker
// that starts without its coordinator still knows whom to follow. Invariant: a stream's map only
// ever moves to a higher generation, so that a deposed coordinator changes nothing.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/status.h"
#include "broker/env/env.h"
#include "broker/model/shard.h"
#include "broker/proto/metadata.pb.h"

namespace broker::cluster {

namespace v1 = ::sluice::v1;

// One stream; immutable, replaced as a whole when its map changes.
struct Stream {
  Uuid id;
  v1::ShardMap map;
  const std::string& name() const { return map.stream(); }
  bool elastic() const { return map.config().mode() == v1::STREAM_MODE_ELASTIC; }
  const v1::Shard* shard(int32_t index) const;  // null when there is none
};
using StreamPtr = std::shared_ptr<const Stream>;

class Metadata {
 public:
  // `changed`: streams with a newer map (deleted ones have map.deleting); `removed`: forgotten.
  struct Change {
    std::vector<StreamPtr> changed;
    std::vector<StreamPtr> removed;
    bool brokers = false;
    bool security = false;
    bool client_quotas = false;
    bool full = false;  // all that the coordinator knows
  };
  using Listener = std::function<void(const Change&)>;

  // Applies an update, then calls the listeners. A full update does not forget streams that it
  // lacks: only an explicit deletion drops data.
  void apply(const v1::MetadataUpdate& update);
  void add_listener(Listener listener) { listeners_.push_back(std::move(listener)); }

  // Streams being deleted are not found.
  StreamPtr find(std::string_view name) const;
  StreamPtr find(const Uuid& id) const;
  const v1::Shard* find_shard(const ShardId& id) const;
  std::vector<StreamPtr> streams() const;  // by name
  const std::map<BrokerId, v1::Broker>& brokers() const { return brokers_; }
  const v1::Broker* find_broker(BrokerId id) const;
  const std::string& cluster_id() const { return cluster_id_; }
  // Users and their rights; empty while the coordinator has said nothing of them.
  const v1::Security& security() const { return security_; }
  const v1::ClientQuotas& client_quotas() const { return client_quotas_; }
  // The cluster's meter ledger, and what usage costs; null while the coordinator has said nothing.
  const v1::MeterLedger* ledger() const { return ledger_ ? &*ledger_ : nullptr; }
  const v1::Prices* prices() const { return prices_ ? &*prices_ : nullptr; }
  // Grows with every change; 0 before the first update.
  uint64_t version() const { return version_; }

  // The whole as one full update: to keep in a file.
  v1::MetadataUpdate snapshot() const;

 private:
  std::unordered_map<Uuid, StreamPtr> by_id_;
  std::map<std::string, StreamPtr, std::less<>> by_name_;
  std::map<BrokerId, v1::Broker> brokers_;
  std::string cluster_id_;
  v1::Security security_;
  v1::ClientQuotas client_quotas_;
  std::optional<v1::MeterLedger> ledger_;
  std::optional<v1::Prices> prices_;
  uint64_t version_ = 0;
  std::vector<Listener> listeners_;
};

// DIR/metadata.pb; a missing file is an empty update, a damaged one kCorruption.
Status save_metadata(env::FileSystem& fs, const std::string& path, const Metadata& metadata);
Result<v1::MetadataUpdate> load_metadata(env::FileSystem& fs, const std::string& path);

}  // namespace broker::cluster
