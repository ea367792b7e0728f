#pragma once
// The Kubernetes REST client: every verb the operator needs, on JSON documents. Calls block their
// thread; any number of threads may share one client. Reads are retried here, with jitter; a write
// is sent once, except after 429 and 401, where the server did nothing with it. errors.h says what
// the codes mean, above all kTimeout: a write whose outcome is unknown.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/metrics.h"
#include "broker/base/status.h"
#include "broker/env/env.h"
#include "operator/kube/client/config.h"
#include "operator/kube/client/errors.h"
#include "operator/kube/client/json.h"
#include "operator/kube/client/resource.h"
#include "operator/kube/client/watch_decoder.h"
#include "operator/kube/task/task.h"

namespace sluice_operator::kube {

// The field manager of everything the operator applies.
inline constexpr const char* kFieldManager = "sluice-operator";

struct Selection {
  std::string ns;  // empty: all namespaces
  std::string label_selector;
  std::string field_selector;
};

struct ListOptions {
  int page_size = 100;  // every cache lists at once after a start: what pages take is held for good
  // Applied to every item when its page arrives, e.g. to drop what the caller does not need.
  std::function<void(Json&)> transform;
  // Gets every item when its page arrives, instead of the result: a long list is never there as a whole.
  // A list that expires half-way starts again: then `again` is called first.
  std::function<void(Json)> take;
  std::function<void()> again;
};

struct ListResult {
  std::vector<Json> items;  // with apiVersion and kind, which lists leave out
  std::string resource_version;
};

struct ApplyOptions {
  // Takes fields over from other managers; without it they are a kConflict.
  bool force = true;
  std::string subresource;  // "" or "status"
  bool* created = nullptr;  // out: there was no such object before
};

struct DeleteOptions {
  std::string uid;               // empty: any
  std::string resource_version;  // empty: any
  std::string propagation;       // Background | Foreground | Orphan; empty: the server's choice
};

struct WatchOptions {
  std::string resource_version;
  int64_t server_timeout_seconds = 300;
  // Bookmarks come about once a minute, so a longer silence is a dead connection.
  int64_t idle_timeout_ms = 100'000;
};

struct ClientOptions {
  int64_t request_timeout_ms = 10'000;
  int read_attempts = 4;
  int64_t retry_base_ms = 100;
  int64_t retry_cap_ms = 5'000;
};

class Client {
 public:
  static broker::Result<std::unique_ptr<Client>> open(ClientConfig config,
                                                      broker::env::FileSystem& fs,
                                                      broker::env::Clock& clock,
                                                      broker::env::Random& random,
                                                      broker::Metrics& metrics,
                                                      ClientOptions options = {});
  ~Client();

  const std::string& default_namespace() const;

  broker::Result<Json> get(const ResourceType& type, const std::string& ns, const std::string& name);
  // All pages; a list that expires half-way starts again.
  broker::Result<ListResult> list(const ResourceType& type, const Selection& selection,
                                  const ListOptions& options = {});
  broker::Result<Json> create(const ResourceType& type, const Json& object);
  // Server-side apply of `object`, which names itself and holds only the fields we own.
  broker::Result<Json> apply(const ResourceType& type, const Json& object,
                             const ApplyOptions& options = {});
  broker::Result<Json> merge_patch(const ResourceType& type, const ObjectKey& key, const Json& patch,
                                   const std::string& subresource = "");
  // PUT: a compare-and-swap on the object's metadata.resourceVersion, kConflict when it has moved.
  broker::Result<Json> replace(const ResourceType& type, const Json& object,
                               const std::string& subresource = "");
  broker::Status remove(const ResourceType& type, const ObjectKey& key,
                        const DeleteOptions& options = {});

  // Calls `handler` on this thread for every event after options.resource_version, until the
  // server ends the watch (kOk), `stop` fires (kUnavailable), or it fails; kOutOfRange: list again.
  broker::Status watch(const ResourceType& type, const Selection& selection,
                       const WatchOptions& options, StopSignal& stop, const WatchHandler& handler);

  // GET of a path that is no resource, e.g. "/version".
  broker::Result<std::string> get_raw(const std::string& path);

  // Aborts every call in flight; later ones fail with kUnavailable or kTimeout at once.
  void stop();

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice_operator::kube
