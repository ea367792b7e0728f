#include "operator/kube/cache/store.h"

#include <nlohmann/json.hpp>

namespace sluice_operator::kube {

JsonPtr unpack(const PackedPtr& packed) {
  if (!packed) return nullptr;
  return std::make_shared<const Json>(Json::from_msgpack(unpack(packed->object)));
}

Store::Item Store::pack(const Json& object) {
  auto packed = std::make_shared<Packed>();
  packed->version = metadata_text(object, "resourceVersion");
  if (grouping_) packed->group = grouping_(object);
  std::string text;
  Json::to_msgpack(object, text);
  packed->object = packing_.pack(text);
  return {key_of(object), std::move(packed)};
}

bool Store::put(const ObjectKey& key, PackedPtr object, std::vector<Change>& changes) {
  auto it = objects_.find(key);
  PackedPtr before = it == objects_.end() ? nullptr : it->second;
  if (!before && !object) return false;
  if (before && object && before->version == object->version) return false;
  if (before && !before->group.empty()) groups_.erase({key.ns, before->group, key.name});
  if (object && !object->group.empty()) groups_.insert({key.ns, object->group, key.name});
  if (!object) {
    objects_.erase(it);
  } else if (before) {
    it->second = object;
  } else {
    objects_.emplace(key, object);
  }
  changes.push_back({std::move(before), std::move(object)});
  return true;
}

std::vector<Change> Store::replace_all(std::vector<Item> objects, const std::string& ns) {
  std::vector<Change> changes;
  std::set<ObjectKey> listed;
  for (auto& [key, object] : objects) {
    put(key, std::move(object), changes);
    listed.insert(std::move(key));
  }
  std::vector<ObjectKey> gone;
  for (const auto& [key, before] : objects_) {
    if (!listed.contains(key) && (ns.empty() || key.ns == ns)) gone.push_back(key);
  }
  for (const auto& key : gone) put(key, nullptr, changes);
  return changes;
}

std::vector<Change> Store::upsert(const Json& object) {
  std::vector<Change> changes;
  auto [key, packed] = pack(object);
  put(key, std::move(packed), changes);
  return changes;
}

std::vector<Change> Store::remove(const ObjectKey& key) {
  std::vector<Change> changes;
  put(key, nullptr, changes);
  return changes;
}

PackedPtr Store::get(const ObjectKey& key) const {
  auto it = objects_.find(key);
  return it == objects_.end() ? nullptr : it->second;
}

std::vector<ObjectKey> Store::keys() const {
  std::vector<ObjectKey> found;
  found.reserve(objects_.size());
  for (const auto& [key, object] : objects_) found.push_back(key);
  return found;
}

std::vector<PackedPtr> Store::grouped(const std::string& ns, const std::string& group) const {
  std::vector<PackedPtr> found;
  for (auto it = groups_.lower_bound({ns, group, ""}); it != groups_.end(); ++it) {
    if (it->ns != ns || it->group != group) break;
    found.push_back(get({ns, it->name}));
  }
  return found;
}

}  // namespace sluice_operator::kube
