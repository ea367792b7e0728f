#include "operator/autoscale/policy_file.h"

#include <yaml-cpp/yaml.h>

#include <cmath>
#include <set>

namespace sluice_operator::autoscale {

using broker::Code;
using broker::Status;

namespace {

constexpr int32_t kShardsMax = 2000;

Status bad(const std::string& field, const std::string& what) {
  return Status(Code::kInvalidArgument, field + ": " + what);
}

// Reads the fields of one mapping and remembers the first thing that is wrong.
class Fields {
 public:
  Fields(YAML::Node node, std::string name) : node_(node), name_(std::move(name)) {
    if (node_ && !node_.IsNull() && !node_.IsMap()) fail("", "should be a mapping");
  }
  void number(const char* field, double low, double high, double& out) {
    YAML::Node value = take(field);
    if (!value) return;
    double number = NAN;
    if (value.IsScalar()) YAML::convert<double>::decode(value, number);
    if (!(number >= low && number <= high)) {
      return fail(field, "should be a number from " + shown(low) + " to " + shown(high));
    }
    out = number;
  }
  void whole(const char* field, int32_t low, int32_t high, int32_t& out) {
    double number = out;
    this->number(field, low, high, number);
    if (number != std::floor(number)) return fail(field, "should be a whole number");
    out = static_cast<int32_t>(number);
  }
  std::string text(const char* field) {
    YAML::Node value = take(field);
    if (value && !value.IsScalar()) fail(field, "should be a word");
    return value && value.IsScalar() ? value.Scalar() : "";
  }
  YAML::Node take(const char* field) {
    known_.insert(field);
    return node_ && node_.IsMap() ? node_[field] : YAML::Node(YAML::NodeType::Undefined);
  }
  Fields child(const char* field) { return Fields(take(field), path(field)); }
  void fail(const std::string& field, const std::string& what) {
    if (status_.ok()) status_ = bad(path(field), what);
  }
  std::string path(const std::string& field) const {
    return name_.empty() ? field : field.empty() ? name_ : name_ + "." + field;
  }
  Status end() {
    if (!status_.ok() || !node_ || !node_.IsMap()) return status_;
    for (const auto& entry : node_) {
      std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
      if (!known_.contains(key)) return bad(path(key), "is no field of a policy");
    }
    return {};
  }

