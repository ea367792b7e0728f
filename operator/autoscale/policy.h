#pragma once
// PURE: what a user allows the autoscaler to do with one stream: bounds, target, windows, schedules,
// freeze and dry run. The defaults are those of crds/streams.yaml. Read by decide() and by the
// trace simulator.
#include <cstdint>
#include <string>
#include <vector>

#include "broker/base/status.h"

namespace sluice_operator::autoscale {

// On these days (bit 0: Monday), from `from_minute` of the day until `to_minute`, UTC, the stream
// has at least `shards_min` shards. A window whose end is not after its start ends the next day.
struct Schedule {
  uint8_t days = 0x7f;
  int32_t from_minute = 0;
  int32_t to_minute = 24 * 60;
  int32_t shards_min = 1;
};

enum class Mode { kAuto, kDryRun, kFrozen };

struct Policy {
  int32_t shards_min = 1;
  int32_t shards_max = 8;
  double target = 0.9;  // share of its limit at which a shard is planned
  int64_t scale_up_after_ms = 0;
  int64_t scale_down_after_ms = 60'000;
  double shard_bytes_per_s = 1 << 20;
  double shard_records_per_s = 1000;
  // The share of records that may find their shard full, by the forecasts' recent errors.
  double throttle_budget = 0.0005;
  // Splits and merges that save shards without being needed, per open shard and hour.
  double actions_per_shard_hour = 2;
  // Capacity that is kept ready though nobody uses it yet.
  double warm_bytes_per_s = 0;
  double warm_records_per_s = 0;
  std::vector<Schedule> schedules;
  // Partitions of a topic: they are only added, since records cannot be brought together again, and
  // no sooner than this after the last time, since keys move. shards_max bounds them.
  bool partitioned = false;
  int64_t cooldown_ms = 3600'000;
  Mode mode = Mode::kAuto;
  // From a change of the load until new shards take it: the age of the figures, and the split.
  int64_t lead_ms = 2200;
};

// "08:30" as minutes of the day, "24:00" included; kInvalidArgument otherwise.
broker::Result<int32_t> parse_minute(const std::string& text);
// "Mon".."Sun" as its bit; kInvalidArgument otherwise.
broker::Result<uint8_t> parse_day(const std::string& text);
// The least number of shards at this moment, by bounds, schedules and warm throughput.
int32_t floor_at(const Policy& policy, int64_t wall_ms);

}  // namespace sluice_operator::autoscale
