#include "tests/support/fake_api/objects.h"

#include <regex>

namespace sluice_tests {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (size_t to; (to = text.find(at, from)) != std::string::npos; from = to + 1) {
    if (to > from) parts.push_back(text.substr(from, to - from));
  }
  if (from < text.size()) parts.push_back(text.substr(from));
  return parts;
}

std::string value_of(const Query& query, const std::string& name) {
  auto it = query.find(name);
  return it == query.end() ? "" : it->second;
}

std::string manager_of(const Query& query) {
  std::string manager = value_of(query, "fieldManager");
  return manager.empty() ? "unknown" : manager;
}

bool valid_name(const std::string& name) {
  static const std::regex pattern("[a-z0-9]([-a-z0-9.]*[a-z0-9])?");
  return name.size() <= 253 && std::regex_match(name, pattern);
}

// "a=b", "a!=b", "a", "!a", joined by commas; `find` gives a key's value.
template <class Find>
bool matches(const std::string& selector, Find find) {
  for (const auto& term : split(selector, ',')) {
    size_t equals = term.find('=');
    if (equals == std::string::npos) {
      bool absent = term[0] == '!';
      if (find(absent ? term.substr(1) : term).has_value() == absent) return false;
      continue;
    }
    bool differs = equals > 0 && term[equals - 1] == '!';
    std::string key = term.substr(0, differs ? equals - 1 : equals);
    std::string value = term.substr(equals + 1);
    if (value.starts_with('=')) value.erase(0, 1);
    if ((find(key) == std::optional<std::string>(value)) == differs) return false;
  }
  return true;
}

Json without(Json object, std::initializer_list<const char*> fields) {
  for (const char* field : fields) object.erase(field);
  return object;
}

bool has_finalizers(const Json& object) {
  const Json& metadata = object["metadata"];
  return metadata.contains("finalizers") && !metadata["finalizers"].empty();
}

}  // namespace

std::optional<ApiPath> ApiPath::parse(const std::string& path) {
  auto parts = split(path, '/');
  ApiPath out;
  size_t at;
  if (parts.size() >= 3 && parts[0] == "api") {
    out.api_version = parts[1];
    at = 2;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    out.api_version = parts[1] + "/" + parts[2];
    at = 3;
  } else {
    return std::nullopt;
  }
  if (parts[at] == "namespaces" && parts.size() > at + 2) {
    out.ns = parts[at + 1];
    at += 2;
  }
  out.plural = parts[at];
  if (parts.size() > at + 1) out.name = parts[at + 1];
  if (parts.size() > at + 2) out.subresource = parts[at + 2];
  return out;
}

Answer refusal(int code, const std::string& reason, const std::string& message) {
  return {code,
          {{"apiVersion", "v1"},
           {"kind", "Status"},
           {"status", "Failure"},
           {"reason", reason},
           {"message", message},
           {"code", code}}};
}

bool matches_labels(const Json& object, const std::string& selector) {
  const Json labels = object["metadata"].value("labels", Json::object());
  return matches(selector, [&](const std::string& key) -> std::optional<std::string> {
    if (!labels.contains(key)) return std::nullopt;
    return labels[key].get<std::string>();
  });
}

bool matches_fields(const Json& object, const std::string& selector) {
  return matches(selector, [&](const std::string& key) -> std::optional<std::string> {
    if (key == "spec.cluster") return object.value("/spec/cluster"_json_pointer, std::string());
    if (!key.starts_with("metadata.")) return std::nullopt;
    return object["metadata"].value(key.substr(9), "");
  });
}

Answer Objects::missing(const ApiPath& path) const {
  return refusal(404, "NotFound", path.plural + " \"" + path.name + "\" not found");
}

Answer Objects::get(const ApiPath& path) const {
  auto it = objects_.find(key_of(path));
  return it == objects_.end() ? missing(path) : Answer{200, it->second.object};
}

