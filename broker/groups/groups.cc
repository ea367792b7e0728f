#include "broker/groups/groups.h"

#include <algorithm>

#include "broker/base/log.h"
#include "broker/model/internal_streams.h"

namespace broker::groups {
namespace {

constexpr int64_t kPollMs = 1'000;
constexpr uint64_t kPollsPerCount = 5;
constexpr int64_t kCreateTimeoutMs = 30'000;
constexpr int32_t kReplicationWished = 3;
constexpr int32_t kRecordBytesMax = 16 << 20;  // a large group's assignment is one record

// Java's String.hashCode of an ASCII name: the same partition as Kafka's.
int32_t hash_of(const std::string& group) {
  uint32_t hash = 0;
  for (unsigned char c : group) hash = hash * 31 + c;
  return static_cast<int32_t>(hash);
}

}  // namespace

Groups::Groups(Parts parts, Options options)
    : parts_(std::move(parts)),
      options_(options),
      topics_(parts_.metadata),
      rebalances_(parts_.metrics.counter("sluice_group_rebalances_total",
                                         "Rebalances of groups coordinated here")),
      commits_(parts_.metrics.counter("sluice_group_commits_total",
                                      "Offsets committed to groups coordinated here")) {
  for (const char* state : {"Empty", "PreparingRebalance", "CompletingRebalance", "Assigning",
                            "Reconciling", "Stable"}) {
    states_[state] = &parts_.metrics.gauge("sluice_groups", "Groups coordinated here",
                                           {{"state", state}});
  }
  parts_.metadata.add_listener([this, alive = alive_](const cluster::Metadata::Change& change) {
    if (*alive) on_metadata(change);
  });
  poll();
}

Groups::~Groups() { *alive_ = false; }

std::optional<ShardId> Groups::shard_of(const std::string& group) {
  cluster::StreamPtr stream = parts_.metadata.find(kConsumerOffsetsStream);
  if (!stream || stream->map.shards().empty()) {
    create_stream();
    return std::nullopt;
  }
  // As abs() of the hash, but for the smallest number.
  uint32_t hash = static_cast<uint32_t>(hash_of(group)) & 0x7fffffff;
  return ShardId{stream->id, static_cast<int32_t>(hash % static_cast<uint32_t>(
                                                             stream->map.shards_size()))};
}

void Groups::create_stream() {
  if (creating_) return;
  creating_ = true;
  cluster::v1::AdminRequest request;
  request.mutable_create_stream()->set_name(std::string(kConsumerOffsetsStream));
  auto& config = *request.mutable_create_stream()->mutable_config();
  config.set_mode(cluster::v1::STREAM_MODE_PARTITIONED);
  config.set_partitions(options_.partitions);
  // With fewer brokers up than that, the coordinator knows how many there will be.
  if (parts_.metadata.brokers().size() >= kReplicationWished) {
    config.set_replication(kReplicationWished);
  }
  config.set_retention_ms(-1);
  config.set_retention_bytes(-1);
  config.set_record_bytes_max(kRecordBytesMax);
  parts_.admin(std::move(request), kCreateTimeoutMs,
               [this, alive = alive_](const Result<cluster::v1::AdminResponse>& answer) {
                 if (!*alive) return;
                 creating_ = false;
                 if (answer.ok() || answer.code() == Code::kAlreadyExists) return;
                 log_warn("groups", "the coordinators' stream is not made",
                          {{"error", answer.status().to_string()}});
               });
}

Coordinator& Groups::coordinator(const ShardId& id) {
  auto& made = coordinators_[id];
  if (!made) made = std::make_unique<Coordinator>(parts_, options_, topics_, id);
  return *made;
}

Coordinator* Groups::ready(const std::string& group, GroupError& error) {
  auto id = shard_of(group);
  if (!id) {
    error = GroupError::kCoordinatorNotAvailable;
    return nullptr;
  }
  Coordinator& found = coordinator(*id);
  error = found.check();
  return error == GroupError::kNone ? &found : nullptr;
}

ListResult Groups::list() {
  ListResult result;
  follow();
  for (auto& [id, coordinator] : coordinators_) {
    GroupError error = coordinator->check();
    if (error == GroupError::kCoordinatorLoadInProgress) result.error = error;
    if (error != GroupError::kNone) continue;
    auto groups = coordinator->machine()->list();
    result.groups.insert(result.groups.end(), groups.begin(), groups.end());
  }
  return result;
}

void Groups::follow() {
  cluster::StreamPtr stream = parts_.metadata.find(kConsumerOffsetsStream);
  if (stream) {
    for (const auto& shard : stream->map.shards()) {
      ShardId id{stream->id, shard.index()};
      partition::Partition* partition = parts_.find_partition(id);
      if (partition && partition->is_leader()) coordinator(id);
    }
  }
  for (auto& [id, coordinator] : coordinators_) coordinator->check();
}

void Groups::follow_soon() {
  if (std::exchange(follow_scheduled_, true)) return;
  // After the partitions have taken in the same news.
  parts_.executor.post([this, alive = alive_] {
    if (!*alive) return;
    follow_scheduled_ = false;
    follow();
  });
}

void Groups::poll() {
  follow_soon();
  if (++polls_ % kPollsPerCount == 0) {
    count();
    count_lag();
  }
  parts_.executor.schedule_after(kPollMs, [this, alive = alive_] {
    if (*alive) poll();
  });
}

void Groups::on_metadata(const cluster::Metadata::Change& change) {
  follow_soon();
  if (change.changed.empty() && change.removed.empty()) return;
  std::vector<cluster::StreamPtr> deleted = change.removed;
  for (const auto& stream : change.changed) {
    if (stream->map.deleting()) deleted.push_back(stream);
  }
  for (auto& [id, coordinator] : coordinators_) {
    if (coordinator->check() != GroupError::kNone) continue;
    coordinator->run([&](Machine& machine, Now, Effects& fx) {
      machine.on_topics_changed();
      for (const auto& stream : deleted) machine.on_topic_deleted(stream->name(), stream->id, fx);
    });
  }
}

// --- Metrics -------------------------------------------------------------------------------------

void Groups::count() {
  std::map<std::string, double> by_state;
  std::map<const Machine*, Counted> counted;
  for (auto& [id, coordinator] : coordinators_) {
    const Machine* machine = coordinator->machine();
    if (!machine) continue;
    for (const GroupSummary& group : machine->list()) ++by_state[group.state];
    Counted before = counted_[machine];
    const Machine::Counts& total = machine->counts();
    // A machine at the address of an earlier one has counted less.
    if (total.rebalances < before.rebalances || total.commits < before.commits) before = {};
    rebalances_.Increment(static_cast<double>(total.rebalances - before.rebalances));
    commits_.Increment(static_cast<double>(total.commits - before.commits));
    counted[machine] = {total.rebalances, total.commits};
  }
  counted_ = std::move(counted);
  for (auto& [state, gauge] : states_) gauge->Set(by_state[state]);
}

// What groups have committed; and how far they are behind, for the shards that this broker leads,
// too. Whoever sees all brokers' pages reckons the rest from sluice_shard_end_offset.
void Groups::count_lag() {
  std::map<LagKey, double> lag, committed;
  for (auto& [id, coordinator] : coordinators_) {
    const Machine* machine = coordinator->machine();
    if (!machine) continue;
    for (const auto& [group, topics] : machine->offsets()) {
      for (const auto& [topic, partitions] : topics) {
        cluster::StreamPtr stream = parts_.metadata.find(topic);
        if (!stream) continue;
        for (const auto& [index, offset] : partitions) {
          committed[{group, topic, index}] = static_cast<double>(offset.offset);
          partition::Partition* partition = parts_.find_partition({stream->id, index});
          if (!partition || !partition->is_leader()) continue;
          lag[{group, topic, index}] = static_cast<double>(
              std::max<int64_t>(partition->high_watermark().value - offset.offset, 0));
        }
      }
    }
  }
  show(lag_, lag, "sluice_group_lag_records",
       "Records between a group's committed offset and the shard's end, for shards led by the "
       "group's coordinator");
  show(committed_, committed, "sluice_group_committed_offset",
       "The offset that a group has committed, on the group's coordinator");
}

void Groups::show(Gauges& gauges, const std::map<LagKey, double>& values, const char* name,
                  const char* help) {
  std::erase_if(gauges, [&](const auto& known) {
    if (values.contains(known.first)) return false;
    parts_.metrics.remove_gauge(name, *known.second);
    return true;
  });
  for (const auto& [key, value] : values) {
    auto& gauge = gauges[key];
    if (!gauge) {
      gauge = &parts_.metrics.gauge(name, help,
                                    {{"group", std::get<0>(key)},
                                     {"stream", std::get<1>(key)},
                                     {"shard", std::to_string(std::get<2>(key))}});
    }
    gauge->Set(value);
  }
}

}  // namespace broker::groups
