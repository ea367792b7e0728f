// `sluice cluster bill` and `sluice stream bill`: what was used up to now and, where the cluster has
// prices or a table is given, what it costs.
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "broker/cli/client.h"
#include "broker/cli/commands.h"
#include "broker/cli/output.h"
#include "broker/metering/bill.h"
#include "broker/metering/prices_file.h"

namespace broker::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string name_of(const v1::BillLine& line) {
  if (line.gone()) return "(deleted streams)";
  return line.stream().empty() ? "(idle brokers)" : line.stream();
}

std::string hours(int64_t ms) { return metering::hours_text(ms * 1000); }

std::string gb(int64_t bytes) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(bytes) / 1e9);
  return text;
}

std::string gb_months(const v1::Usage& usage) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3f",
                static_cast<double>(usage.long_term_byte_hours()) / 1e9 / 730);
  return text;
}

// Cents are enough for people; -o json has all digits.
std::string money(const std::string& amount) {
  const size_t point = amount.find('.');
  return amount.size() > point + 5 ? amount.substr(0, point + 5) : amount;
}

Json to_json(const v1::Usage& usage) {
  return {{"putPayloadUnits", usage.put_units()},
          {"records", usage.records()},
          {"bytes", usage.bytes()},
          {"shardMs", usage.shard_ms()},
          {"shardHours", hours(usage.shard_ms())},
          {"extendedRetentionShardMs", usage.extended_shard_ms()},
          {"longTermRetentionByteHours", usage.long_term_byte_hours()},
          {"brokerUs", usage.broker_us()},
          {"brokerHours", metering::hours_text(usage.broker_us())},
          {"crossZoneBytes",
           {{"replicated", usage.replicated_bytes()},
            {"forwarded", usage.forwarded_bytes()},
            {"fetched", usage.fetched_bytes()},
            {"total", metering::cross_zone_bytes(usage)}}}};
}

Json to_json(const v1::BillLine& line) {
  Json out = Json::object();
  if (!line.stream().empty()) out["stream"] = line.stream();
  if (line.gone()) out["deletedStreams"] = true;
  if (!line.stream_id().empty()) out["streamId"] = line.stream_id();
  out["sinceMs"] = line.since_ms();
  if (line.counted_ms() > 0) out["countedMs"] = line.counted_ms();
  out["usage"] = to_json(line.usage());
  if (!line.has_cost()) return out;
  const auto& cost = line.cost();
  out["cost"] = {{"shardHours", cost.shard_hours()},
                 {"putPayloadUnits", cost.put_units()},
                 {"extendedRetention", cost.extended_retention()},
                 {"longTermRetention", cost.long_term_retention()},
                 {"brokerHours", cost.broker_hours()},
                 {"crossZone", cost.cross_zone()},
                 {"total", cost.total()}};
  return out;
}

Json to_json(const v1::Bill& bill) {
  Json out{{"atMs", bill.at_ms()}, {"sinceMs", bill.since_ms()}, {"lines", Json::array()}};
  if (bill.has_prices()) {
    out["prices"] = {{"currency", bill.prices().currency()}, {"asOf", bill.prices().as_of()}};
  }
  for (const auto& line : bill.lines()) out["lines"].push_back(to_json(line));
  out["total"] = to_json(bill.total());
  return out;
}

void add_row(Table& table, const std::string& name, const v1::BillLine& line, bool priced) {
  const auto& usage = line.usage();
  std::vector<std::string> row = {name,
                                  hours(usage.shard_ms()),
                                  std::to_string(usage.put_units()),
                                  hours(usage.extended_shard_ms()),
                                  gb_months(usage),
                                  metering::hours_text(usage.broker_us()),
                                  gb(metering::cross_zone_bytes(usage))};
  if (priced) row.push_back(money(line.cost().total()));
  table.add(std::move(row));
}

void print_bill(const v1::Bill& bill) {
  const bool priced = bill.has_prices();
  std::vector<std::string> heading = {"STREAM",           "SHARD-HOURS",  "PUT-UNITS", "EXTENDED-HOURS",
                                      "LONG-TERM-GB-MONTHS", "BROKER-HOURS", "CROSS-ZONE-GB"};
  if (priced) heading.push_back(bill.prices().currency());
  Table table(std::move(heading));
  for (const auto& line : bill.lines()) add_row(table, name_of(line), line, priced);
  if (bill.lines_size() != 1) add_row(table, "total", bill.total(), priced);
  std::string text = table.text() + "\n";
  text += priced ? "at prices of " + bill.prices().as_of()
                 : "no prices: give the cluster some (spec.prices, or the coordinator's --prices), "
                   "or use --prices FILE";
  print(text + "\n");
}

// Another table than the cluster's, or one where it has none.
Status reprice(const Arguments& arguments, v1::Bill& bill) {
  if (!arguments.has("prices")) return {};
  const std::string path = arguments.get("prices");
  std::ifstream file(path);
  if (!file) return Status(Code::kNotFound, "cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  auto table = metering::parse_prices(text.str());
  if (!table.ok()) return table.status().with_context(path);
  const v1::Prices& prices = *table;
  for (auto& line : *bill.mutable_lines()) {
    *line.mutable_cost() = metering::cost_of(line.usage(), prices);
  }
  *bill.mutable_total()->mutable_cost() = metering::cost_of(bill.total().usage(), prices);
  *bill.mutable_prices() = prices;
  return {};
}

Result<int> show_bill(const Arguments& arguments, const std::string& stream) {
  Client client(arguments);
  v1::DescribeBillRequest request;
  request.set_stream(stream);
  ASSIGN_OR_RETURN(v1::Bill bill, client.call(&v1::Sluice::Stub::DescribeBill, request));
  RETURN_IF_ERROR(reprice(arguments, bill));
  if (arguments.json()) {
    print_json(to_json(bill));
  } else {
    print_bill(bill);
  }
  return 0;
}

Result<int> cluster_bill(const Arguments& arguments) { return show_bill(arguments, ""); }
Result<int> stream_bill(const Arguments& arguments) {
  return show_bill(arguments, arguments.word(0));
}

}  // namespace

std::vector<Command> bill_commands() {
  const std::vector<Option> options = {
      {"prices", "FILE", "a price table in YAML instead of the cluster's"}};
  return {{"cluster bill",
           {},
           "Show what streams and brokers used, and what it costs",
           options,
           {"sluice cluster bill", "sluice cluster bill --prices prices.yaml -o json"},
           cluster_bill},
          {"stream bill",
           {"NAME"},
           "Show what one stream used, and what it costs",
           options,
           {"sluice stream bill clicks"},
           stream_bill}};
}

}  // namespace broker::cli
