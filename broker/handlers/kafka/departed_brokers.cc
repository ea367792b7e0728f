#include "broker/handlers/kafka/departed_brokers.h"

namespace broker::handlers::kafka {

DepartedBrokers::DepartedBrokers(cluster::Metadata& metadata, env::Clock& clock)
    : metadata_(metadata), clock_(clock) {
  look();
  metadata.add_listener([this, alive = alive_](const cluster::Metadata::Change& change) {
    if (*alive && change.brokers) look();
  });
}

void DepartedBrokers::look() {
  std::erase_if(seen_, [this](const auto& entry) { return !metadata_.find_broker(entry.first); });
  for (const auto& [id, broker] : metadata_.brokers()) {
    auto seen = seen_.find(id);
    if (broker.alive()) {
      seen_[id].alive = true;
    } else if (seen != seen_.end() && seen->second.alive) {
      seen->second = {false, clock_.mono_ms()};
    }
  }
}

std::vector<const cluster::v1::Broker*> DepartedBrokers::listed() const {
  std::vector<const cluster::v1::Broker*> brokers;
  for (const auto& [id, seen] : seen_) {
    const cluster::v1::Broker* broker = metadata_.find_broker(id);
    if (!seen.alive && broker && broker->kafka().port() != 0 &&
        clock_.mono_ms() - seen.left_ms < kListedMs) {
      brokers.push_back(broker);
    }
  }
  return brokers;
}

}  // namespace broker::handlers::kafka
