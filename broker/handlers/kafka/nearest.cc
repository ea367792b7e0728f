#include "broker/handlers/kafka/nearest.h"

#include "broker/partition/partition.h"

namespace broker::handlers::kafka {

std::optional<BrokerId> nearest_replica(const Services& services,
                                        const partition::Partition& leader,
                                        const std::string& rack) {
  const v1::Broker* self = services.metadata.find_broker(services.self);
  if (rack.empty() || !self || self->zone() == rack) return std::nullopt;
  auto report = leader.leader_report();
  if (!report) return std::nullopt;
  std::vector<BrokerId> near;
  for (int32_t id : report->in_sync()) {
    const v1::Broker* broker = services.metadata.find_broker(BrokerId{id});
    if (broker && broker->alive() && broker->zone() == rack) near.push_back(BrokerId{id});
  }
  if (near.empty()) return std::nullopt;
  return near[static_cast<size_t>(leader.id().index) % near.size()];
}

Led find_followed(const Services& services, const cluster::Stream& stream, int32_t index,
                  int32_t leader_epoch) {
  Led led;
  led.id = {stream.id, index};
  led.partition = services.find_partition(led.id);
  led.leader = leader_of(services, led.id);
  if (!led.partition || led.partition->replica().role() != replication::Role::kFollower ||
      !led.partition->leader()) {
    led.error = Error::kNotLeaderOrFollower;
    return led;
  }
  Term term = led.partition->term();
  if (leader_epoch >= 0 && Term{leader_epoch} != term) {
    led.error = Term{leader_epoch} < term ? Error::kFencedLeaderEpoch : Error::kUnknownLeaderEpoch;
  }
  return led;
}

}  // namespace broker::handlers::kafka
