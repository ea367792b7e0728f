#include "broker/handlers/grpc/context.h"

#include "broker/model/internal_streams.h"

namespace broker::handlers::grpc {

StreamWatch::StreamWatch(cluster::Metadata& metadata) {
  metadata.add_listener([state = state_](const cluster::Metadata::Change& change) {
    auto notify = [&](const cluster::StreamPtr& stream) {
      // A watcher may add or remove watchers.
      std::vector<Id> ids;
      for (const auto& [id, watcher] : state->watchers) {
        if (watcher.first == stream->id) ids.push_back(id);
      }
      for (Id id : ids) {
        auto it = state->watchers.find(id);
        if (it == state->watchers.end()) continue;
        auto changed = it->second.second;
        changed();
      }
    };
    for (const auto& stream : change.changed) notify(stream);
    for (const auto& stream : change.removed) notify(stream);
  });
}

StreamWatch::Id StreamWatch::add(const Uuid& stream, std::function<void()> changed) {
  Id id = state_->next++;
  state_->watchers.emplace(id, std::pair(stream, std::move(changed)));
  return id;
}

void StreamWatch::remove(Id id) { state_->watchers.erase(id); }

FlowMetrics::FlowMetrics(Metrics& metrics)
    : publish_records(metrics.counter("sluice_grpc_publish_records_total",
                                      "Records stored for gRPC publishers")),
      publish_bytes(metrics.counter("sluice_grpc_publish_bytes_total",
                                    "Bytes of record batches stored for gRPC publishers")),
      publish_seconds(metrics.histogram(
          "sluice_grpc_publish_duration_seconds",
          "From a PublishRequest to its answer, where no record had to be tried again.", {},
          {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10})),
      subscribe_records(metrics.counter("sluice_grpc_subscribe_records_total",
                                        "Records sent to gRPC subscribers")),
      subscribe_bytes(metrics.counter("sluice_grpc_subscribe_bytes_total",
                                      "Bytes of records sent to gRPC subscribers")) {}

Status unknown_stream(std::string_view name) {
  return Status(Code::kNotFound, "there is no stream '" + std::string(name) + "'");
}

Status check_not_internal(std::string_view name) {
  if (!is_internal_stream(name)) return {};
  return Status(Code::kPolicyViolation,
                "'" + std::string(name) + "' is the brokers' own: it is read, and not changed");
}

bool is_retriable(Code code) {
  return code == Code::kNotLeader || code == Code::kUnavailable || code == Code::kFenced ||
         code == Code::kResourceExhausted;
}

}  // namespace broker::handlers::grpc
