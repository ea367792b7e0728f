#include "operator/kube/cache/store.h"

#include <nlohmann/json.hpp>

namespace sluice_operator::kube {

std::vector<Change> Store::replace_all(std::vector<Json> objects, const std::string& ns) {
  std::vector<Change> changes;
  std::map<ObjectKey, JsonPtr> next;
  for (auto& object : objects) {
    ObjectKey key = key_of(object);
    JsonPtr before = get(key);
    if (before && metadata_text(*before, "resourceVersion") ==
                      metadata_text(object, "resourceVersion")) {
      next[key] = before;
      continue;
    }
    JsonPtr after = std::make_shared<const Json>(std::move(object));
    next[key] = after;
    changes.push_back({before, after});
  }
  for (const auto& [key, before] : objects_) {
    if (next.contains(key)) continue;
    if (!ns.empty() && key.ns != ns) {
      next[key] = before;
    } else {
      changes.push_back({before, nullptr});
    }
  }
  objects_ = std::move(next);
  return changes;
}

std::vector<Change> Store::upsert(Json object) {
  JsonPtr& slot = objects_[key_of(object)];
  JsonPtr before = slot;
  if (before &&
      metadata_text(*before, "resourceVersion") == metadata_text(object, "resourceVersion")) {
    return {};
  }
  slot = std::make_shared<const Json>(std::move(object));
  return {{before, slot}};
}

std::vector<Change> Store::remove(const ObjectKey& key) {
  auto it = objects_.find(key);
  if (it == objects_.end()) return {};
  Change change{it->second, nullptr};
  objects_.erase(it);
  return {change};
}

JsonPtr Store::get(const ObjectKey& key) const {
  auto it = objects_.find(key);
  return it == objects_.end() ? nullptr : it->second;
}

std::vector<JsonPtr> Store::all(const std::string& ns) const {
  std::vector<JsonPtr> found;
  for (const auto& [key, object] : objects_) {
    if (ns.empty() || key.ns == ns) found.push_back(object);
  }
  return found;
}

}  // namespace sluice_operator::kube
