#pragma once
// Consumer groups of one broker: which partition of the coordinators' stream a group belongs to, and
// the coordinators of those that this broker leads. Called by the front doors' handlers on the
// reactor; every reply runs exactly once, now or later.
#include <map>
#include <memory>
#include <string>

#include "broker/groups/coordinator.h"
#include "broker/groups/metadata_topics.h"

namespace broker::groups {

class Groups {
 public:
  Groups(Parts parts, Options options);
  ~Groups();
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  // The partition that a group belongs to: its leader coordinates the group. None while the
  // coordinators' stream is being made, which this asks for.
  std::optional<ShardId> shard_of(const std::string& group);

  // Runs `step(machine, now, reply, effects)` for the group, or answers why this broker cannot.
  template <class T, class Step>
  void run(const std::string& group, const Reply<T>& reply, const Step& step) {
    GroupError error = GroupError::kNone;
    if (Coordinator* coordinator = ready(group, error)) {
      return coordinator->run(
          [&](Machine& machine, Now now, Effects& fx) { step(machine, now, reply, fx); });
    }
    T failed;
    failed.error = error;
    reply(std::move(failed));
  }
  // All groups coordinated here; kCoordinatorLoadInProgress while some are being loaded.
  ListResult list();

 private:
  Coordinator* ready(const std::string& group, GroupError& error);
  Coordinator& coordinator(const ShardId& id);
  void create_stream();
  // Looks at who leads what; loads and drops.
  void follow();
  void follow_soon();
  void poll();
  void on_metadata(const cluster::Metadata::Change& change);
  void count();
  void count_lag();

  Parts parts_;
  Options options_;
  MetadataTopics topics_;
  std::map<ShardId, std::unique_ptr<Coordinator>> coordinators_;
  bool creating_ = false, follow_scheduled_ = false;
  uint64_t polls_ = 0;
  std::map<std::string, prometheus::Gauge*> states_;
  struct Counted {
    uint64_t rebalances = 0, commits = 0;
  };
  std::map<const Machine*, Counted> counted_;
  prometheus::Counter& rebalances_;
  prometheus::Counter& commits_;
  using LagKey = std::tuple<std::string, std::string, int32_t>;
  using Gauges = std::map<LagKey, prometheus::Gauge*>;
  void show(Gauges& gauges, const std::map<LagKey, double>& values, const char* name,
            const char* help);
  Gauges lag_, committed_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace broker::groups
