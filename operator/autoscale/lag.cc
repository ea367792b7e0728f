#include "operator/autoscale/lag.h"

#include <algorithm>
#include <cmath>

#include "operator/autoscale/round.h"

namespace sluice_operator::autoscale {

namespace {

constexpr int64_t kWindowMs = 60'000, kStretchMs = 5'000;
// Brokers tell of commits every five seconds, clients commit every five: less than this many
// seconds' worth of records is no lag.
constexpr double kBehindS = 15;
// Of what came in: less growth than this is a reader that keeps pace.
constexpr double kKeepsPace = 0.02;
// A group that has committed nothing for so long reads nothing: nobody is hurt.
constexpr int64_t kReadsMs = 10 * 60'000;

}  // namespace

void LagTracker::add(int64_t now_ms, const Offsets& offsets) {
  now_ms_ = now_ms;
  no_ends_.clear();
  for (auto& [key, track] : tracks_) track.known = track.committed_now = false;
  for (const auto& [stream, groups] : offsets.committed) {
    auto ends = offsets.ends.find(stream);
    if (ends == offsets.ends.end()) no_ends_.insert(stream);
    for (const auto& [group, shards] : groups) {
      for (const auto& [shard, committed] : shards) {
        Track& track = tracks_[{stream, group, shard}];
        track.committed_now = true;
        if (committed != track.committed) track.moved_ms = now_ms;
        track.committed = committed;
        if (ends == offsets.ends.end()) continue;
        auto end = ends->second.find(shard);
        if (end == ends->second.end()) continue;
        double lag = std::max(0.0, end->second - committed);
        track.known = true;
        track.seen_ms = now_ms;
        if (track.past.empty() || now_ms - track.past.back().begin_ms >= kStretchMs) {
          track.past.push_back({now_ms, lag, lag, end->second, now_ms});
        }
        auto& last = track.past.back();
        last.least = std::min(last.least, lag);
        last.last = lag;
        while (now_ms - track.past.front().begin_ms > kWindowMs) track.past.pop_front();
      }
    }
  }
  std::erase_if(tracks_, [&](const auto& entry) {
    const Track& track = entry.second;
    return !track.committed_now && now_ms - track.seen_ms > kWindowMs;
  });
}

double LagTracker::end_rate(const Track& track) {
  const auto &first = track.past.front(), &last = track.past.back();
  auto seconds = static_cast<double>(last.end_ms - first.end_ms) / 1000;
  return seconds > 0 ? std::max(0.0, last.end - first.end) / seconds : 0;
}

bool LagTracker::grows(const Track& track) const {
  if (!track.known || now_ms_ - track.moved_ms > kReadsMs) return false;
  if (now_ms_ - track.past.front().begin_ms < kWindowMs - kStretchMs) return false;
  double before = INFINITY, after = INFINITY;
  for (const auto& stretch : track.past) {
    auto& least = now_ms_ - stretch.begin_ms > kWindowMs / 2 ? before : after;
    least = std::min(least, stretch.least);
  }
  double rate = end_rate(track);
  return after > kBehindS * rate &&
         after - before > kKeepsPace * rate * static_cast<double>(kWindowMs / 2) / 1000;
}

StreamLags LagTracker::lags() const {
  StreamLags lags;
  struct Group {
    bool grows = false;
    double records = 0, growth = 0;
  };
  std::map<std::string, std::map<std::string, Group>> groups;
  for (const auto& [key, track] : tracks_) {
    const auto& [stream, group, shard] = key;
    auto& lag = lags[stream];
    if (!track.known) {
      // One whose end was told a moment ago has a leader that cannot be asked; one whose end is not
      // told for long is a shard that is gone.
      bool lost = track.seen_ms > 0 && now_ms_ - track.seen_ms <= kWindowMs && track.committed_now;
      if (lost || no_ends_.contains(stream)) lag.unknown.insert(shard);
      continue;
    }
    Group& of = groups[stream][group];
    if (grows(track)) {
      lag.growing.insert(shard);
      of.grows = true;
    }
    const auto &first = track.past.front(), &last = track.past.back();
    of.records += last.last;
    auto seconds = static_cast<double>(now_ms_ - first.begin_ms) / 1000;
    if (seconds > 0) of.growth += (last.least - first.least) / seconds;
  }
  for (const auto& [stream, some] : groups) {
    auto& lag = lags[stream];
    bool grows = false;
    for (const auto& [group, of] : some) {
      bool first = lag.group.empty();
      bool more = of.grows != grows ? of.grows : of.records > lag.records;
      if (!first && !more) continue;
      grows = of.grows;
      lag.group = group;
      lag.records = of.records;
      lag.growth_per_s = of.growth;
    }
  }
  return lags;
}

void add_lag(std::map<std::string, std::string>& inputs, const StreamLag& lag) {
  if (lag.group.empty()) return;
  inputs["lagGroup"] = lag.group.substr(0, 249);
  inputs["lagRecords"] = text_of(lag.records);
  inputs["lagRecordsPerSecond"] = text_of(lag.growth_per_s);
}

}  // namespace sluice_operator::autoscale
