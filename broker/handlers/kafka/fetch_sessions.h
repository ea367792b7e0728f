#pragma once
// Incremental fetch sessions (KIP-227): what each consumer fetches, so that its requests name only
// what changed and answers carry only what is new. Bounded; a consumer that gets no session sends
// full requests. Owned by Context; used by the Fetch handler on the reactor.
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/handlers/kafka/context.h"
#include "broker/protocol/kafka/messages/fetch.h"

namespace broker::handlers::kafka {

// A partition that is fetched, and what its fetcher was last told.
struct FetchTarget {
  std::string topic;  // by name before version 13
  Uuid topic_id;      // from version 13 on
  wire::FetchRequest::Topic::Partition asked;
  int64_t told_high_watermark = -1;
  int64_t told_log_start = -1;
};
using FetchTargets = std::vector<std::shared_ptr<FetchTarget>>;

struct FetchSession {
  int32_t id = 0;
  int32_t epoch = 1;  // expected next
  bool by_topic_id = false;
  int64_t used_ms = 0;
  std::list<std::shared_ptr<FetchTarget>> targets;
  using Key = std::tuple<std::string, Uuid, int32_t>;
  std::map<Key, std::list<std::shared_ptr<FetchTarget>>::iterator> by_key;
};

class FetchSessions {
 public:
  explicit FetchSessions(const Services& services) : services_(services) {}

  struct Plan {
    Error error = Error::kNone;             // of the whole request
    std::shared_ptr<FetchSession> session;  // null: none
    bool incremental = false;               // the answer leaves out what has not changed
    FetchTargets targets;
  };
  // Applies a request to its session, or opens or closes one as its epoch says.
  Plan plan(const wire::FetchRequest& request, int16_t version);
  // Moves a target whose data was sent behind the others, for fairness between partitions.
  static void served(FetchSession& session, const FetchTarget& target);
  void close(const FetchSession& session) { sessions_.erase(session.id); }
  size_t size() const { return sessions_.size(); }

 private:
  std::shared_ptr<FetchSession> open(const FetchTargets& targets, bool by_topic_id);
  Plan resume(const wire::FetchRequest& request, bool by_topic_id);
  bool make_room();

  const Services& services_;
  std::unordered_map<int32_t, std::shared_ptr<FetchSession>> sessions_;
};

}  // namespace broker::handlers::kafka
