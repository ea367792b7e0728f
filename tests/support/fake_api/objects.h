#pragma once
// The fake API server's memory: objects of any kind with resourceVersions, generations, finalizers,
// the status subresource, field owners, list pages, and the history that watches read. It answers as
// the real server does where our code can tell; the conformance suite says where. No thread of its
// own: the server locks around it.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/fake_api/apply_patch.h"

namespace sluice_tests {

struct Answer {
  int code = 200;
  Json body;
};

// "/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE"
struct ApiPath {
  std::string api_version, ns, plural, name, subresource;
  static std::optional<ApiPath> parse(const std::string& path);
  std::string collection() const { return api_version + "/" + plural; }
};

using Query = std::map<std::string, std::string>;

struct HistoryEntry {
  int64_t version;
  std::string type;  // ADDED, MODIFIED, DELETED
  std::string collection;
  Json object;
  Json before;  // null for ADDED
};

Answer refusal(int code, const std::string& reason, const std::string& message);
bool matches_labels(const Json& object, const std::string& selector);
bool matches_fields(const Json& object, const std::string& selector);

class Objects {
 public:
  Answer get(const ApiPath& path) const;
  Answer list(const ApiPath& path, const Query& query) const;
  Answer create(const ApiPath& path, const Query& query, Json object);
  Answer replace(const ApiPath& path, const Query& query, Json object);
  Answer merge_patch(const ApiPath& path, const Query& query, const Json& patch);
  Answer apply(const ApiPath& path, const Query& query, Json object);
  Answer remove(const ApiPath& path, const Json& options);

  // Forgets all history: watches and list pages from before are "expired".
  void expire();
  int64_t version() const { return version_; }
  int64_t oldest_version() const { return oldest_; }
  // What happened after `version`, oldest first.
  const std::vector<HistoryEntry>& history() const { return history_; }

 private:
  struct Stored {
    Json object;
    FieldOwners owners;
  };
  using Key = std::tuple<std::string, std::string, std::string>;  // collection, namespace, name
  static Key key_of(const ApiPath& path) { return {path.collection(), path.ns, path.name}; }
  Answer missing(const ApiPath& path) const;
  Answer insert(const ApiPath& path, Json object, FieldOwners owners);
  // Stores `next` in place of what is at `path`, unless it is the same.
  Answer store(const ApiPath& path, Stored& stored, Json next);

  std::map<Key, Stored> objects_;
  std::vector<HistoryEntry> history_;
  int64_t version_ = 100;  // the real server's first versions are long forgotten, too
  int64_t oldest_ = 100;
  int64_t uids_ = 0;
};

}  // namespace sluice_tests
