#pragma once
// A stream's meter inside its ShardMap: changed by the very compare-and-swap that changes what it
// depends on, so nothing is lost or counted twice by a crash between two writes. Between writes time
// is a function of the map: open shards and retention stay as they are. Pure; called by
// coordination/ for every write, by brokers and the operator to read. Invariant: no count goes back.
#include <cstdint>

#include "broker/base/status.h"
#include "broker/proto/metadata.pb.h"
#include "broker/proto/metering.pb.h"

namespace broker::metering {

namespace v1 = ::sluice::v1;

inline constexpr int64_t kHourMs = 3'600'000;
inline constexpr int64_t kExtendedAfterMs = 24 * kHourMs;
inline constexpr int64_t kLongTermAfterMs = 7 * 24 * kHourMs;

// Adds time up to `now_ms` by what the map says; the first call begins. Before the map is changed.
void accrue(v1::ShardMap& map, int64_t now_ms);
// Adds what a leader counted. False, and nothing done, unless the report starts where the shard's
// meter stands and says something new: then it was added already, or is of another leader's count.
bool add_usage(v1::ShardMap& map, const v1::ShardUsage& report, int64_t now_ms);
// Adds what a broker sent beyond what is known of it. False when that is nothing.
bool add_traffic(v1::ShardMap& map, const v1::ZoneTraffic& traffic, int64_t now_ms);
// Usage as of `now_ms`, without the brokers' time.
v1::Usage usage_at(const v1::ShardMap& map, int64_t now_ms);

// kInternal when something has gone back.
Status check_meter(const v1::ShardMap& map, const v1::ShardMap& before);

void add(v1::Usage& into, const v1::Usage& usage);
inline int64_t cross_zone_bytes(const v1::Usage& usage) {
  return usage.replicated_bytes() + usage.forwarded_bytes() + usage.fetched_bytes();
}

}  // namespace broker::metering
