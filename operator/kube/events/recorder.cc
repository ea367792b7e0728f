#include "operator/kube/events/recorder.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"

namespace sluice_operator::kube {

using broker::Code;
using broker::Status;

EventRecorder::EventRecorder(Client& client, broker::env::Clock& clock, broker::Metrics& metrics,
                             std::string component, std::string instance)
    : client_(client), clock_(clock), correlator_(std::move(component), std::move(instance)),
      dropped_(metrics.counter("sluice_operator_events_dropped_total",
                               "Events that were not recorded.")),
      thread_("events", [this] { run(); }) {}

EventRecorder::~EventRecorder() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void EventRecorder::record(const Json& object, EventType type, std::string reason,
                           std::string message) {
  record(Happening{key_of(object), metadata_text(object, "uid"), object.value("apiVersion", ""),
                   object.value("kind", ""), type, std::move(reason), std::move(message)});
}

void EventRecorder::record(Happening what) {
  std::lock_guard lock(mutex_);
  if (queue_.size() >= kQueuedMax) {
    dropped_.Increment();
    return;
  }
  queue_.push_back(std::move(what));
  changed_.notify_all();
}

void EventRecorder::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Happening what = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const bool written = write(what);
    lock.lock();
    if (stopping_ && !written) return;
  }
}

bool EventRecorder::write(const Happening& what) {
  // The second attempt makes an Event anew that the server had forgotten.
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto event = correlator_.record(what, clock_.mono_ms(), clock_.wall_ms());
    if (!event) {
      dropped_.Increment();
      return true;
    }
    Status status = event->create
                        ? client_.create(core_events(), *event->body).status()
                        : client_.merge_patch(core_events(), event->key, *event->body).status();
    if (status.ok()) return true;
    correlator_.forget(event->key);
    if (event->create || status.code() != Code::kNotFound) {
      dropped_.Increment();
      broker::log_warn("kube", "cannot record an Event",
                       {{"reason", what.reason}, {"error", status.to_string()}});
      return false;
    }
  }
  return false;
}

}  // namespace sluice_operator::kube
