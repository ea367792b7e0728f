#pragma once
// The objects of one cache by namespace and name, and what changed between two states of them.
// Pure; the cache locks around it.
#include <map>
#include <vector>

#include "operator/kube/client/json.h"
#include "operator/kube/client/resource.h"

namespace sluice_operator::kube {

// One object's step. `before` is null for a new object, `after` for one that is gone.
struct Change {
  JsonPtr before;
  JsonPtr after;
};

class Store {
 public:
  // The whole truth of one namespace (of all, when it is empty), from a list. Objects whose
  // resourceVersion is unchanged are no change.
  std::vector<Change> replace_all(std::vector<Json> objects, const std::string& ns = "");
  // One event. An object that is already at this resourceVersion is no change.
  std::vector<Change> upsert(Json object);
  std::vector<Change> remove(const ObjectKey& key);

  JsonPtr get(const ObjectKey& key) const;
  // Of one namespace, or of all when `ns` is empty; ordered by key.
  std::vector<JsonPtr> all(const std::string& ns) const;
  size_t size() const { return objects_.size(); }

 private:
  std::map<ObjectKey, JsonPtr> objects_;
};

}  // namespace sluice_operator::kube
