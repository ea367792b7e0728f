#pragma once
// PURE: decisions over time as a picture (SVG). Drawn by `sluice autoscale plot`, from a Stream's
// or a StreamCluster's status, from a Prometheus, or from a simulation.
#include <string>
#include <utility>
#include <vector>

namespace sluice_operator::autoscale {

struct TimelineMark {
  double time_s = 0;
  std::string label;  // shown when pointed at
  bool up = false;
};

struct Timeline {
  std::string title;
  std::string demand_name = "demand, in shards", count_name = "open shards";
  double begin_s = 0, end_s = 0;
  bool wall_clock = false;  // times are Unix seconds; else seconds from the beginning
  std::vector<std::pair<double, double>> demand;  // from each time on
  std::vector<std::pair<double, int>> count;      // from each time on
  std::vector<TimelineMark> marks;
};

std::string draw(const Timeline& timeline);

}  // namespace sluice_operator::autoscale
