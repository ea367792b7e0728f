// What administrators ask of single shards: which brokers hold them, and who of those leads.
#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {

// Answered when the wish is written; the planner follows it (membership.cc).
void Core::admin_reassign(Stream& stream, const sluice::v1::ReassignShard& request,
                          PendingAdmin pending) {
  std::vector<int32_t> brokers(request.brokers().begin(), request.brokers().end());
  for (int32_t id : brokers) {
    const Peer* peer = find_peer(id);
    if (!peer || !(peer->registered || peer->expected) || peer->draining) {
      return answer(pending, Status(Code::kInvalidArgument, "broker " + std::to_string(id) +
                                                                " is not there, or drains"));
    }
  }
  pending.stream_id = stream.map.stream_id();
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

void Core::admin_elect_preferred(Stream& stream, const sluice::v1::ElectPreferred& request,
                                 PendingAdmin pending) {
  const Shard* shard = find_shard_by_index(stream.map, request.index());
  if (!shard) {
    return answer(pending,
                  Status(Code::kNotFound, "no shard " + std::to_string(request.index())));
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
    return answer(pending, Status(Code::kUnavailable, "broker " +
                                                          std::to_string(preferred.broker()) +
                                                          " cannot take the lead now"));
  }
  pending.kind = PendingAdmin::kElect;
  pending.stream = stream.map.stream();
  pending.stream_id = stream.map.stream_id();
  pending.parent = shard->index();
  await(std::move(pending));
}

}  // namespace broker::coordination
