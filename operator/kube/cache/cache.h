#pragma once
// A local copy of all objects of one kind (in some namespaces or all, by label selector), kept up to
// date by a list and a watch, for each namespace on a thread of its own. It may lag behind the server; reconcilers are
// level-triggered and do not mind. Readers may be on any thread; change handlers run on the cache's
// threads, one at a time, after the change is visible to readers.
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "operator/kube/cache/store.h"
#include "operator/kube/client/client.h"

namespace sluice_operator::kube {

struct CacheOptions {
  ResourceType type;
  Selection selection;
  // Instead of selection.ns: just these. Empty: as selection.ns says.
  std::vector<std::string> namespaces;
  // Called on each object before it is stored, beside dropping managedFields and kubectl's
  // last-applied annotation: what nobody reads need not be kept.
  std::function<void(Json&)> transform;
  // What grouped() looks objects up by.
  Store::Grouping grouping;
  // Whoever may not list this kind (403: the role is an older one's) does without: it counts as empty until
  // the right is there, which is looked at every backoff_cap_ms.
  bool optional = false;
  int64_t backoff_base_ms = 200;
  int64_t backoff_cap_ms = 30'000;
  WatchOptions watch;
};

class Cache {
 public:
  using Handler = std::function<void(const JsonPtr& before, const JsonPtr& after)>;

  Cache(Client& client, broker::env::Clock& clock, broker::env::Random& random,
        broker::Metrics& metrics, CacheOptions options);
  ~Cache();

  // Before start(). A handler hears of every object once at the beginning, and then of changes.
  void on_change(Handler handler);
  void start();
  // Ends the watch and joins the thread. No handler runs afterwards.
  void stop();

  // The first list is complete.
  bool synced() const;
  // Waits for it; false when the time is over or the cache was stopped.
  bool wait_synced(int64_t timeout_ms);

  JsonPtr get(const std::string& ns, const std::string& name) const;
  // Of all objects there are.
  std::vector<ObjectKey> keys() const;
  // Those of a namespace that options.grouping put under `group`; costs what they are, not what there is.
  std::vector<JsonPtr> grouped(const std::string& ns, const std::string& group) const;
  const ResourceType& type() const { return options_.type; }

 private:
  // What one thread follows; its fields are that thread's, but for `synced`.
  struct Follower {
    Selection selection;
    std::string resource_version;
    bool synced = false;
    Thread thread;
  };
  void run(Follower& follower);
  broker::Status relist(Follower& follower);
  void now_synced(Follower& follower);
  // Watches until the server has forgotten our resourceVersion, or stop.
  void follow(Follower& follower);
  void on_event(Follower& follower, WatchEvent event);
  void tell(const std::vector<Change>& changes);
  bool all_synced() const;  // with the lock
  void trim(Json& object) const;
  void back_off(int failures);

  Client& client_;
  broker::env::Clock& clock_;
  broker::env::Random& random_;
  broker::Metrics& metrics_;
  const CacheOptions options_;
  std::vector<Handler> handlers_;
  StopSignal stopping_;

  mutable std::mutex mutex_;
  std::condition_variable synced_changed_;
  Store store_;
  std::mutex telling_;
  std::vector<std::unique_ptr<Follower>> followers_;
};

}  // namespace sluice_operator::kube
