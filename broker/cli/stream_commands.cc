// `sluice stream …` and `sluice shard …`: administration.
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "broker/cli/client.h"
#include "broker/cli/commands.h"
#include "broker/cli/output.h"
#include "broker/cli/units.h"
#include "broker/model/sequence_number.h"

namespace broker::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string mode_name(v1::StreamMode mode) {
  return mode == v1::STREAM_MODE_ELASTIC ? "elastic" : "partitioned";
}

std::string state_name(v1::ShardState state) {
  switch (state) {
    case v1::SHARD_STATE_OPEN: return "open";
    case v1::SHARD_STATE_SEALING: return "sealing";
    case v1::SHARD_STATE_CLOSED: return "closed";
    default: return "unknown";
  }
}

template <class Numbers>
std::string list_text(const Numbers& numbers) {
  std::string text;
  for (auto number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text.empty() ? "-" : text;
}

std::string replicas_text(const v1::Shard& shard) {
  std::vector<int32_t> brokers;
  for (const auto& replica : shard.replicas()) brokers.push_back(replica.broker());
  return list_text(brokers);
}

Json to_json(const v1::ShardInfo& info) {
  const v1::Shard& shard = info.shard();
  Json json = {{"shard", shard.index()}, {"state", state_name(shard.state())}};
  json["leader"] = shard.has_leader() ? Json(shard.leader()) : Json(nullptr);
  json["term"] = shard.term();
  Json replicas = Json::array();
  for (const auto& replica : shard.replicas()) replicas.push_back(replica.broker());
  json["replicas"] = std::move(replicas);
  json["hashRange"] = {{"start", shard.hash_range().start()}, {"end", shard.hash_range().end()}};
  json["parents"] = std::vector<int32_t>(shard.parents().begin(), shard.parents().end());
  json["children"] = std::vector<int32_t>(shard.children().begin(), shard.children().end());
  json["logStart"] = info.has_log_start() ? Json(info.log_start()) : Json(nullptr);
  json["highWatermark"] = info.has_high_watermark() ? Json(info.high_watermark()) : Json(nullptr);
  return json;
}

const char* durability_name(v1::Durability durability) {
  return durability == v1::DURABILITY_MEMORY ? "memory" : "synced";
}

Json to_json(const v1::DescribeStreamResponse& stream) {
  const auto& config = stream.config();
  Json json = {{"name", stream.name()},
               {"id", stream.id()},
               {"mode", mode_name(config.mode())},
               {"replication", config.replication()},
               {"minInsync", config.min_insync()},
               {"durability", durability_name(config.durability())},
               {"retentionMs", config.retention_ms()},
               {"retentionBytes", config.retention_bytes()},
               {"maxRecordBytes", config.record_bytes_max()},
               {"limits", stream.limits()}};
  if (config.mode() == v1::STREAM_MODE_ELASTIC) {
    json["minShards"] = config.shards_min();
    json["maxShards"] = config.shards_max();
  } else {
    json["partitions"] = config.partitions();
  }
  Json shards = Json::array();
  for (const auto& info : stream.shards()) shards.push_back(to_json(info));
  json["shards"] = std::move(shards);
  return json;
}

std::string shard_table(const v1::DescribeStreamResponse& stream) {
  const bool elastic = stream.config().mode() == v1::STREAM_MODE_ELASTIC;
  std::vector<std::string> heading = {"SHARD", "STATE",    "LEADER", "TERM",
                                      "REPLICAS", "LOG START", "HIGH WATERMARK"};
  if (elastic) heading.insert(heading.end(), {"PARENTS", "CHILDREN", "HASH KEYS FROM"});
  Table table(heading);
  for (const auto& info : stream.shards()) {
    const v1::Shard& shard = info.shard();
    std::vector<std::string> row = {
        std::to_string(shard.index()),
        state_name(shard.state()),
        shard.has_leader() ? std::to_string(shard.leader()) : "none",
        std::to_string(shard.term()),
        replicas_text(shard),
        info.has_log_start() ? std::to_string(info.log_start()) : "?",
        info.has_high_watermark() ? std::to_string(info.high_watermark()) : "?"};
    if (elastic) {
      row.insert(row.end(), {list_text(shard.parents()), list_text(shard.children()),
                             shard.hash_range().start()});
    }
    table.add(std::move(row));
  }
  return table.text();
}

void print_stream(const Arguments& arguments, const v1::DescribeStreamResponse& stream) {
  if (arguments.json()) return print_json(to_json(stream));
  const auto& config = stream.config();
  std::string text = "name         " + stream.name() + "\nid           " + stream.id() +
                     "\nmode         " + mode_name(config.mode());
  if (config.mode() == v1::STREAM_MODE_ELASTIC) {
    text += ", " + std::to_string(config.shards_min()) + " to " +
            std::to_string(config.shards_max()) + " shards";
  }
  text += "\nreplication  " + std::to_string(config.replication()) + ", " +
          (config.min_insync() == 0 ? "a majority" : "at least " +
                                                         std::to_string(config.min_insync())) +
          " in sync\ndurability   " + durability_name(config.durability()) +
          (config.durability() == v1::DURABILITY_MEMORY
               ? ": acknowledged from memory, fsynced soon after"
               : ": fsynced before it is acknowledged") +
          "\nretention    " + format_duration(config.retention_ms());
  if (config.retention_bytes() > 0) {
    text += ", " + format_bytes(static_cast<double>(config.retention_bytes())) + " per shard";
  }
  text += "\nlargest      " + format_bytes(config.record_bytes_max()) + "\nlimits       " +
          stream.limits() + "\n\n";
  print(text + shard_table(stream));
}

const std::vector<Option>& config_options() {
  static const std::vector<Option> options = {
      {"partitions", "N", "shards of a partitioned stream (may grow later)"},
      {"replication", "N", "copies of each record"},
      {"min-insync", "N", "copies that must be there before a record counts (0: a majority)"},
      {"retention", "DURATION", "how long records are kept: 12h, 7d, forever"},
      {"retention-bytes", "SIZE", "how much is kept of each shard"},
      {"max-record-bytes", "SIZE", "the largest record (or batch of a Kafka producer)"},
      {"min-shards", "N", "elastic: the autoscaler keeps at least so many"},
      {"max-shards", "N", "elastic: and at most so many"},
  };
  return options;
}

// Sets what the options say; `fields` are the names of what was set.
Status read_config(const Arguments& arguments, v1::StreamConfig& config,
                   std::vector<std::string>& fields) {
  auto number = [&](const char* option, const char* field, int64_t low, auto set) -> Status {
    if (!arguments.has(option)) return {};
    ASSIGN_OR_RETURN(int64_t value, arguments.number(option, 0, low, 100'000));
    set(static_cast<int32_t>(value));
    fields.push_back(field);
    return {};
  };
  RETURN_IF_ERROR(number("partitions", "partitions", 1, [&](int32_t n) { config.set_partitions(n); }));
  RETURN_IF_ERROR(number("replication", "replication", 1,
                         [&](int32_t n) { config.set_replication(n); }));
  RETURN_IF_ERROR(number("min-insync", "min_insync", 0,
                         [&](int32_t n) { config.set_min_insync(n); }));
  RETURN_IF_ERROR(number("min-shards", "shards_min", 1, [&](int32_t n) { config.set_shards_min(n); }));
  RETURN_IF_ERROR(number("max-shards", "shards_max", 1, [&](int32_t n) { config.set_shards_max(n); }));
  if (arguments.has("retention")) {
    ASSIGN_OR_RETURN(int64_t ms, arguments.duration_ms("retention", 0));
    config.set_retention_ms(ms);
    fields.push_back("retention_ms");
  }
  if (arguments.has("retention-bytes")) {
    ASSIGN_OR_RETURN(int64_t bytes, arguments.bytes("retention-bytes", 0));
    config.set_retention_bytes(bytes);
    fields.push_back("retention_bytes");
  }
  if (arguments.has("max-record-bytes")) {
    ASSIGN_OR_RETURN(int64_t bytes, arguments.bytes("max-record-bytes", 0));
    if (bytes > INT32_MAX) return Status(Code::kInvalidArgument, "--max-record-bytes is too large");
    config.set_record_bytes_max(static_cast<int32_t>(bytes));
    fields.push_back("record_bytes_max");
  }
  return {};
}

Result<int> create(const Arguments& arguments) {
  v1::CreateStreamRequest request;
  request.set_name(arguments.word(0));
  const std::string durability = arguments.get("durability", "synced");
  if (durability != "synced" && durability != "memory") {
    return Status(Code::kInvalidArgument,
                  "--durability is synced or memory, not '" + durability + "'");
  }
  if (durability == "memory") request.mutable_config()->set_durability(v1::DURABILITY_MEMORY);
  std::vector<std::string> fields;
  RETURN_IF_ERROR(read_config(arguments, *request.mutable_config(), fields));
  std::string mode = arguments.get("mode", "partitioned");
  if (mode == "elastic") {
    request.mutable_config()->set_mode(v1::STREAM_MODE_ELASTIC);
    ASSIGN_OR_RETURN(int64_t shards, arguments.number("shards", 0, 0, 10'000));
    if (shards > 0) request.mutable_config()->set_partitions(static_cast<int32_t>(shards));
    if (arguments.has("partitions")) {
      return Status(Code::kInvalidArgument, "--partitions is for partitioned streams: use --shards");
    }
  } else if (mode == "partitioned") {
    request.mutable_config()->set_mode(v1::STREAM_MODE_PARTITIONED);
    if (!arguments.has("partitions")) request.mutable_config()->set_partitions(1);
    for (const char* option : {"shards", "min-shards", "max-shards"}) {
      if (!arguments.has(option)) continue;
      return Status(Code::kInvalidArgument, std::string("--") + option + " needs --mode elastic");
    }
  } else {
    return Status(Code::kInvalidArgument, "--mode is partitioned or elastic, not '" + mode + "'");
  }
  Client client(arguments);
  auto stream = client.call(&v1::Sluice::Stub::CreateStream, request);
  if (stream.code() == Code::kAlreadyExists && arguments.has("if-missing")) {
    v1::DescribeStreamRequest describe;
    describe.set_name(request.name());
    stream = client.call(&v1::Sluice::Stub::DescribeStream, describe);
  }
  if (!stream.ok()) return stream.status();
  print_stream(arguments, *stream);
  return 0;
}

Result<int> update(const Arguments& arguments) {
  v1::UpdateStreamRequest request;
  request.set_name(arguments.word(0));
  std::vector<std::string> fields;
  RETURN_IF_ERROR(read_config(arguments, *request.mutable_config(), fields));
  if (arguments.has("limits")) request.set_limits(arguments.get("limits"));
  if (fields.empty() && !request.has_limits()) {
    return Status(Code::kInvalidArgument, "nothing to change: see `sluice stream update --help`");
  }
  for (const auto& field : fields) request.add_fields(field);
  Client client(arguments);
  ASSIGN_OR_RETURN(auto stream, client.call(&v1::Sluice::Stub::UpdateStream, request));
  print_stream(arguments, stream);
  return 0;
}

Result<int> list(const Arguments& arguments) {
  Client client(arguments);
  ASSIGN_OR_RETURN(auto response, client.call(&v1::Sluice::Stub::ListStreams,
                                              v1::ListStreamsRequest()));
  Json json = Json::array();
  Table table({"NAME", "MODE", "OPEN", "CLOSED", "ID"});
  for (const auto& stream : response.streams()) {
    table.add({stream.name(), mode_name(stream.mode()), std::to_string(stream.open_shards()),
               std::to_string(stream.closed_shards()), stream.id()});
    json.push_back({{"name", stream.name()},
                    {"mode", mode_name(stream.mode())},
                    {"openShards", stream.open_shards()},
                    {"closedShards", stream.closed_shards()},
                    {"id", stream.id()}});
  }
  if (arguments.json()) print_json(json);
  else print(table.text());
  return 0;
}

Result<v1::DescribeStreamResponse> describe_stream(const Arguments& arguments) {
  v1::DescribeStreamRequest request;
  request.set_name(arguments.word(0));
  Client client(arguments);
  return client.call(&v1::Sluice::Stub::DescribeStream, request);
}

Result<int> describe(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto stream, describe_stream(arguments));
  print_stream(arguments, stream);
  return 0;
}

Result<int> list_shards(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto stream, describe_stream(arguments));
  if (arguments.json()) print_json(to_json(stream)["shards"]);
  else print(shard_table(stream));
  return 0;
}

Result<int> remove(const Arguments& arguments) {
  const std::string& name = arguments.word(0);
  if (!arguments.has("yes")) {
    if (!isatty(STDIN_FILENO)) {
      return Status(Code::kInvalidArgument,
                    "deleting '" + name + "' deletes its records: say --yes to mean it");
    }
    std::fprintf(stderr, "This deletes '%s' and its records. Type its name to go on: ",
                 name.c_str());
    std::string typed;
    std::getline(std::cin, typed);
    if (typed != name) return Status(Code::kInvalidArgument, "nothing was deleted");
  }
  v1::DeleteStreamRequest request;
  request.set_name(name);
  Client client(arguments);
  ASSIGN_OR_RETURN(auto response, client.call(&v1::Sluice::Stub::DeleteStream, request));
  if (arguments.json()) print_json({{"deleted", name}});
  else print("deleted " + name + "\n");
  return 0;
}

Result<const v1::Shard*> find_shard(const v1::DescribeStreamResponse& stream, int32_t index) {
  for (const auto& info : stream.shards()) {
    if (info.shard().index() == index) return &info.shard();
  }
  return Status(Code::kNotFound,
                "stream '" + stream.name() + "' has no shard " + std::to_string(index));
}

int print_place(const Arguments& arguments, int32_t shard, int64_t offset,
                const std::string& number, const std::string& answer) {
  if (arguments.json()) {
    print_json({{"shard", shard}, {"offset", offset}, {"sequenceNumber", number}});
  } else {
    print(answer + "\n");
  }
  return 0;
}

Result<int> sequence(const Arguments& arguments) {
  auto index = parse_number(arguments.word(1), 0, INT32_MAX);
  if (!index.ok()) return index.status().with_context("the shard");
  auto offset = parse_number(arguments.word(2), 0, INT64_MAX - 1);
  if (!offset.ok()) return offset.status().with_context("the offset");
  ASSIGN_OR_RETURN(auto stream, describe_stream(arguments));
  ASSIGN_OR_RETURN(const v1::Shard* shard, find_shard(stream, static_cast<int32_t>(*index)));
  auto id = Uuid::parse(stream.id());
  if (!id) return Status(Code::kCorruption, "the stream's id is no UUID: " + stream.id());
  const std::string number = format_sequence_number(
      sequence_number_of(*id, shard->index(), shard->opened_generation(), Offset{*offset}));
  return print_place(arguments, shard->index(), *offset, number, number);
}

Result<int> offset_of_sequence(const Arguments& arguments) {
  const std::string& text = arguments.word(1);
  auto number = parse_sequence_number(text);
  if (!number) return Status(Code::kInvalidArgument, "'" + text + "' is no sequence number");
  ASSIGN_OR_RETURN(auto stream, describe_stream(arguments));
  auto id = Uuid::parse(stream.id());
  if (!id || number->stream_hash != sequence_stream_hash(*id)) {
    return Status(Code::kNotFound, "the sequence number is of another stream");
  }
  ASSIGN_OR_RETURN(const v1::Shard* shard, find_shard(stream, number->shard));
  const auto offset = static_cast<int64_t>(number->place) - 1;
  if (offset < 0) {
    return Status(Code::kNotFound, "the sequence number is the start of shard " +
                                       std::to_string(shard->index()) + ", and no record's");
  }
  return print_place(arguments, shard->index(), offset, text,
                     "shard " + std::to_string(shard->index()) + ", offset " +
                         std::to_string(offset));
}

int print_reshard(const Arguments& arguments, const v1::ReshardResponse& response) {
  if (arguments.json()) {
    print_json({{"newShards", std::vector<int32_t>(response.new_shards().begin(),
                                                   response.new_shards().end())}});
  } else {
    print("new shards: " + list_text(response.new_shards()) + "\n");
  }
  return 0;
}

Result<int32_t> shard_word(const Arguments& arguments, size_t position) {
  auto shard = parse_number(arguments.word(position), 0, INT32_MAX);
  if (!shard.ok()) return shard.status().with_context("the shard");
  return static_cast<int32_t>(*shard);
}

Result<int> split(const Arguments& arguments) {
  v1::SplitShardRequest request;
  request.set_stream(arguments.word(0));
  ASSIGN_OR_RETURN(int32_t shard, shard_word(arguments, 1));
  request.set_shard(shard);
  ASSIGN_OR_RETURN(int64_t into, arguments.number("into", 0, 2, 1000));
  request.set_into(static_cast<int32_t>(into));
  for (const std::string& key : arguments.all("at")) request.add_at(key);
  if (into > 0 && request.at_size() > 0) {
    return Status(Code::kInvalidArgument, "give --into or --at, not both");
  }
  Client client(arguments);
  ASSIGN_OR_RETURN(auto response, client.call(&v1::Sluice::Stub::SplitShard, request));
  return print_reshard(arguments, response);
}

Result<int> merge(const Arguments& arguments) {
  v1::MergeShardsRequest request;
  request.set_stream(arguments.word(0));
  ASSIGN_OR_RETURN(int32_t shard, shard_word(arguments, 1));
  ASSIGN_OR_RETURN(int32_t adjacent, shard_word(arguments, 2));
  request.set_shard(shard);
  request.set_adjacent(adjacent);
  Client client(arguments);
  ASSIGN_OR_RETURN(auto response, client.call(&v1::Sluice::Stub::MergeShards, request));
  return print_reshard(arguments, response);
}

}  // namespace

std::vector<Command> stream_commands() {
  std::vector<Option> updating = config_options();
  updating.push_back({"limits", "aws|none|FACTOR",
                      "what a shard takes and gives a second: as at AWS, all, or so many times that"});
  std::vector<Option> creating = {
      {"mode", "partitioned|elastic", "a fixed number of shards (default), or as many as needed"},
      {"durability", "synced|memory",
       "acknowledged once a majority has fsynced (default), or has it in memory; cannot be changed"},
      {"shards", "N", "elastic: shards at the beginning"},
      {"if-missing", "", "success when the stream is there already"}};
  creating.insert(creating.end(), config_options().begin(), config_options().end());
  return {
      {"stream create", {"NAME"}, "Make a stream", creating,
       {"sluice stream create flights --partitions 6 --retention 7d",
        "sluice stream create clicks --mode elastic --min-shards 1 --max-shards 8"}, create},
      {"stream list", {}, "List the streams", {}, {"sluice stream list"}, list},
      {"stream describe", {"NAME"}, "Show a stream's settings and shards", {},
       {"sluice stream describe flights"}, describe},
      {"stream update", {"NAME"}, "Change a stream's settings", updating,
       {"sluice stream update flights --retention 30d",
        "sluice stream update clicks --limits 2.5"}, update},
      {"stream delete", {"NAME"}, "Delete a stream and its records",
       {{"yes", "", "do not ask"}}, {"sluice stream delete flights"}, remove},
      {"shard list", {"STREAM"}, "List a stream's shards", {}, {"sluice shard list clicks"},
       list_shards},
      {"shard split", {"STREAM", "SHARD"}, "Split a shard of an elastic stream",
       {{"into", "N", "so many equal parts (default 2)"},
        {"at", "KEY", "at this hash key, the first of a new shard; may be repeated"}},
       {"sluice shard split clicks 0", "sluice shard split clicks 0 --into 4"}, split},
      {"shard sequence", {"STREAM", "SHARD", "OFFSET"},
       "Say what Kinesis calls the record at an offset", {}, {"sluice shard sequence clicks 0 42"},
       sequence},
      {"shard offset", {"STREAM", "NUMBER"},
       "Say which record a Kinesis sequence number names", {},
       {"sluice shard offset clicks 49039857307708443807749471948204682367702934666847012114"},
       offset_of_sequence},
      {"shard merge", {"STREAM", "SHARD", "ADJACENT"},
       "Merge two shards of an elastic stream whose ranges touch", {},
       {"sluice shard merge clicks 1 2"}, merge},
  };
}

}  // namespace broker::cli
