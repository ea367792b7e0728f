#pragma once
// Between Kubernetes' objects and the coordinator's messages: Stream resources as declarations and
// back, ShardMaps as resources. Pure; used by KubeStore.
#include <optional>
#include <string>

#include "broker/coordination/metadata_store.h"
#include "operator/api/stream.h"
#include "operator/kube/client/json.h"
#include "operator/kube/client/resource.h"

namespace sluice_operator::metadata {

const kube::ResourceType& stream_clusters();
const kube::ResourceType& streams();
const kube::ResourceType& shard_maps();
const kube::ResourceType& stream_users();
inline constexpr const char* kClusterLabel = "sluice.dev/cluster";

broker::coordination::StreamDeclaration declaration_of(const api::Stream& stream);

// The resource's name for a stream that a client creates: its own name where Kubernetes allows it,
// else a legal form of it with a hash; `qualified` always adds the hash, for a name that is taken.
std::string resource_name_for(const std::string& cluster, const std::string& stream,
                              bool qualified);
kube::Json stream_object(const broker::coordination::StreamDeclaration& declaration,
                         const std::string& ns, const std::string& cluster,
                         const std::string& resource_name);
// The part of spec that follows a client's change of settings.
kube::Json spec_patch(const broker::coordination::StreamDeclaration& declaration);

struct Owner {
  std::string name;  // of the Stream resource, and of its ShardMap
  std::string uid;
};
broker::Result<kube::Json> shard_map_object(const sluice::v1::ShardMap& map, const std::string& ns,
                                            const std::string& cluster, const Owner& owner,
                                            const std::string& resource_version);
broker::Result<broker::coordination::StoredMap> stored_map_of(const kube::Json& object);

}  // namespace sluice_operator::metadata
