#pragma once
// Turns what happened into few Event objects: the same thing again raises a count, many similar
// ones become one, and an object that floods is silenced for a while. Pure; the recorder owns it.
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "operator/kube/client/json.h"
#include "operator/kube/client/resource.h"

namespace sluice_operator::kube {

enum class EventType { kNormal, kWarning };

// Something worth telling the users of an object. The reason is a stable word in CamelCase, listed
// in the operator's README; the message is a sentence for people.
struct Happening {
  ObjectKey object;
  std::string uid;
  std::string api_version;
  std::string kind;
  EventType type = EventType::kNormal;
  std::string reason;
  std::string message;
};

// One request to the API: a new Event, or a merge patch of the one at `key`.
struct EventWrite {
  bool create = false;
  ObjectKey key;
  std::shared_ptr<const Json> body;
};

class EventCorrelator {
 public:
  static constexpr size_t kSimilarMax = 10;          // different messages of one reason...
  static constexpr int64_t kSimilarWindowMs = 600'000;  // ...within this, then they are combined
  static constexpr int64_t kBurst = 25;              // Events of one object at once...
  static constexpr int64_t kRefillMs = 60'000;       // ...and one more each minute
  static constexpr size_t kRememberedMax = 1024;
  static constexpr size_t kMessageBytesMax = 1024;   // the API's limit

  EventCorrelator(std::string component, std::string instance)
      : component_(std::move(component)), instance_(std::move(instance)) {}
  // Nothing when the object has used up its Events.
  std::optional<EventWrite> record(const Happening& what, int64_t mono_ms, int64_t wall_ms);
  // The Event at `key` is gone from the server (they live for an hour): the next one is new.
  void forget(const ObjectKey& key);

 private:
  struct Seen {
    ObjectKey event;
    int64_t count = 0;
    int64_t last_ms = 0;
    std::string first_time;
  };
  struct Similar {
    std::set<std::string> messages;
    int64_t since_ms = 0;
  };
  struct Bucket {
    int64_t tokens = kBurst;
    int64_t filled_ms = 0;
  };
  bool take_token(const std::string& uid, int64_t mono_ms);
  std::string combined(const Happening& what, int64_t mono_ms, std::string& identity);
  Json new_event(const Happening& what, const std::string& message, const Seen& seen) const;
  void make_room();

  const std::string component_;
  const std::string instance_;
  std::map<std::string, Seen> seen_;
  std::map<std::string, Similar> similar_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace sluice_operator::kube
