// `sluice consume`: records become lines.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "broker/base/utf8.h"
#include "broker/cli/commands.h"
#include "broker/cli/output.h"
#include "broker/cli/reading.h"
#include "broker/cli/units.h"

namespace broker::cli {

namespace {

using Json = nlohmann::ordered_json;

// Bytes as a string where they are text, else under NAME_base64.
void put(Json& json, const std::string& name, const std::string& bytes) {
  if (is_utf8(bytes)) json[name] = bytes;
  else json[name + "_base64"] = base64(bytes);
}

Json to_json(int32_t shard, const v1::Record& record) {
  Json json = {{"shard", shard}, {"offset", record.offset()}, {"timestamp", record.timestamp_ms()}};
  if (record.has_key()) put(json, "key", record.key());
  else json["key"] = nullptr;
  put(json, "value", record.value());
  Json headers = Json::array();
  for (const auto& header : record.headers()) {
    Json one;
    put(one, "key", header.key());
    if (header.has_value()) put(one, "value", header.value());
    else one["value"] = nullptr;
    headers.push_back(std::move(one));
  }
  json["headers"] = std::move(headers);
  return json;
}

Result<v1::ShardPosition> position_of(const Arguments& arguments) {
  v1::ShardPosition position;
  bool until_end = arguments.has("until-end");
  std::string from = arguments.get("from", until_end ? "earliest" : "latest");
  if (arguments.has("from-beginning")) {
    if (arguments.has("from")) {
      return Status(Code::kInvalidArgument, "give --from or --from-beginning, not both");
    }
    from = "earliest";
  }
  if (from == "earliest") {
    position.set_earliest(true);
  } else if (from == "latest") {
    position.set_latest(true);
  } else if (from[0] == '@') {
    ASSIGN_OR_RETURN(int64_t time_ms, parse_time_ms(std::string_view(from).substr(1)));
    position.set_timestamp_ms(time_ms);
  } else {
    auto offset = parse_number(from, 0, INT64_MAX);
    if (!offset.ok()) {
      return Status(Code::kInvalidArgument, "--from is earliest, latest, an offset or @TIME, not '" +
                                                from + "'");
    }
    position.set_offset(*offset);
  }
  return position;
}

Result<ReadingOptions> options_of(const Arguments& arguments) {
  ReadingOptions options;
  options.stream = arguments.word(0);
  ASSIGN_OR_RETURN(options.from, position_of(arguments));
  for (const std::string& text : arguments.all("shard")) {
    auto shard = parse_number(text, 0, INT32_MAX);
    if (!shard.ok()) return shard.status().with_context("--shard");
    options.shards.push_back(static_cast<int32_t>(*shard));
  }
  if (options.from.from_case() == v1::ShardPosition::kOffset && options.shards.empty()) {
    return Status(Code::kInvalidArgument, "--from OFFSET needs --shard: offsets are a shard's own");
  }
  options.until_end = arguments.has("until-end");
  std::string follow = arguments.get("follow-children", "true");
  if (follow != "true" && follow != "false") {
    return Status(Code::kInvalidArgument, "--follow-children is true or false");
  }
  options.follow_children = follow == "true";
  return options;
}

Result<int> consume(const Arguments& arguments) {
  ASSIGN_OR_RETURN(ReadingOptions options, options_of(arguments));
  ASSIGN_OR_RETURN(int64_t left, arguments.number("max", INT64_MAX, 1, INT64_MAX));
  Client client(arguments);
  const bool json = arguments.json();
  std::string text;
  Reading reading(client, options, [&](const v1::ShardRecords& records) {
    text.clear();
    for (const auto& record : records.records()) {
      if (left == 0) break;
      --left;
      if (json) text += to_json(records.shard(), record).dump() + "\n";
      else text += record.key() + "\t" + record.value() + "\n";
    }
    print(text);
    return std::fflush(stdout) == 0 && left > 0;
  });
  RETURN_IF_ERROR(reading.run());
  return 0;
}

}  // namespace

std::vector<Command> consume_commands() {
  return {{"consume",
           {"STREAM"},
           "Print records as KEY<TAB>VALUE, or as JSON with -o json",
           {{"from-beginning", "", "the same as --from earliest"},
            {"from", "WHERE", "earliest, latest (default), an offset with --shard, @TIME"},
            {"shard", "N", "only this shard; may be repeated"},
            {"until-end", "", "stop at what is the end now (and begin at the earliest record)"},
            {"max", "N", "stop after N records"},
            {"follow-children", "true|false", "after a split or merge go on (default true)"}},
           {"sluice consume flights --from-beginning --until-end",
            "sluice consume flights --shard 0 --from @2026-01-31T12:00:00Z -o json"},
           consume}};
}

}  // namespace broker::cli
