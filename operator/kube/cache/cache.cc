#include "operator/kube/cache/cache.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/base/log.h"

namespace sluice_operator::kube {

using broker::Status;

namespace {
// A watch that ends sooner than this counts as a failure, or a server that closes at once would
// keep us spinning.
constexpr int64_t kShortWatchMs = 1'000;
}  // namespace

Cache::Cache(Client& client, broker::env::Clock& clock, broker::env::Random& random,
             broker::Metrics& metrics, CacheOptions options)
    : client_(client), clock_(clock), random_(random), metrics_(metrics),
      options_(std::move(options)), store_(options_.grouping) {
  auto namespaces = options_.namespaces;
  if (namespaces.empty()) namespaces.push_back(options_.selection.ns);
  for (const auto& ns : namespaces) {
    followers_.push_back(std::make_unique<Follower>());
    followers_.back()->selection = options_.selection;
    followers_.back()->selection.ns = ns;
  }
}

Cache::~Cache() { stop(); }

void Cache::on_change(Handler handler) { handlers_.push_back(std::move(handler)); }

void Cache::start() {
  for (auto& follower : followers_) {
    follower->thread = Thread("cache", [this, one = follower.get()] { run(*one); });
  }
}

void Cache::stop() {
  stopping_.stop();
  { std::lock_guard lock(mutex_); }  // a waiter sleeps by now, or sees the stop
  synced_changed_.notify_all();
  for (auto& follower : followers_) follower->thread.join();
}

bool Cache::all_synced() const {
  return std::all_of(followers_.begin(), followers_.end(),
                     [](const auto& follower) { return follower->synced; });
}

bool Cache::synced() const {
  std::lock_guard lock(mutex_);
  return all_synced();
}

bool Cache::wait_synced(int64_t timeout_ms) {
  std::unique_lock lock(mutex_);
  synced_changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                           [this] { return all_synced() || stopping_.stopped(); });
  return all_synced();
}

JsonPtr Cache::get(const std::string& ns, const std::string& name) const {
  PackedPtr found;
  {
    std::lock_guard lock(mutex_);
    found = store_.get({ns, name});
  }
  return unpack(found);
}

std::vector<ObjectKey> Cache::keys() const {
  std::lock_guard lock(mutex_);
  return store_.keys();
}

std::vector<JsonPtr> Cache::grouped(const std::string& ns, const std::string& group) const {
  std::vector<PackedPtr> found;
  {
    std::lock_guard lock(mutex_);
    found = store_.grouped(ns, group);
  }
  std::vector<JsonPtr> objects;
  objects.reserve(found.size());
  for (const auto& packed : found) objects.push_back(unpack(packed));
  return objects;
}

void Cache::run(Follower& follower) {
  int failures = 0;
  while (!stopping_.stopped()) {
    Status status = relist(follower);
    if (options_.optional && status.code() == broker::Code::kPermissionDenied) {
      if (!follower.synced) {
        broker::log_warn("kube", "may not list, doing without",
                         {{"kind", options_.type.kind}, {"error", status.to_string()}});
        now_synced(follower);
      }
      stopping_.wait_ms(options_.backoff_cap_ms);
      continue;
    }
    if (!status.ok()) {
      broker::log_warn("kube", "cannot list, trying again",
                       {{"kind", options_.type.kind}, {"error", status.to_string()}});
      back_off(++failures);
      continue;
    }
    failures = 0;
    follow(follower);
  }
}

void Cache::trim(Json& object) const {
  if (auto metadata = object.find("metadata"); metadata != object.end() && metadata->is_object()) {
    metadata->erase("managedFields");
    if (auto it = metadata->find("annotations"); it != metadata->end() && it->is_object()) {
      it->erase("kubectl.kubernetes.io/last-applied-configuration");
    }
  }
  if (options_.transform) options_.transform(object);
}

Status Cache::relist(Follower& follower) {
  ListOptions list;
  std::vector<Store::Item> items;
  list.transform = [this](Json& object) { trim(object); };
  list.take = [&](const Json& object) { items.push_back(store_.pack(object)); };
  list.again = [&] { items.clear(); };
  ASSIGN_OR_RETURN(auto result, client_.list(options_.type, follower.selection, list));
  follower.resource_version = result.resource_version;
  metrics_
      .counter("sluice_operator_cache_lists_total", "Times a cache has listed all its objects.",
               {{"kind", options_.type.kind}})
      .Increment();
  std::vector<Change> changes;
  {
    std::lock_guard lock(mutex_);
    changes = store_.replace_all(std::move(items), follower.selection.ns);
  }
  tell(changes);
  now_synced(follower);
  return {};
}

void Cache::now_synced(Follower& follower) {
  {
    std::lock_guard lock(mutex_);
    follower.synced = true;
  }
  synced_changed_.notify_all();
}

void Cache::follow(Follower& follower) {
  int failures = 0;
  while (!stopping_.stopped()) {
    WatchOptions watch = options_.watch;
    watch.resource_version = follower.resource_version;
    // Spreads the reconnections of many caches.
    watch.server_timeout_seconds +=
        static_cast<int64_t>(random_.below(static_cast<uint64_t>(watch.server_timeout_seconds) + 1));
    const int64_t started_ms = clock_.mono_ms();
    Status status =
        client_.watch(options_.type, follower.selection, watch, stopping_,
                      [&](WatchEvent event) { on_event(follower, std::move(event)); });
    if (stopping_.stopped()) return;
    if (is_expired(status)) {
      broker::log_info("kube", "the watch is too far behind, listing again",
                       {{"kind", options_.type.kind}});
      return;
    }
    if (!status.ok()) {
      broker::log_debug("kube", "the watch broke, resuming",
                        {{"kind", options_.type.kind}, {"error", status.to_string()}});
    }
    const bool lasted = clock_.mono_ms() - started_ms >= kShortWatchMs;
    failures = lasted ? 0 : failures + 1;
    if (failures > 0) back_off(failures);
  }
}

void Cache::on_event(Follower& follower, WatchEvent event) {
  follower.resource_version = metadata_text(event.object, "resourceVersion");
  if (event.type == WatchEvent::Type::kBookmark) return;
  trim(event.object);
  std::vector<Change> changes;
  {
    std::lock_guard lock(mutex_);
    changes = event.type == WatchEvent::Type::kDeleted ? store_.remove(key_of(event.object))
                                                       : store_.upsert(event.object);
  }
  tell(changes);
}

void Cache::tell(const std::vector<Change>& changes) {
  std::lock_guard telling(telling_);
  for (const auto& change : changes) {
    if (handlers_.empty()) break;
    const JsonPtr before = unpack(change.before), after = unpack(change.after);
    for (const auto& handler : handlers_) handler(before, after);
  }
  size_t size;
  {
    std::lock_guard lock(mutex_);
    size = store_.size();
  }
  metrics_
      .gauge("sluice_operator_cache_objects", "Objects in a cache.", {{"kind", options_.type.kind}})
      .Set(static_cast<double>(size));
}

void Cache::back_off(int failures) {
  int64_t ceiling_ms = options_.backoff_cap_ms;
  if (failures < 16) {
    ceiling_ms = std::min(ceiling_ms, options_.backoff_base_ms << (failures - 1));
  }
  stopping_.wait_ms(ceiling_ms / 2 +
                    static_cast<int64_t>(random_.below(static_cast<uint64_t>(ceiling_ms) / 2 + 1)));
}

}  // namespace sluice_operator::kube
