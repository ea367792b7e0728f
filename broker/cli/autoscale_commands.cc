// `sluice autoscale …`: the operator's planner on a trace, and its decisions as a picture; `sluice
// why`: what it decided last for a stream or a cluster, and on what. No broker is asked.
#include <cctype>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "broker/cli/autoscale_plot.h"
#include "broker/cli/commands.h"
#include "broker/cli/http_get.h"
#include "broker/cli/kubectl.h"
#include "broker/cli/output.h"
#include "broker/cli/units.h"
#include "operator/autoscale/policy_file.h"
#include "operator/autoscale/timeline.h"

namespace broker::cli {

namespace {

namespace autoscale = sluice_operator::autoscale;
using Json = nlohmann::ordered_json;

Result<std::string> read_text(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(Code::kNotFound, "'" + path + "' cannot be read");
  text << file.rdbuf();
  return text.str();
}

Status write_text(const std::string& path, const std::string& text) {
  if (path.empty() || path == "-") {
    print(text);
    return {};
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return Status(Code::kIoError, "'" + path + "' cannot be written");
  return {};
}

std::string text_of(double value, const char* form) {
  char text[64];
  std::snprintf(text, sizeof text, form, value);
  return text;
}

Json as_json(const autoscale::SimulateResult& result, const autoscale::SimulateOptions& options,
             bool with_decisions) {
  Json schedule = Json::array();
  for (const auto& [time_s, shards] : result.schedule) schedule.push_back({time_s, shards});
  Json out{{"throttled_ratio", result.throttled_ratio},
           {"shard_hours", result.shard_hours},
           {"clairvoyant_shard_hours", result.clairvoyant_shard_hours},
           {"on_demand_shard_hours", result.on_demand_shard_hours},
           {"actions", result.actions},
           {"max_shards", result.max_shards},
           {"schedule", std::move(schedule)},
           {"seconds", result.seconds},
           {"peak_shard_hours", result.peak_shard_hours},
           {"throttled_ratio_by_shard", result.throttled_ratio_by_shard},
           {"unavoidable_throttled_ratio", result.unavoidable_throttled_ratio},
           {"on_demand_throttled_ratio", result.on_demand_throttled_ratio},
           {"actions_per_shard_hour", result.actions_per_shard_hour},
           {"longest_shortage_s", result.longest_shortage_s},
           {"broker_hours", result.broker_hours},
           {"max_brokers", result.max_brokers},
           {"cost", result.shard_hours * options.shard_hour_price +
                        result.broker_hours * options.broker_hour_price}};
  if (!with_decisions) return out;
  for (const auto& [time_s, decision] : result.decisions) {
    out["decisions"].push_back({{"time_s", time_s},
                                {"action", autoscale::to_string(decision.action)},
                                {"operations", decision.operations.size()},
                                {"reason", decision.reason},
                                {"message", decision.message},
                                {"inputs", decision.inputs}});
  }
  return out;
}

void print_table(const autoscale::SimulateResult& result,
                 const autoscale::SimulateOptions& options) {
  Table table({"SHARDS BY", "SHARD-HOURS", "OF THE LEAST", "COST", "THROTTLED"});
  auto row = [&](const char* name, double hours, double throttled) {
    table.add({name, text_of(hours, "%.1f"),
               text_of(hours / result.clairvoyant_shard_hours, "%.2f×"),
               text_of(hours * options.shard_hour_price, "%.2f"),
               text_of(throttled * 100, "%.4f%%")});
  };
  row("this policy", result.shard_hours, result.throttled_ratio);
  row("clairvoyant (the least)", result.clairvoyant_shard_hours,
      result.unavoidable_throttled_ratio);
  row("Kinesis on-demand's rule", result.on_demand_shard_hours, result.on_demand_throttled_ratio);
  row("static, for the peak", result.peak_shard_hours, result.unavoidable_throttled_ratio);
  print(table.text() + "\n" + std::to_string(result.actions) + " splits and merges, " +
        text_of(result.actions_per_shard_hour, "%.2f") + " per shard and hour; at most " +
        std::to_string(result.max_shards) + " open shards; never short of shards for longer than " +
        text_of(result.longest_shortage_s, "%.1f") + " s\nthrottled against each shard's own load: " +
        text_of(result.throttled_ratio_by_shard * 100, "%.4f%%") + "\nbrokers: " +
        text_of(result.broker_hours, "%.1f") + " hours, at most " +
        std::to_string(result.max_brokers) + ", cost " +
        text_of(result.broker_hours * options.broker_hour_price, "%.2f") + "\n");
}

autoscale::Timeline timeline_of(const autoscale::Trace& trace,
                                const autoscale::SimulateOptions& options,
                                const autoscale::SimulateResult& result) {
  autoscale::Timeline timeline;
  timeline.begin_s = trace.front().time_s;
  timeline.end_s = autoscale::end_of(trace);
  for (const auto& sample : trace) {
    timeline.demand.emplace_back(sample.time_s, autoscale::demand_of(sample, options.policy));
  }
  timeline.count = result.schedule;
  for (const auto& [time_s, decision] : result.decisions) {
    if (decision.operations.empty()) continue;
    timeline.marks.push_back({time_s, decision.reason + ": " + decision.message,
                              decision.action == autoscale::Action::kSplit});
  }
  return timeline;
}

Result<int> simulate(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto csv, read_text(arguments.word(0)));
  auto trace = autoscale::parse_trace(csv);
  if (!trace.ok()) return trace.status().with_context(arguments.word(0));
  std::string policy_path = arguments.get("policy");
  std::string yaml;
  if (!policy_path.empty()) {
    ASSIGN_OR_RETURN(yaml, read_text(policy_path));
  }
  auto options = autoscale::parse_policy(yaml);
  if (!options.ok()) return options.status().with_context(policy_path);
  options->cold_start = arguments.has("cold-start");
  auto result = autoscale::simulate(*trace, *options);
  if (auto plot = arguments.get("plot"); !plot.empty()) {
    auto timeline = timeline_of(*trace, *options, result);
    timeline.title = arguments.word(0);
    RETURN_IF_ERROR(write_text(plot, autoscale::draw(timeline)));
  }
  if (arguments.json()) print_json(as_json(result, *options, arguments.has("decisions")));
  else print_table(result, *options);
  return 0;
}

Result<double> figure(const Arguments& arguments, const char* name, double otherwise, double max) {
  std::string text = arguments.get(name);
  if (text.empty()) return otherwise;
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  if (*end != 0 || !(value >= 0 && value <= max)) {
    return Status(Code::kInvalidArgument, std::string("--") + name + " '" + text +
                                              "' is no number that it can be");
  }
  return value;
}

Result<int> generate(const Arguments& arguments) {
  autoscale::GenerateOptions options;
  ASSIGN_OR_RETURN(auto ms, arguments.duration_ms("duration", 86'400'000));
  ASSIGN_OR_RETURN(auto step_ms, arguments.duration_ms("step", 10'000));
  if (step_ms < 100 || ms < 2 * step_ms || ms / step_ms > 20'000'000) {
    return Status(Code::kInvalidArgument,
                  "--duration should be at least two steps of --step, a step at least 100ms");
  }
  options.seconds = static_cast<double>(ms) / 1000;
  options.step_s = static_cast<double>(step_ms) / 1000;
  ASSIGN_OR_RETURN(auto base, arguments.bytes("base", static_cast<int64_t>(options.base)));
  ASSIGN_OR_RETURN(auto peak, arguments.bytes("peak", static_cast<int64_t>(options.peak)));
  ASSIGN_OR_RETURN(auto record, arguments.bytes("record-bytes", 1100));
  ASSIGN_OR_RETURN(auto seed, arguments.number("seed", 1, 0, INT64_MAX));
  ASSIGN_OR_RETURN(options.noise, figure(arguments, "noise", options.noise, 1));
  options.base = static_cast<double>(base);
  options.peak = static_cast<double>(peak);
  options.record_bytes = static_cast<double>(std::max<int64_t>(record, 1));
  options.seed = static_cast<uint64_t>(seed);
  ASSIGN_OR_RETURN(auto trace, autoscale::generate_trace(arguments.word(0), options));
  print(autoscale::format_trace(trace));
  return 0;
}

// ---- of a stream or a cluster as it is ----

Result<Json> resource_of(const ScalingOf& of, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto text, arguments.has("file")
                                  ? read_text(arguments.get("file"))
                                  : Kubectl(arguments).text({"get", of.resources(), "-o", "json"}));
  auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return Status(Code::kInvalidArgument, std::string("a ") + of.kind() + " as JSON is needed");
  }
  Json list = json.contains("items") && json["items"].is_array() ? json["items"] : Json{json};
  for (const auto& item : list) {
    if (!item.is_object()) continue;
    auto at = [&](const char* pointer) { return member(item, pointer, "").get<std::string>(); };
    if (auto kind = at("/kind"); !kind.empty() && kind != of.kind()) continue;
    if (at("/metadata/name") == of.name || at("/spec/name") == of.name) return item;
  }
  const std::string where =
      arguments.has("namespace") ? " in namespace " + arguments.get("namespace") : "";
  return Status(Code::kNotFound,
                std::string("there is no ") + of.kind() + " '" + of.name + "'" + where);
}

Result<int> why(const Arguments& arguments) {
  const auto of = parse_scaling_of(arguments.word(0));
  ASSIGN_OR_RETURN(auto resource, resource_of(of, arguments));
  ASSIGN_OR_RETURN(auto count, arguments.number("last", 5, 1, 64));
  auto decisions = member(resource, "/status/decisions", Json::array());
  const char* counted = of.cluster ? "brokers" : "openShards";
  const auto number = member(resource, "/status", Json::object()).value(counted, 0);
  if (arguments.json()) {
    print_json({{of.cluster ? "cluster" : "stream", of.name},
                {counted, number},
                {"conditions", member(resource, "/status/conditions", Json::array())},
                {"decisions", decisions}});
    return 0;
  }
  std::string text =
      of.name + ": " + std::to_string(number) + (of.cluster ? " brokers\n" : " open shards\n");
  for (const auto& condition : member(resource, "/status/conditions", Json::array())) {
    auto at = [&](const char* field) { return member(condition, field, "").get<std::string>(); };
    text += "  " + at("/type") + "=" + at("/status") + " " + at("/reason") + ": " + at("/message") + "\n";
  }
  if (decisions.empty()) text += "nothing has been decided yet\n";
  for (size_t i = 0; i < decisions.size() && static_cast<int64_t>(i) < count; i++) {
    text += described(decisions[i]);
  }
  print(text);
  return 0;
}

Result<autoscale::Timeline> timeline_of_prometheus(const ScalingOf& of,
                                                   const Arguments& arguments) {
  HttpGet get;
  get.url = arguments.get("prometheus");
  get.ca_path = arguments.get("ca");
  if (auto path = arguments.get("token-file"); !path.empty()) {
    ASSIGN_OR_RETURN(get.token, read_text(path));
    while (!get.token.empty() && std::isspace(static_cast<unsigned char>(get.token.back()))) {
      get.token.pop_back();
    }
  }
  ASSIGN_OR_RETURN(auto span_ms, arguments.duration_ms("last", 3'600'000));
  auto end_s = static_cast<int64_t>(std::time(nullptr));
  int64_t begin_s = end_s - std::max<int64_t>(span_ms / 1000, 10);
  int64_t step_s = std::max<int64_t>(1, (end_s - begin_s) / 2000);
  get.target =
      "/api/v1/query_range?query=" + url_encode(plot_query(of, arguments.get("namespace"))) +
      "&start=" + std::to_string(begin_s) + "&end=" + std::to_string(end_s) +
      "&step=" + std::to_string(step_s);
  ASSIGN_OR_RETURN(auto body, http_get(get));
  return timeline_of_answer(of, body);
}

Result<int> plot(const Arguments& arguments) {
  const auto of = parse_scaling_of(arguments.word(0));
  autoscale::Timeline timeline;
  if (arguments.has("prometheus")) {
    ASSIGN_OR_RETURN(timeline, timeline_of_prometheus(of, arguments));
  } else {
    ASSIGN_OR_RETURN(auto resource, resource_of(of, arguments));
    ASSIGN_OR_RETURN(timeline, timeline_of_status(of, resource));
  }
  RETURN_IF_ERROR(write_text(arguments.get("out"), autoscale::draw(timeline)));
  return 0;
}

std::vector<Option> resource_options() {
  auto options = Kubectl::options();
  options.push_back(
      {"file", "FILE",
       "the resource, or a list, as JSON instead of asking kubectl; - for standard input"});
  return options;
}

}  // namespace

std::vector<Command> autoscale_commands() {
  auto why_options = resource_options(), plot_options = resource_options();
  why_options.push_back({"last", "N", "how many decisions (default 5)"});
  plot_options.push_back({"prometheus", "URL", "the operator's metrics from there instead of the status"});
  plot_options.push_back({"last", "TIME", "with --prometheus: how long back (default 1h)"});
  plot_options.push_back({"token-file", "FILE", "with --prometheus: a bearer token"});
  plot_options.push_back({"ca", "FILE", "with --prometheus: what its certificate is checked against"});
  plot_options.push_back({"out", "FILE", "where the SVG goes (default: standard output)"});
  return {
      {"autoscale simulate",
       {"TRACE.csv"},
       "Run the autoscaler on a load trace, beside other ways of providing shards",
       {{"policy", "FILE", "YAML: the fields of Stream.spec.autoscaling, or a Stream"},
        {"cold-start", "", "begin with minShards, not with what the first sample asks for"},
        {"decisions", "", "with -o json: every decision and its inputs"},
        {"plot", "FILE", "draw demand and shards as SVG"}},
       {"sluice autoscale generate daily >day.csv",
        "sluice autoscale simulate day.csv --policy policy.yaml -o json"},
       simulate},
      {"autoscale generate",
       {"KIND"},
       "Make a load trace: daily, steps, bursts, ramps, flash, noise, hotkey or mixed",
       {{"duration", "TIME", "how long (default 1d)"},
        {"step", "TIME", "between two samples (default 10s)"},
        {"base", "BYTES", "bytes a second when quiet (default 4MiB)"},
        {"peak", "BYTES", "bytes a second at most, about (default 16MiB)"},
        {"record-bytes", "BYTES", "size of a record (default 1100)"},
        {"noise", "SHARE", "standard deviation of the noise (default 0.05)"},
        {"seed", "N", "another trace of the kind (default 1)"}},
       {"sluice autoscale generate flash --duration 6h --seed 3 >flash.csv"},
       generate},
      {"autoscale plot",
       {"STREAM|cluster/NAME"},
       "Draw the scaling of a stream's shards or a cluster's brokers as SVG, from its status or a "
       "Prometheus",
       plot_options,
       {"sluice autoscale plot clicks --out clicks.svg",
        "sluice autoscale plot clicks --prometheus http://localhost:9090 --last 6h --out "
        "clicks.svg",
        "sluice autoscale plot cluster/quickstart --out brokers.svg"},
       plot},
      {"why",
       {"STREAM|cluster/NAME"},
       "Say what the autoscaler decided last for a stream or a cluster's brokers, and on what",
       why_options,
       {"sluice why clicks", "sluice why cluster/quickstart", "kubectl sluice why clicks -o json"},
       why}};
}

}  // namespace broker::cli
