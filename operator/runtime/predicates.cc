#include "operator/runtime/predicates.h"

#include <nlohmann/json.hpp>

namespace sluice_operator::runtime {

using kube::Json;
using kube::JsonPtr;

namespace {

// metadata.FIELD, or null.
const Json& metadata_at(const Json& object, const char* field) {
  static const Json none;
  auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return none;
  auto value = metadata->find(field);
  return value == metadata->end() ? none : *value;
}

std::string group_of(const std::string& api_version) {
  size_t slash = api_version.find('/');
  return slash == std::string::npos ? "" : api_version.substr(0, slash);
}

std::string text_at(const Json& object, const char* field) {
  auto it = object.find(field);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

void enqueue_owner(const JsonPtr& object, const kube::ResourceType& owner, const Enqueue& enqueue) {
  if (!object) return;
  const Json& references = metadata_at(*object, "ownerReferences");
  if (!references.is_array()) return;
  for (const auto& reference : references) {
    if (!reference.is_object() || !reference.contains("controller") ||
        reference["controller"] != true) {
      continue;
    }
    if (text_at(reference, "kind") != owner.kind ||
        group_of(text_at(reference, "apiVersion")) != owner.group) {
      continue;
    }
    enqueue({kube::metadata_text(*object, "namespace"), text_at(reference, "name")});
  }
}

}  // namespace

Mapper map_to_self() {
  return [](const JsonPtr& before, const JsonPtr& after, const Enqueue& enqueue) {
    enqueue(kube::key_of(after ? *after : *before));
  };
}

Mapper map_to_owner(const kube::ResourceType& owner) {
  return [owner](const JsonPtr& before, const JsonPtr& after, const Enqueue& enqueue) {
    enqueue_owner(before, owner, enqueue);
    enqueue_owner(after, owner, enqueue);
  };
}

Mapper map_to_label(const std::string& label) {
  return [label](const JsonPtr& before, const JsonPtr& after, const Enqueue& enqueue) {
    for (const auto& object : {before, after}) {
      if (!object) continue;
      const Json& labels = metadata_at(*object, "labels");
      if (!labels.is_object()) continue;
      if (std::string name = text_at(labels, label.c_str()); !name.empty()) {
        enqueue({kube::metadata_text(*object, "namespace"), name});
      }
    }
  };
}

bool asks_for_something_new(const JsonPtr& before, const JsonPtr& after) {
  if (!before || !after) return true;
  for (const char* field :
       {"uid", "generation", "deletionTimestamp", "labels", "annotations", "finalizers"}) {
    if (metadata_at(*before, field) != metadata_at(*after, field)) return true;
  }
  return false;
}

}  // namespace sluice_operator::runtime
