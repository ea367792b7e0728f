#include "tests/support/fake_api/apply_patch.h"

namespace sluice_tests {
namespace {

void collect(const Json& value, FieldPath& path, std::map<FieldPath, Json>& fields) {
  if (!value.is_object() || value.empty()) {
    fields[path] = value;
    return;
  }
  for (const auto& [key, child] : value.items()) {
    path.push_back(key);
    collect(child, path, fields);
    path.pop_back();
  }
}

// The fields that can have owners: not the object's own identity.
std::map<FieldPath, Json> fields_of(const Json& object) {
  std::map<FieldPath, Json> all, fields;
  FieldPath path;
  collect(object, path, all);
  for (auto& [at, value] : all) {
    if (at.empty() || at[0] == "apiVersion" || at[0] == "kind") continue;
    if (at[0] == "metadata" &&
        (at.size() < 2 || (at[1] != "labels" && at[1] != "annotations" && at[1] != "finalizers" &&
                           at[1] != "ownerReferences"))) {
      continue;
    }
    fields[at] = std::move(value);
  }
  return fields;
}

const Json* find(const Json& object, const FieldPath& path) {
  const Json* at = &object;
  for (const auto& key : path) {
    if (!at->is_object() || !at->contains(key)) return nullptr;
    at = &(*at)[key];
  }
  return at;
}

void set(Json& object, const FieldPath& path, const Json& value) {
  Json* at = &object;
  for (const auto& key : path) {
    if (!at->is_object()) *at = Json::object();
    at = &(*at)[key];
  }
  if (value.is_object() && value.empty() && at->is_object()) return;
  *at = value;
}

void erase(Json& object, const FieldPath& path, size_t depth = 0) {
  if (!object.is_object() || !object.contains(path[depth])) return;
  if (depth + 1 == path.size()) {
    object.erase(path[depth]);
    return;
  }
  Json& child = object[path[depth]];
  erase(child, path, depth + 1);
  if (child.is_object() && child.empty()) object.erase(path[depth]);
}

std::string shown(const FieldPath& path) {
  std::string text;
  for (const auto& key : path) text += "." + key;
  return text;
}

}  // namespace

std::string FieldOwners::apply(const std::string& manager, const Json& patch, bool force,
                               Json& object) {
  const std::string self = manager + "\nApply";
  auto fields = fields_of(patch);
  std::string conflicts;
  for (const auto& [path, value] : fields) {
    const Json* current = find(object, path);
    if (!current || *current == value) continue;
    for (const auto& [owner, paths] : owned_) {
      if (owner != self && paths.contains(path)) conflicts += shown(path) + " ";
    }
  }
  if (!conflicts.empty() && !force) return conflicts;
  std::set<FieldPath> now;
  for (const auto& [path, value] : fields) {
    const Json* current = find(object, path);
    const bool changes = !current || *current != value;
    for (auto& [owner, paths] : owned_) {
      if (owner != self && changes) paths.erase(path);
    }
    set(object, path, value);
    now.insert(path);
  }
  for (const auto& path : owned_[self]) {
    bool kept = now.contains(path);
    for (const auto& [owner, paths] : owned_) kept |= owner != self && paths.contains(path);
    if (!kept) erase(object, path);
  }
  owned_[self] = std::move(now);
  return {};
}

void FieldOwners::update(const std::string& manager, const Json& before, const Json& after) {
  const std::string self = manager + "\nUpdate";
  auto old_fields = fields_of(before);
  auto new_fields = fields_of(after);
  for (const auto& [path, value] : new_fields) {
    auto it = old_fields.find(path);
    if (it != old_fields.end() && it->second == value) continue;
    for (auto& [owner, paths] : owned_) paths.erase(path);
    owned_[self].insert(path);
  }
  for (const auto& [path, value] : old_fields) {
    if (new_fields.contains(path)) continue;
    for (auto& [owner, paths] : owned_) paths.erase(path);
  }
}

Json FieldOwners::managed_fields() const {
  Json list = Json::array();
  for (const auto& [owner, paths] : owned_) {
    size_t split = owner.find('\n');
    list.push_back({{"manager", owner.substr(0, split)}, {"operation", owner.substr(split + 1)}});
  }
  return list;
}

}  // namespace sluice_tests
