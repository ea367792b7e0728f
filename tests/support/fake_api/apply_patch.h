#pragma once
// Who set which field: the least of server-side apply that the operator's code can tell from the
// real thing. A field is the path of a value; lists are values as a whole (the real server merges
// some of them by key). Pure.
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace sluice_tests {

using Json = nlohmann::json;
using FieldPath = std::vector<std::string>;

class FieldOwners {
 public:
  // Applies `patch` for `manager` to `object`: sets its fields, removes those that the manager
  // owned and no longer sets. Returns the fields of others that stand in the way ("" when none);
  // then nothing is changed.
  std::string apply(const std::string& manager, const Json& patch, bool force, Json& object);
  // An ordinary write changed `before` into `after`: its fields are the manager's now.
  void update(const std::string& manager, const Json& before, const Json& after);
  Json managed_fields() const;

 private:
  std::map<std::string, std::set<FieldPath>> owned_;  // by "manager\nOperation"
};


}  // namespace sluice_tests
