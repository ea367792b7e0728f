#include "operator/kube/events/correlator.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

namespace sluice_operator::kube {

namespace {

std::string rfc3339(int64_t wall_ms) {
  std::time_t seconds = wall_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016lx", static_cast<unsigned long>(value));
  return text;
}

// At most `size` bytes, not ending inside a UTF-8 character.
std::string cut(const std::string& text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace

bool EventCorrelator::take_token(const std::string& uid, int64_t mono_ms) {
  auto [it, fresh] = buckets_.try_emplace(uid);
  Bucket& bucket = it->second;
  if (fresh) bucket.filled_ms = mono_ms;
  int64_t earned = (mono_ms - bucket.filled_ms) / kRefillMs;
  bucket.tokens = std::min(kBurst, bucket.tokens + earned);
  bucket.filled_ms += earned * kRefillMs;
  if (bucket.tokens == 0) return false;
  --bucket.tokens;
  return true;
}

// The message to show; `identity` becomes what makes two happenings the same Event.
std::string EventCorrelator::combined(const Happening& what, int64_t mono_ms,
                                      std::string& identity) {
  std::string group = what.uid + "\n" + what.kind + "/" + what.object.to_string() + "\n" +
                      (what.type == EventType::kWarning ? "W" : "N") + what.reason;
  Similar& similar = similar_[group];
  if (mono_ms - similar.since_ms > kSimilarWindowMs) similar = {{}, mono_ms};
  if (similar.messages.size() < kSimilarMax || similar.messages.contains(what.message)) {
    similar.messages.insert(what.message);
    identity = group + "\n" + what.message;
    return what.message;
  }
  identity = group;
  return "(combined from similar events): " + what.message;
}

Json EventCorrelator::new_event(const Happening& what, const std::string& message,
                                const Seen& seen) const {
  return {{"apiVersion", "v1"},
          {"kind", "Event"},
          {"metadata", {{"namespace", seen.event.ns}, {"name", seen.event.name}}},
          {"involvedObject",
           {{"apiVersion", what.api_version},
            {"kind", what.kind},
            {"namespace", what.object.ns},
            {"name", what.object.name},
            {"uid", what.uid}}},
          {"type", what.type == EventType::kWarning ? "Warning" : "Normal"},
          {"reason", what.reason},
          {"message", message},
          {"count", 1},
          {"firstTimestamp", seen.first_time},
          {"lastTimestamp", seen.first_time},
          {"source", {{"component", component_}}},
          {"reportingComponent", component_},
          {"reportingInstance", instance_}};
}

std::optional<EventWrite> EventCorrelator::record(const Happening& what, int64_t mono_ms,
                                                  int64_t wall_ms) {
  make_room();
  if (!take_token(what.uid, mono_ms)) return std::nullopt;
  std::string identity;
  std::string message = cut(combined(what, mono_ms, identity), kMessageBytesMax);
  Seen& seen = seen_[identity];
  seen.last_ms = mono_ms;
  ++seen.count;
  if (seen.count > 1) {
    Json patch = {{"count", seen.count}, {"lastTimestamp", rfc3339(wall_ms)}, {"message", message}};
    return EventWrite{false, seen.event, std::make_shared<const Json>(std::move(patch))};
  }
  // Cluster-wide objects have their Events in "default", as everywhere.
  seen.event.ns = what.object.ns.empty() ? "default" : what.object.ns;
  uint64_t unique = std::hash<std::string>()(identity) ^ (static_cast<uint64_t>(wall_ms) << 20);
  seen.event.name = cut(what.object.name, 230) + "." + hex(unique);
  seen.first_time = rfc3339(wall_ms);
  return EventWrite{true, seen.event,
                    std::make_shared<const Json>(new_event(what, message, seen))};
}

void EventCorrelator::forget(const ObjectKey& key) {
  std::erase_if(seen_, [&](const auto& entry) { return entry.second.event == key; });
}

// Forgets the older half when there is too much to remember.
void EventCorrelator::make_room() {
  if (similar_.size() > kRememberedMax) similar_.clear();
  if (buckets_.size() > kRememberedMax) buckets_.clear();
  if (seen_.size() < kRememberedMax) return;
  std::vector<int64_t> times;
  for (const auto& [identity, seen] : seen_) times.push_back(seen.last_ms);
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  const int64_t middle_ms = times[times.size() / 2];
  std::erase_if(seen_, [&](const auto& entry) { return entry.second.last_ms <= middle_ms; });
}

}  // namespace sluice_operator::kube