// A continue token is "version/namespace/name" of the last item given out.
Answer Objects::list(const ApiPath& path, const Query& query) const {
  std::string token = value_of(query, "continue");
  size_t limit = std::stoul("0" + value_of(query, "limit"));
  Json items = Json::array();
  std::string last_key, next;
  int64_t snapshot = version_;
  if (!token.empty()) {
    snapshot = std::stoll(token);
    last_key = token.substr(token.find('/') + 1);
    if (snapshot < oldest_) {
      return refusal(410, "Expired", "The provided continue parameter is too old");
    }
  }
  std::string previous;
  for (const auto& [key, stored] : objects_) {
    const auto& [collection, ns, name] = key;
    if (collection != path.collection() || (!path.ns.empty() && ns != path.ns)) continue;
    if (!matches_labels(stored.object, value_of(query, "labelSelector")) ||
        !matches_fields(stored.object, value_of(query, "fieldSelector"))) {
      continue;
    }
    std::string here = ns + "/" + name;
    if (!last_key.empty() && here <= last_key) continue;
    if (limit != 0 && items.size() == limit) {
      next = std::to_string(snapshot) + "/" + previous;
      break;
    }
    items.push_back(without(stored.object, {"apiVersion", "kind"}));
    previous = here;
  }
  Json metadata = {{"resourceVersion", std::to_string(snapshot)}};
  if (!next.empty()) metadata["continue"] = next;
  return {200,
          {{"apiVersion", path.api_version},
           {"kind", "List"},
           {"metadata", metadata},
           {"items", std::move(items)}}};
}

Answer Objects::insert(const ApiPath& path, Json object, FieldOwners owners) {
  Json& metadata = object["metadata"];
  metadata["uid"] = "00000000-0000-4000-8000-" + std::to_string(100000000000 + ++uids_);
  metadata["resourceVersion"] = std::to_string(++version_);
  metadata["creationTimestamp"] = "2026-01-01T00:00:00Z";
  metadata["generation"] = 1;
  metadata["managedFields"] = owners.managed_fields();
  object.erase("status");
  history_.push_back({version_, "ADDED", path.collection(), object, nullptr});
  objects_[key_of(path)] = {object, std::move(owners)};
  return {201, object};
}

Answer Objects::create(const ApiPath& collection, const Query& query, Json object) {
  ApiPath path = collection;
  path.name = object.value("/metadata/name"_json_pointer, "");
  if (!valid_name(path.name)) {
    return refusal(422, "Invalid", "metadata.name: Invalid value: \"" + path.name + "\"");
  }
  if (objects_.contains(key_of(path))) {
    return refusal(409, "AlreadyExists", path.plural + " \"" + path.name + "\" already exists");
  }
  if (!path.ns.empty()) object["metadata"]["namespace"] = path.ns;
  FieldOwners owners;
  owners.update(manager_of(query), Json::object(), object);
  return insert(path, std::move(object), std::move(owners));
}

Answer Objects::store(const ApiPath& path, Stored& stored, Json next) {
  const Json before = stored.object;
  if (path.subresource == "status") {
    Json status = next.contains("status") ? next["status"] : Json();
    next = before;
    if (!status.is_null()) next["status"] = status;
  } else {
    if (before.contains("status")) next["status"] = before["status"];
    else next.erase("status");
  }
  for (const char* field : {"uid", "name", "namespace", "creationTimestamp", "generation",
                            "resourceVersion", "deletionTimestamp", "managedFields"}) {
    next["metadata"].erase(field);
    if (before["metadata"].contains(field)) next["metadata"][field] = before["metadata"][field];
  }
  if (before["metadata"].contains("deletionTimestamp") && !has_finalizers(next)) {
    next["metadata"]["resourceVersion"] = std::to_string(++version_);
    history_.push_back({version_, "DELETED", path.collection(), next, before});
    objects_.erase(key_of(path));
    return {200, next};
  }
  next["metadata"]["managedFields"] = stored.owners.managed_fields();
  if (without(next, {}) == before) return {200, before};
  if (without(next, {"metadata", "status"}) != without(before, {"metadata", "status"})) {
    next["metadata"]["generation"] = before["metadata"]["generation"].get<int64_t>() + 1;
  }
  next["metadata"]["resourceVersion"] = std::to_string(++version_);
  stored.object = next;
  history_.push_back({version_, "MODIFIED", path.collection(), next, before});
  return {200, next};
}

