#pragma once
// Records Events about objects, as seen by `kubectl describe`. record() never blocks: a thread of
// its own writes, and what does not fit into its queue is dropped and counted. Thread-safe.
#include <condition_variable>
#include <deque>
#include <mutex>

#include "operator/kube/client/client.h"
#include "operator/kube/events/correlator.h"

namespace sluice_operator::kube {

class EventRecorder {
 public:
  static constexpr size_t kQueuedMax = 256;
  EventRecorder(Client& client, broker::env::Clock& clock, broker::Metrics& metrics,
                std::string component, std::string instance);
  // Writes what is queued until the server refuses one, and joins the thread.
  ~EventRecorder();

  // `object` is the whole object, for its kind, name and uid.
  void record(const Json& object, EventType type, std::string reason, std::string message);
  void record(Happening what);

 private:
  void run();
  // False when the server did not take it.
  bool write(const Happening& what);
  Client& client_;
  broker::env::Clock& clock_;
  EventCorrelator correlator_;  // of the recorder's thread
  prometheus::Counter& dropped_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Happening> queue_;
  bool stopping_ = false;
  Thread thread_;
};

}  // namespace sluice_operator::kube