 private:
  static std::string shown(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.10g", value);
    return text;
  }
  YAML::Node node_;
  std::string name_;
  std::set<std::string> known_;
  Status status_;
};

broker::Result<Schedule> read_schedule(YAML::Node node, const std::string& name) {
  Fields fields(node, name);
  Schedule schedule;
  YAML::Node days = fields.take("days");
  if (days && days.IsSequence()) {
    schedule.days = 0;
    for (const auto& day : days) {
      auto bit = parse_day(day.IsScalar() ? day.Scalar() : "");
      if (!bit.ok()) return bad(fields.path("days"), bit.status().message());
      schedule.days |= *bit;
    }
  } else if (days) {
    fields.fail("days", "should be a list of days");
  }
  for (auto [field, minute] : {std::pair{"from", &schedule.from_minute},
                               std::pair{"to", &schedule.to_minute}}) {
    auto text = fields.text(field);
    if (text.empty()) continue;
    auto parsed = parse_minute(text);
    if (!parsed.ok()) return bad(fields.path(field), parsed.status().message());
    *minute = *parsed;
  }
  fields.whole("minShards", 1, kShardsMax, schedule.shards_min);
  RETURN_IF_ERROR(fields.end());
  return schedule;
}

Status read_autoscaling(Fields& fields, Policy& policy) {
  double target = policy.target * 100, budget = policy.throttle_budget * 1e6;
  double up_s = 0, down_s = static_cast<double>(policy.scale_down_after_ms) / 1000;
  policy.shards_max = kShardsMax;
  fields.whole("minShards", 1, kShardsMax, policy.shards_min);
  fields.whole("maxShards", 1, kShardsMax, policy.shards_max);
  fields.number("targetUtilizationPercent", 10, 95, target);
  fields.number("scaleUpStabilizationSeconds", 0, 86400, up_s);
  fields.number("scaleDownStabilizationSeconds", 0, 604800, down_s);
  fields.number("throttledPerMillion", 0, 100'000, budget);
  fields.number("actionsPerShardPerHour", 0, 1000, policy.actions_per_shard_hour);
  policy.target = target / 100;
  policy.throttle_budget = budget / 1e6;
  policy.scale_up_after_ms = static_cast<int64_t>(up_s * 1000);
  policy.scale_down_after_ms = static_cast<int64_t>(down_s * 1000);
  std::string mode = fields.text("mode");
  if (mode == "DryRun") policy.mode = Mode::kDryRun;
  else if (mode == "Frozen") policy.mode = Mode::kFrozen;
  else if (!mode.empty() && mode != "Auto") fields.fail("mode", "should be Auto, DryRun or Frozen");
  Fields warm = fields.child("warmThroughput");
  warm.number("bytesPerSecond", 0, 1e15, policy.warm_bytes_per_s);
  warm.number("recordsPerSecond", 0, 1e15, policy.warm_records_per_s);
  RETURN_IF_ERROR(warm.end());
  YAML::Node schedules = fields.take("schedules");
  if (schedules && !schedules.IsSequence()) fields.fail("schedules", "should be a list");
  for (size_t i = 0; schedules && schedules.IsSequence() && i < schedules.size(); i++) {
    ASSIGN_OR_RETURN(auto one, read_schedule(schedules[i], fields.path("schedules[" +
                                                                       std::to_string(i) + "]")));
    policy.schedules.push_back(one);
  }
  if (policy.shards_min > policy.shards_max) fields.fail("minShards", "is greater than maxShards");
  return {};
}

// The fields of StreamCluster.spec.autoscaling.brokers, and what one broker takes.
Status read_brokers(Fields& all, SimulateOptions& options) {
  Fields fields = all.child("brokers");
  auto& policy = options.brokers;
  double target = policy.target * 100, up_s = static_cast<double>(policy.scale_up_after_ms) / 1000,
         down_s = static_cast<double>(policy.scale_down_after_ms) / 1000;
  fields.whole("min", 1, 500, policy.brokers_min);
  fields.whole("max", 1, 500, policy.brokers_max);
  fields.number("targetUtilizationPercent", 10, 95, target);
  fields.number("scaleUpStabilizationSeconds", 0, 86400, up_s);
  fields.number("scaleDownStabilizationSeconds", 0, 604800, down_s);
  fields.number("budgetPerHour", 0, 1e9, policy.budget_per_hour);
  fields.number("bytesPerSecond", 1, 1e15, options.broker_bytes_per_s);
  fields.whole("replication", 1, 9, options.replication);
  policy.target = target / 100;
  policy.scale_up_after_ms = static_cast<int64_t>(up_s * 1000);
  policy.scale_down_after_ms = static_cast<int64_t>(down_s * 1000);
  policy.price_per_hour = options.broker_hour_price;
  return fields.end();
}

broker::Result<SimulateOptions> read(YAML::Node root) {
  SimulateOptions options;
  Policy& policy = options.policy;
  if (root.IsMap() && root["kind"]) {
    if (root["kind"].as<std::string>("") != "Stream") return bad("kind", "should be Stream");
    YAML::Node spec = root["spec"];
    Fields fields(spec && spec.IsMap() ? spec["autoscaling"] : YAML::Node(), "spec.autoscaling");
    RETURN_IF_ERROR(read_autoscaling(fields, policy));
    RETURN_IF_ERROR(fields.end());
    return options;
  }
  Fields fields(root, "");
  RETURN_IF_ERROR(read_autoscaling(fields, policy));
  Fields limits = fields.child("limits");
  limits.number("shardWriteBytesPerSecond", 1, 1e15, policy.shard_bytes_per_s);
  limits.number("shardWriteRecordsPerSecond", 1, 1e15, policy.shard_records_per_s);
  RETURN_IF_ERROR(limits.end());
  fields.number("intervalSeconds", 0.1, 3600, options.interval_s);
  fields.number("metricsAgeSeconds", 0, 600, options.metrics_age_s);
  fields.number("reshardSeconds", 0, 600, options.reshard_s);
  Fields prices = fields.child("prices");
  prices.number("shardHour", 0, 1e6, options.shard_hour_price);
  prices.number("brokerHour", 0, 1e6, options.broker_hour_price);
  RETURN_IF_ERROR(prices.end());
  RETURN_IF_ERROR(read_brokers(fields, options));
  RETURN_IF_ERROR(fields.end());
  policy.lead_ms = static_cast<int64_t>(
      1000 * (options.interval_s + options.metrics_age_s + options.reshard_s));
  return options;
}

}  // namespace

broker::Result<SimulateOptions> parse_policy(const std::string& yaml) {
  try {  // yaml-cpp's only channel
    return read(YAML::Load(yaml));
  } catch (const YAML::Exception& error) {
    return Status(Code::kInvalidArgument, std::string("not YAML: ") + error.what());
  }
}

}  // namespace sluice_operator::autoscale