Answer Objects::replace(const ApiPath& path, const Query& query, Json object) {
  auto it = objects_.find(key_of(path));
  if (it == objects_.end()) return missing(path);
  std::string wanted = object.value("/metadata/resourceVersion"_json_pointer, "");
  if (!wanted.empty() && wanted != it->second.object["metadata"]["resourceVersion"]) {
    return refusal(409, "Conflict", "the object has been modified; please apply your changes to "
                                    "the latest version and try again");
  }
  it->second.owners.update(manager_of(query), it->second.object, object);
  return store(path, it->second, std::move(object));
}

Answer Objects::merge_patch(const ApiPath& path, const Query& query, const Json& patch) {
  auto it = objects_.find(key_of(path));
  if (it == objects_.end()) return missing(path);
  Json next = it->second.object;
  next.merge_patch(patch);
  std::string wanted = patch.value("/metadata/resourceVersion"_json_pointer, "");
  if (!wanted.empty() && wanted != it->second.object["metadata"]["resourceVersion"]) {
    return refusal(409, "Conflict", "the object has been modified");
  }
  it->second.owners.update(manager_of(query), it->second.object, next);
  return store(path, it->second, std::move(next));
}

Answer Objects::apply(const ApiPath& path, const Query& query, Json object) {
  if (object.value("/metadata/name"_json_pointer, path.name) != path.name || !valid_name(path.name)) {
    return refusal(422, "Invalid", "metadata.name: Invalid value");
  }
  const bool force = value_of(query, "force") == "true";
  auto it = objects_.find(key_of(path));
  if (it == objects_.end()) {
    if (!path.subresource.empty()) return missing(path);
    FieldOwners owners;
    Json made = {{"apiVersion", object["apiVersion"]}, {"kind", object["kind"]},
                 {"metadata", {{"name", path.name}}}};
    if (!path.ns.empty()) made["metadata"]["namespace"] = path.ns;
    owners.apply(manager_of(query) + "\n", object, force, made);
    return insert(path, std::move(made), std::move(owners));
  }
  Json next = it->second.object;
  // Each subresource has owners of its own, as on the real server.
  std::string conflicts =
      it->second.owners.apply(manager_of(query) + "\n" + path.subresource, object, force, next);
  if (!conflicts.empty()) return refusal(409, "Conflict", "conflicts with other managers: " + conflicts);
  return store(path, it->second, std::move(next));
}

Answer Objects::remove(const ApiPath& path, const Json& options) {
  auto it = objects_.find(key_of(path));
  if (it == objects_.end()) return missing(path);
  Json before = it->second.object;
  for (const char* field : {"uid", "resourceVersion"}) {
    Json wanted = options.value("/preconditions"_json_pointer, Json::object());
    if (wanted.contains(field) && wanted[field] != before["metadata"][field]) {
      return refusal(409, "Conflict", std::string("Precondition failed: ") + field);
    }
  }
  Json next = before;
  if (has_finalizers(before)) {
    if (before["metadata"].contains("deletionTimestamp")) return {200, before};
    next["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    next["metadata"]["resourceVersion"] = std::to_string(++version_);
    it->second.object = next;
    history_.push_back({version_, "MODIFIED", path.collection(), next, before});
    return {200, next};
  }
  next["metadata"]["resourceVersion"] = std::to_string(++version_);
  history_.push_back({version_, "DELETED", path.collection(), next, before});
  objects_.erase(it);
  return {200, next};
}

void Objects::expire() {
  history_.clear();
  oldest_ = ++version_;
}

}  // namespace sluice_tests
