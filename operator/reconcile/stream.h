#pragma once
// Reconciles Streams: hands them to their cluster's coordinator, keeps the finalizer, writes status.
// On the controller's threads.
#include "operator/kube/cache/cache.h"
#include "operator/reconcile/clusters.h"
#include "operator/runtime/reconciler.h"

namespace sluice_operator::reconcile {

// When a stream that has been looked at is looked at again, if nothing is told of it before.
runtime::Outcome next_look(bool ready, const StreamView& view);

class StreamReconciler : public runtime::Reconciler {
 public:
  StreamReconciler(kube::Client& client, broker::env::Clock& clock, kube::Cache& streams,
                   kube::Cache& clusters, Clusters& coordinators)
      : client_(client),
        clock_(clock),
        streams_(streams),
        clusters_(clusters),
        coordinators_(coordinators) {}
  runtime::Outcome reconcile(const runtime::Key& key) override;

 private:
  broker::Status set_finalizer(const api::Stream& stream, bool present);

  kube::Client& client_;
  broker::env::Clock& clock_;
  kube::Cache& streams_;
  kube::Cache& clusters_;
  Clusters& coordinators_;
};

}  // namespace sluice_operator::reconcile
