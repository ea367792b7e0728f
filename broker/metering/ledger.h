#pragma once
// The cluster's ledger: the brokers' time, shared out to the streams whose copies they hold, and the
// totals of streams that are gone. Kept by the coordinator in its store; between two writes it is a
// function of time. Pure. Invariant: the shares, the idle part and what is gone add up to the brokers'
// time.
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "broker/metering/meter.h"

namespace broker::metering {

// What brokers' time is counted for from now on.
struct Levels {
  std::set<int32_t> brokers;
  struct Share {
    std::string stream;
    int64_t ppm = 0;
    bool operator==(const Share&) const = default;
  };
  std::map<std::string, Share> shares;  // by stream id
};
// A broker's time goes in equal parts to the copies on it, learners included.
Levels levels_of(const std::vector<const v1::ShardMap*>& maps, std::set<int32_t> brokers);

// Adds time up to `now_ms` at the levels so far; the first call begins.
void accrue(v1::MeterLedger& ledger, int64_t now_ms);
// Accrues, then goes on at other levels. False when they are the same: nothing is done then.
bool change_levels(v1::MeterLedger& ledger, const Levels& levels, int64_t now_ms);

// Takes over the whole usage of a stream whose map is to go. Again: nothing is done.
void fold(v1::MeterLedger& ledger, const v1::ShardMap& last, int64_t now_ms);
bool is_folded(const v1::MeterLedger& ledger, const std::string& stream_id);
// Its map is gone for certain. False when that was known.
bool forget_folded(v1::MeterLedger& ledger, const std::string& stream_id);

}  // namespace broker::metering
