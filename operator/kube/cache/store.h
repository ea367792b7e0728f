#pragma once
// The objects of one cache by namespace and name, and what changed between two states of them. They are
// kept packed, far smaller than the same JSON as a tree, and unpacked for whoever asks. Pure; the
// cache locks around it.
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "operator/kube/cache/packing.h"
#include "operator/kube/client/json.h"
#include "operator/kube/client/resource.h"

namespace sluice_operator::kube {

struct Packed {
  std::string version;   // its resourceVersion
  std::string group;     // what the store's Grouping made of it
  Packing::Text object;  // as MessagePack
};
using PackedPtr = std::shared_ptr<const Packed>;
// Null stays null.
JsonPtr unpack(const PackedPtr& packed);

// One object's step. `before` is null for a new object, `after` for one that is gone.
struct Change {
  PackedPtr before;
  PackedPtr after;
};

class Store {
 public:
  // A text that objects are looked up by beside their names, such as the cluster they belong to.
  using Grouping = std::function<std::string(const Json&)>;
  explicit Store(Grouping grouping = nullptr) : grouping_(std::move(grouping)) {}

  using Item = std::pair<ObjectKey, PackedPtr>;
  // For replace_all; the one call that needs no lock around it.
  Item pack(const Json& object);

  // The whole truth of one namespace (of all, when it is empty), from a list. Objects whose
  // resourceVersion is unchanged are no change.
  std::vector<Change> replace_all(std::vector<Item> objects, const std::string& ns = "");
  // One event. An object that is already at this resourceVersion is no change.
  std::vector<Change> upsert(const Json& object);
  std::vector<Change> remove(const ObjectKey& key);

  PackedPtr get(const ObjectKey& key) const;
  std::vector<ObjectKey> keys() const;  // in order
  // Those of a namespace that the Grouping put under `group`.
  std::vector<PackedPtr> grouped(const std::string& ns, const std::string& group) const;
  size_t size() const { return objects_.size(); }

 private:
  struct Place {
    std::string ns, group, name;
    auto operator<=>(const Place&) const = default;
  };
  // The object at `key` is now `object` (null: gone); false when nothing changed.
  bool put(const ObjectKey& key, PackedPtr object, std::vector<Change>& changes);

  const Grouping grouping_;
  Packing packing_;
  std::map<ObjectKey, PackedPtr> objects_;
  std::set<Place> groups_;  // empty without a grouping
};

}  // namespace sluice_operator::kube
