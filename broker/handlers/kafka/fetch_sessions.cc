#include "broker/handlers/kafka/fetch_sessions.h"

#include <algorithm>

namespace broker::handlers::kafka {
namespace {

constexpr int32_t kInitialEpoch = 0, kFinalEpoch = -1;
constexpr int64_t kEvictAfterMs = 120'000;
constexpr int16_t kTopicIdVersionMin = 13;

FetchSession::Key key_of(const FetchTarget& target) {
  return {target.topic, target.topic_id, target.asked.partition};
}

FetchTargets targets_of(const wire::FetchRequest& request) {
  FetchTargets targets;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      targets.push_back(
          std::make_shared<FetchTarget>(FetchTarget{topic.topic, topic.topic_id, partition}));
    }
  }
  return targets;
}

void put(FetchSession& session, std::shared_ptr<FetchTarget> target) {
  auto key = key_of(*target);
  if (auto known = session.by_key.find(key); known != session.by_key.end()) {
    // A new copy: an answer in flight may still look at the old one.
    target->told_high_watermark = (*known->second)->told_high_watermark;
    target->told_log_start = (*known->second)->told_log_start;
    *known->second = std::move(target);
    return;
  }
  session.targets.push_back(std::move(target));
  session.by_key.emplace(std::move(key), std::prev(session.targets.end()));
}

void drop(FetchSession& session, const FetchSession::Key& key) {
  auto known = session.by_key.find(key);
  if (known == session.by_key.end()) return;
  session.targets.erase(known->second);
  session.by_key.erase(known);
}

}  // namespace

FetchSessions::Plan FetchSessions::plan(const wire::FetchRequest& request, int16_t version) {
  bool by_topic_id = version >= kTopicIdVersionMin;
  if (request.session_epoch > kInitialEpoch) return resume(request, by_topic_id);
  if (request.session_id != 0) sessions_.erase(request.session_id);
  Plan plan;
  if (request.session_epoch < kFinalEpoch) {
    plan.error = Error::kInvalidFetchSessionEpoch;
    return plan;
  }
  plan.targets = targets_of(request);
  if (request.session_epoch == kInitialEpoch && version >= 7) {
    plan.session = open(plan.targets, by_topic_id);
  }
  return plan;
}

std::shared_ptr<FetchSession> FetchSessions::open(const FetchTargets& targets, bool by_topic_id) {
  if (targets.empty() || !make_room()) return nullptr;
  auto session = std::make_shared<FetchSession>();
  do {
    session->id = static_cast<int32_t>(services_.random.next() & INT32_MAX);
  } while (session->id == 0 || sessions_.count(session->id) > 0);
  session->by_topic_id = by_topic_id;
  session->used_ms = services_.clock.mono_ms();
  for (const auto& target : targets) put(*session, target);
  sessions_.emplace(session->id, session);
  return session;
}

bool FetchSessions::make_room() {
  if (sessions_.size() < services_.options.fetch_sessions_max) return true;
  auto oldest = std::min_element(
      sessions_.begin(), sessions_.end(),
      [](const auto& a, const auto& b) { return a.second->used_ms < b.second->used_ms; });
  if (services_.clock.mono_ms() - oldest->second->used_ms < kEvictAfterMs) return false;
  sessions_.erase(oldest);
  return true;
}

FetchSessions::Plan FetchSessions::resume(const wire::FetchRequest& request, bool by_topic_id) {
  Plan plan;
  auto found = sessions_.find(request.session_id);
  if (found == sessions_.end()) {
    plan.error = Error::kFetchSessionIdNotFound;
    return plan;
  }
  std::shared_ptr<FetchSession> session = found->second;
  if (session->by_topic_id != by_topic_id) {
    plan.error = Error::kFetchSessionTopicIdError;
    return plan;
  }
  if (session->epoch != request.session_epoch) {
    plan.error = Error::kInvalidFetchSessionEpoch;
    return plan;
  }
  session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
  session->used_ms = services_.clock.mono_ms();
  for (auto& target : targets_of(request)) put(*session, std::move(target));
  for (const auto& topic : request.forgotten_topics) {
    for (int32_t partition : topic.partitions) {
      drop(*session, {topic.topic, topic.topic_id, partition});
    }
  }
  plan.incremental = true;
  plan.targets.assign(session->targets.begin(), session->targets.end());
  plan.session = std::move(session);
  return plan;
}

void FetchSessions::served(FetchSession& session, const FetchTarget& target) {
  auto known = session.by_key.find(key_of(target));
  if (known == session.by_key.end()) return;
  session.targets.splice(session.targets.end(), session.targets, known->second);
}

}  // namespace broker::handlers::kafka
