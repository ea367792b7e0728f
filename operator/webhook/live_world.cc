#include "operator/webhook/live_world.h"

#include "operator/api/json.h"
#include "operator/metadata/stream_objects.h"

namespace sluice_operator::webhook {

using broker::Code;
using broker::Result;
using kube::Json;

namespace {

// What cannot be read is no rival: its own reconcile says so in its status.
template <class T>
Result<std::vector<T>> list(kube::Client& client, const kube::ResourceType& type,
                            const kube::Selection& selection, Result<T> (*reader)(const Json&)) {
  kube::ListOptions options;
  options.transform = [](Json& item) { item.erase("status"); };
  ASSIGN_OR_RETURN(auto found, client.list(type, selection, options));
  std::vector<T> out;
  for (const auto& item : found.items) {
    auto object = reader(item);
    if (object.ok()) out.push_back(std::move(*object));
  }
  return out;
}

}  // namespace

Result<std::optional<api::StreamCluster>> LiveWorld::cluster(const std::string& ns,
                                                             const std::string& name) {
  auto object = client_.get(metadata::stream_clusters(), ns, name);
  if (object.code() == Code::kNotFound) return std::optional<api::StreamCluster>();
  if (!object.ok()) return object.status();
  ASSIGN_OR_RETURN(auto cluster, api::read_stream_cluster(*object));
  return std::optional<api::StreamCluster>(std::move(cluster));
}

// A namespace may hold thousands, and the API server waits for the answer: it is asked for those of the
// cluster. One before 1.31, or with a definition of before, cannot do that.
Result<std::vector<api::Stream>> LiveWorld::streams(const std::string& ns,
                                                    const std::string& cluster) {
  if (selects_) {
    auto found = list<api::Stream>(client_, metadata::streams(),
                                   {.ns = ns, .field_selector = "spec.cluster=" + cluster},
                                   api::read_stream);
    if (found.code() != Code::kInvalidArgument) return found;
    selects_ = false;
  }
  return list<api::Stream>(client_, metadata::streams(), {.ns = ns}, api::read_stream);
}

Result<std::vector<api::StreamUser>> LiveWorld::users(const std::string& ns) {
  return list<api::StreamUser>(client_, metadata::stream_users(), {.ns = ns}, api::read_stream_user);
}

Result<admission::SecretOwner> LiveWorld::secret(const std::string& ns, const std::string& name) {
  auto object = client_.get(kube::secrets(), ns, name);
  if (object.code() == Code::kNotFound) return admission::SecretOwner();
  if (!object.ok()) return object.status();
  admission::SecretOwner owner;
  owner.exists = true;
  for (const auto& reference :
       object->value("/metadata/ownerReferences"_json_pointer, Json::array())) {
    if (!reference.value("controller", false)) continue;
    owner.uid = reference.value("uid", std::string());
    owner.description = reference.value("kind", std::string()) + " '" +
                        reference.value("name", std::string()) + "'";
  }
  return owner;
}

}  // namespace sluice_operator::webhook
