#include "operator/autoscale/policy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace sluice_operator::autoscale {

using broker::Code;
using broker::Status;

namespace {

constexpr int64_t kMinuteMs = 60'000, kDayMinutes = 24 * 60;

bool holds(const Schedule& schedule, int day, int64_t minute) {
  auto on = [&](int d) { return (schedule.days >> ((d + 7) % 7) & 1) != 0; };
  if (schedule.from_minute < schedule.to_minute) {
    return on(day) && minute >= schedule.from_minute && minute < schedule.to_minute;
  }
  return (on(day) && minute >= schedule.from_minute) ||
         (on(day - 1) && minute < schedule.to_minute);
}

}  // namespace

broker::Result<int32_t> parse_minute(const std::string& text) {
  int hour = 0, minute = 0, used = 0;
  bool shaped = std::sscanf(text.c_str(), "%2d:%2d%n", &hour, &minute, &used) == 2 &&
                static_cast<size_t>(used) == text.size();
  if (!shaped || hour < 0 || minute < 0 || minute > 59 || hour * 60 + minute > kDayMinutes) {
    return Status(Code::kInvalidArgument, "'" + text + "' is no time of day such as 08:30");
  }
  return hour * 60 + minute;
}

broker::Result<uint8_t> parse_day(const std::string& text) {
  static constexpr std::array<const char*, 7> kDays = {"Mon", "Tue", "Wed", "Thu",
                                                       "Fri", "Sat", "Sun"};
  for (size_t i = 0; i < kDays.size(); i++) {
    if (text == kDays[i]) return static_cast<uint8_t>(1 << i);
  }
  return Status(Code::kInvalidArgument, "'" + text + "' is no day: Mon, Tue, … Sun");
}

int32_t floor_at(const Policy& policy, int64_t wall_ms) {
  int64_t minutes = wall_ms / kMinuteMs;
  int day = static_cast<int>((minutes / kDayMinutes + 3) % 7);  // 1970-01-01 was a Thursday
  int32_t floor = policy.shards_min;
  for (const auto& schedule : policy.schedules) {
    if (holds(schedule, day, minutes % kDayMinutes)) floor = std::max(floor, schedule.shards_min);
  }
  double warm = std::max(policy.warm_bytes_per_s / policy.shard_bytes_per_s,
                         policy.warm_records_per_s / policy.shard_records_per_s);
  floor = std::max(floor, static_cast<int32_t>(std::ceil(std::min(warm, 1e6))));
  return std::min(floor, policy.shards_max);
}

}  // namespace sluice_operator::autoscale
