#pragma once
// Drives the group machine of one partition of the coordinators' stream: replays the log when this
// broker comes to lead it, appends what the machine's steps ask for, and lets answers out once
// everything appended before them is committed. Made by Groups, on the reactor. Invariant: no
// client hears of a state that another leader of the partition could not know.
#include <deque>
#include <memory>

#include "broker/base/metrics.h"
#include "broker/cluster/metadata.h"
#include "broker/env/env.h"
#include "broker/groups/core/machine.h"
#include "broker/partition/partition.h"

namespace broker::groups {

struct Options {
  Settings settings;
  int32_t partitions = 16;              // of the coordinators' stream, when it is made
  size_t snapshot_records_min = 5'000;  // appended between two snapshots
};

// The broker around the coordinators. All references outlive them.
struct Parts {
  env::Clock& clock;
  env::Executor& executor;
  env::Random& random;
  Metrics& metrics;
  cluster::Metadata& metadata;
  std::function<partition::Partition*(const ShardId&)> find_partition;
  std::function<void(cluster::v1::AdminRequest, int64_t timeout_ms,
                     std::function<void(Result<cluster::v1::AdminResponse>)>)>
      admin;
};

class Coordinator {
 public:
  Coordinator(const Parts& parts, const Options& options, const Topics& topics, ShardId id);
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Follows leadership: loads, drops. kNone: run() may be called now.
  GroupError check();
  using Step = std::function<void(Machine&, Now, Effects&)>;
  void run(const Step& step);
  // Null unless check() answers kNone.
  const Machine* machine() const { return loading_ ? nullptr : machine_.get(); }

 private:
  struct Waiting {
    uint64_t sequence;
    std::vector<Effects::Answer> answers;
  };
  Now now() const { return {parts_.clock.mono_ms(), parts_.clock.wall_ms()}; }
  void start_loading(partition::Partition& partition);
  void load_step();
  void load_later(int64_t delay_ms);
  Status replay(const Batch& batch);
  void finish_loading();
  void drop(GroupError why);
  void finish(Effects fx);
  bool append(const std::vector<Put>& puts, size_t batch_bytes,
              const std::function<void(Offset first)>& done);
  bool append_batch(const std::vector<Put>& puts, size_t from, size_t to,
                    std::function<void(Offset)> done);
  void on_appended(uint64_t sequence, const Result<partition::Appended>& result);
  void answer_committed();
  void snapshot_if_due();
  void trim(Offset before);
  void arm();
  void on_timer();

  const Parts& parts_;
  const Options& options_;
  const Topics& topics_;
  const ShardId id_;
  std::unique_ptr<Machine> machine_;
  bool loading_ = false;
  Term term_ = kNoTerm;  // that the machine was loaded in
  uint64_t load_ = 0;    // counts loads: late callbacks of an earlier one do nothing
  Offset load_at_, load_end_;
  int64_t load_began_ms_ = 0;
  int64_t retry_at_ms_ = 0;                // after a refused append
  uint64_t appended_ = 0, committed_ = 0;  // sequences of appends
  std::deque<Waiting> waiting_;            // ascending
  size_t records_since_snapshot_ = 0;
  bool snapshotting_ = false;
  int64_t expire_at_ms_ = 0;
  std::optional<env::TimerId> timer_;
  int64_t timer_at_ms_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace broker::groups
