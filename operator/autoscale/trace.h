#pragma once
// PURE: a load over time, as CSV, and made ones to try policies on. Read by the trace simulator.
#include <cstdint>
#include <string>
#include <vector>

#include "broker/base/status.h"

namespace sluice_operator::autoscale {

// Holds from its time until the next sample's; the last one as long as the one before it.
struct TraceSample {
  double time_s = 0;
  double bytes_per_s = 0;
  double records_per_s = 0;
  double hot_key_share = 0;  // of the load, one key's
};
using Trace = std::vector<TraceSample>;

// CSV with the header time_s,bytes_per_s,records_per_s[,hot_key_share], in any order of columns.
// kInvalidArgument names the line. At least two samples; times grow.
broker::Result<Trace> parse_trace(const std::string& csv);
std::string format_trace(const Trace& trace);
double end_of(const Trace& trace);

struct GenerateOptions {
  double seconds = 24 * 3600;
  double step_s = 10;
  double base = 4 * 1048576.0;  // bytes a second
  double peak = 16 * 1048576.0;
  double record_bytes = 1100;
  double noise = 0.05;  // standard deviation, of the load
  uint64_t seed = 1;
};
// The kinds: daily, steps, bursts, ramps, flash, noise, hotkey, mixed.
const std::vector<std::string>& trace_kinds();
// kInvalidArgument for another kind. The same options give the same trace.
broker::Result<Trace> generate_trace(const std::string& kind, const GenerateOptions& options);

}  // namespace sluice_operator::autoscale
