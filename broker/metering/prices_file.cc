#include "broker/metering/prices_file.h"

#include <yaml-cpp/yaml.h>

#include <map>

#include "broker/metering/money.h"

namespace broker::metering {
namespace {

Status bad(const std::string& what) { return Status(Code::kInvalidArgument, what); }

}  // namespace

Result<sluice::v1::Prices> parse_prices(const std::string& yaml) {
  sluice::v1::Prices prices;
  const std::map<std::string, std::string*> fields = {
      {"currency", prices.mutable_currency()},
      {"asOf", prices.mutable_as_of()},
      {"shardHour", prices.mutable_shard_hour()},
      {"millionPutUnits", prices.mutable_million_put_units()},
      {"extendedRetentionShardHour", prices.mutable_extended_retention_shard_hour()},
      {"longTermRetentionGBMonth", prices.mutable_long_term_retention_gb_month()},
      {"brokerHour", prices.mutable_broker_hour()},
      {"crossZoneGB", prices.mutable_cross_zone_gb()}};
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (!root.IsMap()) return bad("expected fields such as 'currency: USD'");
    for (const auto& entry : root) {
      const auto name = entry.first.as<std::string>();
      auto field = fields.find(name);
      if (field == fields.end()) return bad(name + ": unknown field");
      if (!entry.second.IsScalar()) return bad(name + ": expected one value");
      *field->second = entry.second.as<std::string>();
    }
  } catch (const YAML::Exception& e) {
    return bad(std::string("no YAML: ") + e.what());
  }
  RETURN_IF_ERROR(check_prices(prices));
  return prices;
}

}  // namespace broker::metering
