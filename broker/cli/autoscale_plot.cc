#include "broker/cli/autoscale_plot.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <vector>

#include "broker/cli/units.h"

namespace broker::cli {

using sluice_operator::autoscale::Timeline;
using Json = nlohmann::ordered_json;

namespace {

constexpr const char* kDecisions = "sluice_autoscale_broker_decisions_total";
// Between a decision and the number of brokers that follows from it.
constexpr double kFollowsS = 60;

struct Names {
  const char *count, *needed, *label, *count_name, *of_them;
};
constexpr Names kStream{"sluice_autoscale_open_shards", "sluice_autoscale_needed_shards", "stream",
                        "open shards", " shards become "};
constexpr Names kCluster{"sluice_autoscale_brokers", "sluice_autoscale_needed_brokers", "cluster",
                         "brokers", " brokers become "};
const Names& names_of(const ScalingOf& of) {
  return of.cluster ? kCluster : kStream;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

Timeline empty_timeline(const ScalingOf& of) {
  Timeline timeline;
  timeline.title = of.name;
  timeline.demand_name = "needed, with headroom";
  timeline.count_name = names_of(of).count_name;
  timeline.wall_clock = true;
  return timeline;
}

double number_of(const Json& decision, const char* input) {
  auto text = member(decision, (std::string("/inputs/") + input).c_str(), "").get<std::string>();
  return std::strtod(text.c_str(), nullptr);
}

using Points = std::vector<std::pair<double, double>>;

Points points_of(const nlohmann::json& series) {
  Points points;
  for (const auto& point : series.value("values", nlohmann::json::array())) {
    if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_string())
      continue;
    double value = std::strtod(point[1].get_ref<const std::string&>().c_str(), nullptr);
    if (std::isfinite(value)) points.emplace_back(point[0].get<double>(), value);
  }
  return points;
}

// When a counter grew, by its samples; one that appears later than the rest has grown then.
std::vector<double> growths(const Points& points, double begin_s) {
  std::vector<double> at;
  for (size_t i = 0; i < points.size(); i++) {
    bool grew = i == 0 ? points[0].first > begin_s : points[i].second > points[i - 1].second;
    if (grew) at.push_back(points[i].first);
  }
  return at;
}

}  // namespace

ScalingOf parse_scaling_of(const std::string& word) {
  for (const char* prefix : {"cluster/", "streamcluster/", "scl/"}) {
    if (word.starts_with(prefix)) return {true, word.substr(std::string(prefix).size())};
  }
  const std::string stream = "stream/";
  return {false, word.starts_with(stream) ? word.substr(stream.size()) : word};
}

Json member(const Json& object, const char* pointer, Json otherwise) {
  auto at = Json::json_pointer(pointer);
  return object.contains(at) && object[at].type() == otherwise.type() ? object[at] : otherwise;
}

std::string described(const Json& decision) {
  auto text = [&](const char* field) { return member(decision, field, "").get<std::string>(); };
  std::string line = text("/time") + "  " + text("/action");
  std::string shards;
  for (const auto& shard : member(decision, "/shards", Json::array())) {
    shards += (shards.empty() ? " of shard " : ", ") + shard.dump();
  }
  line += shards + " (" + text("/reason") + "): " + text("/message") + "\n";
  std::string inputs;
  const Json known = member(decision, "/inputs", Json::object());
  for (const auto& [key, value] : known.items()) {
    inputs += (inputs.empty() ? "    " : "  ") + key + "=" +
              (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return inputs.empty() ? line : line + inputs + "\n";
}

Result<Timeline> timeline_of_status(const ScalingOf& of, const Json& resource) {
  Timeline timeline = empty_timeline(of);
  const char* needed = of.cluster ? "brokersNeeded" : "shardsNeeded";
  const char* count = of.cluster ? "brokers" : "openShards";
  const auto decisions = member(resource, "/status/decisions", Json::array());
  for (auto it = decisions.rbegin(); it != decisions.rend(); ++it) {
    auto when = parse_time_ms(member(*it, "/time", "").get<std::string>());
    if (!when.ok()) continue;
    double at = static_cast<double>(*when) / 1000;
    auto action = member(*it, "/action", "").get<std::string>();
    if (number_of(*it, needed) > 0) timeline.demand.emplace_back(at, number_of(*it, needed));
    // What a decision about brokers brings is seen by the next one only, perhaps hours later.
    int change = action == "AddBroker" ? 1 : action == "DrainBroker" ? -1 : 0;
    int before = static_cast<int>(number_of(*it, count));
    if (before > 0 || !of.cluster) timeline.count.emplace_back(at, before + change);
    bool less = action == "Merge" || action == "DrainBroker";
    if (less || action == "Split" || action == "AddPartitions" || action == "AddBroker") {
      timeline.marks.push_back({at, described(*it), !less});
    }
  }
  if (timeline.count.empty()) {
    return Status(Code::kNotFound, "nothing has been decided for '" + of.name + "' yet");
  }
  timeline.begin_s = timeline.count.front().first;
  timeline.end_s = std::max(timeline.count.back().first, timeline.begin_s + 1);
  return timeline;
}

// The operator's name for a namespace is `namespace`, which a scrape configuration that sets a label
// of that name turns into exported_namespace.
std::string plot_query(const ScalingOf& of, const std::string& ns) {
  const Names& names = names_of(of);
  std::string selector = std::string("__name__=~\"") + names.count + "|" + names.needed;
  if (of.cluster) selector += std::string("|") + kDecisions + "\",action!=\"None";
  selector += std::string("\",") + names.label + "=" + quoted(of.name);
  const std::string by = of.cluster ? "max by (__name__, action, reason) (" : "max by (__name__) (";
  if (ns.empty()) return by + "{" + selector + "})";
  return by + "{" + selector + ",namespace=" + quoted(ns) + "} or {" + selector +
         ",exported_namespace=" + quoted(ns) + "})";
}

Result<Timeline> timeline_of_answer(const ScalingOf& of, const std::string& body) {
  auto answer = nlohmann::json::parse(body, nullptr, false);
  if (!answer.is_object() || answer.value("status", "") != "success") {
    return Status(Code::kUnavailable,
                  "Prometheus did not answer the query: " +
                      (answer.is_object() ? answer.value("error", "no reason given") : "no JSON"));
  }
  Timeline timeline = empty_timeline(of);
  const Names& names = names_of(of);
  const auto at = nlohmann::json::json_pointer("/data/result");
  const auto all = answer.contains(at) ? answer[at] : nlohmann::json::array();
  std::map<std::string, Points> decisions;  // by action and reason
  for (const auto& series : all) {
    const auto labels = series.value("metric", nlohmann::json::object());
    const std::string name = labels.value("__name__", "");
    auto points = points_of(series);
    if (name == names.needed)
      timeline.demand = std::move(points);
    else if (name == names.count)
      timeline.count.assign(points.begin(), points.end());
    else if (name == kDecisions) {
      decisions[labels.value("action", "") + " (" + labels.value("reason", "") + ")"] =
          std::move(points);
    }
  }
  if (timeline.count.empty()) {
    return Status(Code::kNotFound,
                  "Prometheus has no " + std::string(names.count) + " of this " + names.label +
                      ": does it scrape the operator" +
                      (of.cluster ? ", and has the cluster autoscaling.brokers?" : "?"));
  }
  timeline.begin_s = timeline.count.front().first;
  timeline.end_s = std::max(timeline.count.back().first, timeline.begin_s + 1);
  std::map<double, std::string> decided;
  for (const auto& [what, points] : decisions) {
    for (double when : growths(points, timeline.begin_s)) decided[when] = what;
  }
  for (size_t i = 1; i < timeline.count.size(); i++) {
    int before = timeline.count[i - 1].second, after = timeline.count[i].second;
    if (before == after) continue;
    double when = timeline.count[i].first;
    std::string label = std::to_string(before) + names.of_them + std::to_string(after);
    auto why = decided.upper_bound(when);
    if (why != decided.begin() && when - (--why)->first <= kFollowsS) label += ": " + why->second;
    timeline.marks.push_back({when, label, after > before});
  }
  return timeline;
}

}  // namespace broker::cli
