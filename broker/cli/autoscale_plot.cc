#include "broker/cli/autoscale_plot.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

namespace broker::cli {

using sluice_operator::autoscale::Timeline;

namespace {

constexpr const char* kOpen = "sluice_autoscale_open_shards";
constexpr const char* kNeeded = "sluice_autoscale_needed_shards";

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

// The operator's name for a namespace is `namespace`, which a scrape configuration that sets a label
// of that name turns into exported_namespace.
std::string plot_query(const std::string& stream, const std::string& ns) {
  const std::string names = std::string("__name__=~\"") + kOpen + "|" + kNeeded + "\",stream=" + quoted(stream);
  if (ns.empty()) return "max by (__name__) ({" + names + "})";
  return "max by (__name__) ({" + names + ",namespace=" + quoted(ns) + "} or {" + names +
         ",exported_namespace=" + quoted(ns) + "})";
}

Result<Timeline> timeline_of_answer(const std::string& body) {
  auto answer = nlohmann::json::parse(body, nullptr, false);
  if (!answer.is_object() || answer.value("status", "") != "success") {
    return Status(Code::kUnavailable,
                  "Prometheus did not answer the query: " +
                      (answer.is_object() ? answer.value("error", "no reason given") : "no JSON"));
  }
  Timeline timeline;
  timeline.demand_name = "needed, with headroom";
  timeline.wall_clock = true;
  const auto at = nlohmann::json::json_pointer("/data/result");
  const auto series = answer.contains(at) ? answer[at] : nlohmann::json::array();
  for (const auto& one : series) {
    const std::string name = one.value("metric", nlohmann::json::object()).value("__name__", "");
    for (const auto& point : one.value("values", nlohmann::json::array())) {
      if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_string()) continue;
      double time_s = point[0].get<double>();
      double value = std::strtod(point[1].get_ref<const std::string&>().c_str(), nullptr);
      if (!std::isfinite(value)) continue;
      if (name == kNeeded) timeline.demand.emplace_back(time_s, value);
      else timeline.shards.emplace_back(time_s, static_cast<int>(value));
    }
  }
  if (timeline.shards.empty()) {
    return Status(Code::kNotFound, "Prometheus has no " + std::string(kOpen) +
                                       " of this stream: does it scrape the operator?");
  }
  timeline.begin_s = timeline.shards.front().first;
  timeline.end_s = std::max(timeline.shards.back().first, timeline.begin_s + 1);
  for (size_t i = 1; i < timeline.shards.size(); i++) {
    int before = timeline.shards[i - 1].second, after = timeline.shards[i].second;
    if (before == after) continue;
    timeline.marks.push_back({timeline.shards[i].first,
                              std::to_string(before) + " shards become " + std::to_string(after),
                              after > before});
  }
  return timeline;
}

}  // namespace broker::cli
