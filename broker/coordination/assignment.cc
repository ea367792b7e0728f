// What administrators ask of single shards: which brokers hold them, and who of those leads.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {
namespace {
constexpr int64_t kAdoptAgainMs = 1000;  // after an answer of the store, whatever it was
}  // namespace

// Answered when the wish is written; the planner follows it (membership.cc).
void Core::admin_reassign(Stream& stream, const sluice::v1::ReassignShard& request,
                          PendingAdmin pending) {
  std::vector<int32_t> brokers(request.brokers().begin(), request.brokers().end());
  for (int32_t id : brokers) {
    const Peer* peer = find_peer(id);
    if (!peer || !(peer->registered || peer->expected) || peer->draining) {
      return answer(pending, Status(Code::kInvalidArgument,
                                    "broker " + std::to_string(id) + " is not there, or drains"));
    }
  }
  pending.stream_id = stream.map.stream_id();
  const auto& config = stream.map.config();
  const auto& defaulted = config.defaulted();
  const bool set = std::find(defaulted.begin(), defaulted.end(), "min_insync") == defaulted.end();
  if (!brokers.empty() && set && static_cast<int>(brokers.size()) < config.min_insync()) {
    return answer(pending, Status(Code::kInvalidArgument,
                                  "stream '" + stream.map.stream() + "' has min_insync " +
                                      std::to_string(config.min_insync()) + " and would have " +
                                      std::to_string(brokers.size()) +
                                      " copies of a shard; lower min_insync first"));
  }
  Edit edit;
  edit.what = "reassign";
  edit.apply = [index = request.index(), brokers](ShardMap& map) {
    return want_brokers(map, index, brokers);
  };
  edit.done = [this, pending, index = request.index(), wanted = brokers.size()](const Status& s) {
    log_info("coordinator", "reassignment asked for",
             {{"stream", pending.stream_id},
              {"shard", index},
              {"brokers", wanted},
              {"status", s.to_string()}});
    answer(pending, s);
  };
  queue(stream, std::move(edit));
}

// Level-triggered: looked at whenever a map has changed, and by the scan.
void Core::adopt_copies(Stream& stream) {
  if (!stream.stored() || stream.withdrawn || stream.map.deleting() || stream.adopting) return;
  const int copies = agreed_copies(stream.map);
  if (copies == 0 || now() < stream.adopt_again_ms) return;
  auto declared = declared_.find(stream.map.stream());
  StreamDeclaration declaration{stream.map.stream(), declared == declared_.end()
                                                         ? stream.map.config()
                                                         : declared->second.config};
  if (declared != declared_.end() && declaration.config.replication() == copies) return;
  declaration.config.set_replication(copies);
  ShardMap trial = stream.map;
  if (!update_config(trial, resolve(declaration.config, &stream.map)).ok()) return;
  stream.adopting = true;
  store_.update_stream(
      declaration, [this, declaration, id = stream.map.stream_id(), alive = alive_](Status status) {
        if (!*alive) return;
        log_info("coordinator", "the stream's replication follows its reassigned shards",
                 {{"stream", declaration.name},
                  {"replication", declaration.config.replication()},
                  {"status", status.to_string()}});
        Stream* stream = find_stream_by_id(id);
        if (!stream) return;
        stream->adopting = false;
        stream->adopt_again_ms = now() + kAdoptAgainMs;
        if (!status.ok()) return;
        declared_[declaration.name].name = declaration.name;
        declared_[declaration.name].config = declaration.config;
        streams_dirty_ = true;
        settle();
      });
}

void Core::admin_elect_preferred(Stream& stream, const sluice::v1::ElectPreferred& request,
                                 PendingAdmin pending) {
  const Shard* shard = find_shard_by_index(stream.map, request.index());
  if (!shard) {
    return answer(pending, Status(Code::kNotFound, "no shard " + std::to_string(request.index())));
  }
  const Replica& preferred = shard->replicas(0);
  Live& live = stream.live[shard->index()];
  live.elected_by_admin = preferred.broker();
  if (shard->has_leader() && shard->leader() == preferred.broker()) {
    return answer(pending, Status(Code::kAlreadyExists, "the preferred replica leads already"));
  }
  bool free = shard->has_leader() && !live.busy && !live.transfer && !is_joint(*shard);
  if (!free || !live_session(preferred) ||
      !start_transfer(stream, *shard, live, {preferred}, "preferred")) {
    return answer(pending,
                  Status(Code::kUnavailable, "broker " + std::to_string(preferred.broker()) +
                                                 " cannot take the lead now"));
  }
  pending.kind = PendingAdmin::kElect;
  pending.stream = stream.map.stream();
  pending.stream_id = stream.map.stream_id();
  pending.shards = {shard->index()};
  await(std::move(pending));
}

}  // namespace broker::coordination
