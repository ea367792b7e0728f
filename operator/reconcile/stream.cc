#include "operator/reconcile/stream.h"

#include <nlohmann/json.hpp>

#include "operator/api/json.h"
#include "operator/apply/apply.h"
#include "operator/reconcile/status.h"

namespace sluice_operator::reconcile {

using broker::Status;
using kube::Json;
using runtime::Outcome;

namespace {
constexpr int64_t kBusyMs = 1000, kIdleMs = 60'000;
constexpr int64_t kWaitingFirstMs = 30'000, kWaitingMs = 600'000;
}

// The coordinator tells what changes; looks are for what it should not forget. Where a stream waits for
// brokers only the coordinator's word can change anything.
Outcome next_look(bool ready, const StreamView& view) {
  if (!ready && view.waits) return Outcome::follow(kWaitingFirstMs, kWaitingMs);
  if (!ready) return Outcome::follow(kBusyMs, kIdleMs);
  return view.next_bill_ms > 0 ? Outcome::requeue_after(view.next_bill_ms) : Outcome::done();
}

Status StreamReconciler::set_finalizer(const api::Stream& stream, bool present) {
  if (stream.metadata.has_finalizer(api::kFinalizer) == present) return {};
  Json finalizers = Json::array();
  for (const auto& name : stream.metadata.finalizers) {
    if (name != api::kFinalizer) finalizers.push_back(name);
  }
  if (present) finalizers.push_back(api::kFinalizer);
  Json patch{{"metadata",
              {{"finalizers", finalizers},
               {"resourceVersion", stream.metadata.resource_version}}}};
  auto written =
      client_.merge_patch(metadata::streams(), {stream.metadata.ns, stream.metadata.name}, patch);
  return written.status();
}

Outcome StreamReconciler::reconcile(const runtime::Key& key) {
  auto object = streams_.get(key.ns, key.name);
  if (!object) return Outcome::done();  // the cache's handler told the coordinator
  auto read = api::read_stream(*object);
  if (!read.ok()) return Outcome::terminal(read.status());
  auto stream = std::make_shared<const api::Stream>(std::move(*read));
  runtime::note_generation(stream->metadata.generation);
  kube::ObjectKey cluster{key.ns, stream->spec.cluster};
  bool has_cluster = clusters_.get(cluster.ns, cluster.name) != nullptr;
  if (stream->metadata.deleting && !has_cluster) {
    Status released = set_finalizer(*stream, false);  // nobody keeps records of it
    return released.ok() ? Outcome::done() : Outcome::retry(released);
  }
  if (!stream->metadata.deleting) {
    Status held = set_finalizer(*stream, true);
    if (!held.ok()) return Outcome::retry(held);
  }
  StreamView view;
  if (has_cluster) {
    coordinators_.stream_seen(cluster, key.name, stream);
    view = coordinators_.stream(cluster, stream->spec.name, stream->status.metering);
  } else {
    view.no_cluster = true;
    view.problem = "there is no StreamCluster '" + cluster.name + "' in this namespace";
  }
  if (stream->metadata.deleting) return Outcome::requeue_after(kBusyMs);
  auto status = stream_status(*stream, view, api::rfc3339(clock_.wall_ms()));
  bool ready = api::find_condition(status.conditions, "Ready")->status == "True";
  if (!(status == stream->status)) {
    Json patch{{"status", apply::merge_difference(object->value("status", Json::object()),
                                                  api::status_to_json(status))}};
    auto written = client_.merge_patch(metadata::streams(), key, patch, "status");
    if (!written.ok()) return Outcome::retry(written.status());
  }
  return next_look(ready, view);
}

}  // namespace sluice_operator::reconcile
