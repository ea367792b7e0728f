// `sluice group …`: consumer groups of both protocols, their members, offsets and lag.
#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "broker/cli/client.h"
#include "broker/cli/commands.h"
#include "broker/cli/kafka_door.h"
#include "broker/cli/output.h"
#include "broker/groups/core/consumer_protocol.h"
#include "broker/protocol/kafka/messages/consumer_group_describe.h"
#include "broker/protocol/kafka/messages/delete_groups.h"
#include "broker/protocol/kafka/messages/describe_groups.h"
#include "broker/protocol/kafka/messages/find_coordinator.h"
#include "broker/protocol/kafka/messages/list_groups.h"
#include "broker/protocol/kafka/messages/offset_commit.h"
#include "broker/protocol/kafka/messages/offset_fetch.h"

namespace broker::cli {

namespace {

using Json = nlohmann::ordered_json;
using wire::Error;

constexpr int64_t kPatienceMs = 15'000;  // a coordinator may be starting or moving

bool is_passing(int16_t error) {
  return error == wire::wire(Error::kCoordinatorNotAvailable) ||
         error == wire::wire(Error::kCoordinatorLoadInProgress) ||
         error == wire::wire(Error::kNotCoordinator);
}

class GroupClient {
 public:
  explicit GroupClient(const Arguments& arguments) : grpc_(arguments), kafka_(arguments) {}

  Client& grpc() { return grpc_; }
  KafkaDoor& kafka() { return kafka_; }

  Result<std::vector<v1::Broker>> brokers() {
    ASSIGN_OR_RETURN(auto cluster, grpc_.call(&v1::Sluice::Stub::DescribeCluster,
                                              v1::DescribeClusterRequest()));
    std::vector<v1::Broker> up;
    for (const auto& broker : cluster.brokers()) {
      if (broker.alive()) up.push_back(broker);
    }
    if (up.empty()) return Status(Code::kUnavailable, "no broker is up");
    return up;
  }

  // Asks the group's coordinator; `error_of` finds the answer's error. Looks again while there is
  // none, or it is just taking over.
  template <class Response, class Request, class ErrorOf>
  Result<Response> ask(const std::string& group, int16_t version, const Request& request,
                       ErrorOf error_of) {
    int64_t give_up_ms = mono_ms() + kPatienceMs;
    while (true) {
      auto coordinator = find(group);
      if (coordinator.ok()) {
        auto answer = kafka_.call<Response>(*coordinator, version, request);
        if (!answer.ok()) return answer.status();
        if (!is_passing(error_of(*answer)) || mono_ms() > give_up_ms) return answer;
      } else if (coordinator.code() != Code::kUnavailable || mono_ms() > give_up_ms) {
        return coordinator.status();
      }
      sleep_ms(200);
    }
  }

 private:
  Result<v1::Endpoint> find(const std::string& group) {
    ASSIGN_OR_RETURN(auto up, brokers());
    wire::FindCoordinatorRequest request;
    request.coordinator_keys = {group};
    ASSIGN_OR_RETURN(auto answer, kafka_.call<wire::FindCoordinatorResponse>(up.front().kafka(), 4,
                                                                            request));
    if (answer.coordinators.empty()) return Status(Code::kInternal, "an answer without a group");
    const auto& found = answer.coordinators.front();
    std::string detail = found.error_message.value_or("");
    if (is_passing(found.error_code)) {
      return Status(Code::kUnavailable, "group '" + group + "' has no coordinator now: " + detail);
    }
    RETURN_IF_ERROR(kafka_status(found.error_code, "group '" + group + "'", detail));
    v1::Endpoint endpoint;
    endpoint.set_host(found.host);
    endpoint.set_port(found.port);
    return endpoint;
  }

  Client grpc_;
  KafkaDoor kafka_;
};

// --- list ------------------------------------------------------------------------------------------

Result<int> list(const Arguments& arguments) {
  GroupClient client(arguments);
  ASSIGN_OR_RETURN(auto brokers, client.brokers());
  Table table({"GROUP", "TYPE", "STATE", "PROTOCOL", "COORDINATOR"});
  Json json = Json::array();
  for (const auto& broker : brokers) {
    ASSIGN_OR_RETURN(auto answer, client.kafka().call<wire::ListGroupsResponse>(
                                      broker.kafka(), 5, wire::ListGroupsRequest()));
    RETURN_IF_ERROR(kafka_status(answer.error_code, "broker " + std::to_string(broker.id())));
    for (const auto& group : answer.groups) {
      table.add({group.group_id, group.group_type, group.group_state,
                 group.protocol_type.empty() ? "-" : group.protocol_type,
                 std::to_string(broker.id())});
      json.push_back({{"group", group.group_id},
                      {"type", group.group_type},
                      {"state", group.group_state},
                      {"protocolType", group.protocol_type},
                      {"coordinator", broker.id()}});
    }
  }
  if (arguments.json()) print_json(json);
  else print(table.text());
  return 0;
}

// --- describe --------------------------------------------------------------------------------------

struct Member {
  std::string id, client, host, instance;
  std::map<std::string, std::set<int32_t>> reads;
};

struct Group {
  std::string name, type, state, assignor;
  std::vector<Member> members;
  struct Offset {
    std::string stream;
    int32_t shard;
    int64_t committed;
    std::optional<int64_t> end;
    std::string member;
  };
  std::vector<Offset> offsets;
};

void take(const wire::ConsumerGroupDescribeResponse::Group& from, Group& group) {
  group.type = "consumer";
  group.state = from.group_state;
  group.assignor = from.assignor_name;
  for (const auto& m : from.members) {
    Member& member = group.members.emplace_back();
    member = {m.member_id, m.client_id, m.client_host, m.instance_id.value_or(""), {}};
    for (const auto& topic : m.assignment.topic_partitions) {
      member.reads[topic.topic_name].insert(topic.partitions.begin(), topic.partitions.end());
    }
  }
}

void take(const wire::DescribeGroupsResponse::Group& from, Group& group) {
  group.type = "classic";
  group.state = from.group_state;
  group.assignor = from.protocol_data;
  for (const auto& m : from.members) {
    Member& member = group.members.emplace_back();
    member = {m.member_id, m.client_id, m.client_host, m.group_instance_id.value_or(""), {}};
    auto reads = groups::parse_assignment(m.member_assignment);
    if (from.protocol_type == groups::kConsumerProtocolType && reads.ok()) member.reads = *reads;
  }
}

Status describe_members(GroupClient& client, Group& group) {
  wire::ConsumerGroupDescribeRequest fresh;
  fresh.group_ids = {group.name};
  auto error_of = [](const auto& answer) {
    return answer.groups.empty() ? int16_t{0} : answer.groups.front().error_code;
  };
  ASSIGN_OR_RETURN(auto consumer, client.ask<wire::ConsumerGroupDescribeResponse>(
                                      group.name, 1, fresh, error_of));
  if (!consumer.groups.empty() && consumer.groups.front().error_code == 0) {
    take(consumer.groups.front(), group);
    return {};
  }
  wire::DescribeGroupsRequest classic;
  classic.groups = {group.name};
  ASSIGN_OR_RETURN(auto answer, client.ask<wire::DescribeGroupsResponse>(group.name, 6, classic,
                                                                        error_of));
  if (answer.groups.empty()) return Status(Code::kInternal, "an answer without a group");
  const auto& found = answer.groups.front();
  RETURN_IF_ERROR(kafka_status(found.error_code, "group '" + group.name + "'",
                               found.error_message.value_or("")));
  take(found, group);
  return {};
}

// Ends of a stream's shards; nothing for one that is gone or cannot be asked now.
std::map<int32_t, v1::ShardInfo> shards_of(GroupClient& client, const std::string& stream) {
  std::map<int32_t, v1::ShardInfo> out;
  v1::DescribeStreamRequest request;
  request.set_name(stream);
  auto described = client.grpc().call(&v1::Sluice::Stub::DescribeStream, request);
  if (!described.ok()) return out;
  for (const auto& info : described->shards()) out[info.shard().index()] = info;
  return out;
}

Status describe_offsets(GroupClient& client, Group& group) {
  wire::OffsetFetchRequest request;
  request.groups.emplace_back().group_id = group.name;
  ASSIGN_OR_RETURN(auto answer, client.ask<wire::OffsetFetchResponse>(
                                    group.name, 8, request, [](const auto& a) {
                                      return a.groups.empty() ? int16_t{0}
                                                              : a.groups.front().error_code;
                                    }));
  if (answer.groups.empty()) return Status(Code::kInternal, "an answer without a group");
  RETURN_IF_ERROR(kafka_status(answer.groups.front().error_code, "offsets of '" + group.name + "'"));
  for (const auto& topic : answer.groups.front().topics) {
    auto shards = shards_of(client, topic.name);
    for (const auto& partition : topic.partitions) {
      auto& offset = group.offsets.emplace_back();
      offset = {topic.name, partition.partition_index, partition.committed_offset, {}, ""};
      auto shard = shards.find(partition.partition_index);
      if (shard != shards.end() && shard->second.has_high_watermark()) {
        offset.end = shard->second.high_watermark();
      }
      for (const auto& member : group.members) {
        auto reads = member.reads.find(topic.name);
        if (reads != member.reads.end() && reads->second.count(partition.partition_index)) {
          offset.member = member.id;
        }
      }
    }
  }
  return {};
}

int64_t lag_of(const Group::Offset& offset) {
  return std::max<int64_t>(*offset.end - offset.committed, 0);
}

void print_table(const Group& group) {
  std::string text = "group " + group.name + ": " + group.state + ", " + group.type +
                     (group.assignor.empty() ? "" : ", " + group.assignor) + "\n";
  if (!group.members.empty()) {
    Table members({"MEMBER", "CLIENT", "HOST", "INSTANCE", "SHARDS"});
    for (const auto& member : group.members) {
      std::string reads;
      for (const auto& [stream, shards] : member.reads) {
        for (int32_t shard : shards) {
          reads += (reads.empty() ? "" : " ") + stream + "/" + std::to_string(shard);
        }
      }
      members.add({member.id, member.client, member.host,
                   member.instance.empty() ? "-" : member.instance, reads.empty() ? "-" : reads});
    }
    text += "\n" + members.text();
  }
  if (!group.offsets.empty()) {
    Table offsets({"STREAM", "SHARD", "COMMITTED", "END", "LAG", "MEMBER"});
    for (const auto& o : group.offsets) {
      offsets.add({o.stream, std::to_string(o.shard), std::to_string(o.committed),
                   o.end ? std::to_string(*o.end) : "-",
                   o.end ? std::to_string(lag_of(o)) : "-", o.member.empty() ? "-" : o.member});
    }
    text += "\n" + offsets.text();
  }
  print(text);
}

void print_as_json(const Group& group) {
  Json members = Json::array(), offsets = Json::array();
  for (const auto& member : group.members) {
    Json reads = Json::object();
    for (const auto& [stream, shards] : member.reads) reads[stream] = shards;
    members.push_back({{"id", member.id},
                       {"client", member.client},
                       {"host", member.host},
                       {"instance", member.instance},
                       {"shards", std::move(reads)}});
  }
  for (const auto& o : group.offsets) {
    Json entry{{"stream", o.stream}, {"shard", o.shard}, {"committed", o.committed}};
    if (o.end) {
      entry["end"] = *o.end;
      entry["lag"] = lag_of(o);
    }
    entry["member"] = o.member;
    offsets.push_back(std::move(entry));
  }
  print_json({{"group", group.name},
              {"type", group.type},
              {"state", group.state},
              {"assignor", group.assignor},
              {"members", std::move(members)},
              {"offsets", std::move(offsets)}});
}

Result<int> describe(const Arguments& arguments) {
  GroupClient client(arguments);
  Group group;
  group.name = arguments.word(0);
  RETURN_IF_ERROR(describe_members(client, group));
  RETURN_IF_ERROR(describe_offsets(client, group));
  if (arguments.json()) print_as_json(group);
  else print_table(group);
  return 0;
}

// --- delete, reset-offsets ---------------------------------------------------------------------------

Result<int> remove(const Arguments& arguments) {
  GroupClient client(arguments);
  const std::string& group = arguments.word(0);
  wire::DeleteGroupsRequest request;
  request.groups_names = {group};
  ASSIGN_OR_RETURN(auto answer,
                   client.ask<wire::DeleteGroupsResponse>(group, 2, request, [](const auto& a) {
                     return a.results.empty() ? int16_t{0} : a.results.front().error_code;
                   }));
  if (answer.results.empty()) return Status(Code::kInternal, "an answer without a group");
  RETURN_IF_ERROR(kafka_status(answer.results.front().error_code, "group '" + group + "'"));
  print("group " + group + " deleted\n");
  return 0;
}

// Where a shard's offset goes: to a number, or to one of the shard's ends.
Result<int64_t> offset_for(const std::string& to, const v1::ShardInfo& info) {
  std::string shard = "shard " + std::to_string(info.shard().index());
  if (!info.has_log_start() || !info.has_high_watermark()) {
    return Status(Code::kUnavailable, shard + " has no leader that could be asked now");
  }
  if (to == "earliest") return info.log_start();
  if (to == "latest") return info.high_watermark();
  int64_t offset = 0;
  auto [end, error] = std::from_chars(to.data(), to.data() + to.size(), offset);
  if (error != std::errc() || end != to.data() + to.size() || offset < 0) {
    return Status(Code::kInvalidArgument, "--to is earliest, latest or an offset, not '" + to + "'");
  }
  return std::clamp<int64_t>(offset, info.log_start(), info.high_watermark());
}

Result<int> reset_offsets(const Arguments& arguments) {
  GroupClient client(arguments);
  const std::string& group = arguments.word(0);
  std::string stream = arguments.get("stream"), to = arguments.get("to");
  if (stream.empty()) return Status(Code::kInvalidArgument, "--stream NAME is required");
  if (to.empty()) return Status(Code::kInvalidArgument, "--to earliest|latest|OFFSET is required");
  ASSIGN_OR_RETURN(int64_t only, arguments.number("shard", -1, 0, INT32_MAX));
  v1::DescribeStreamRequest which;
  which.set_name(stream);
  ASSIGN_OR_RETURN(auto described, client.grpc().call(&v1::Sluice::Stub::DescribeStream, which));
  wire::OffsetCommitRequest request;
  request.group_id = group;
  auto& topic = request.topics.emplace_back();
  topic.name = stream;
  Table table({"STREAM", "SHARD", "OFFSET"});
  for (const auto& info : described.shards()) {
    if (only >= 0 && info.shard().index() != only) continue;
    ASSIGN_OR_RETURN(int64_t offset, offset_for(to, info));
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = info.shard().index();
    partition.committed_offset = offset;
    partition.committed_metadata = "";
    table.add({stream, std::to_string(info.shard().index()), std::to_string(offset)});
  }
  if (topic.partitions.empty()) {
    return Status(Code::kNotFound, "stream '" + stream + "' has no shard " + std::to_string(only));
  }
  if (!arguments.has("dry-run")) {
    auto error_of = [](const wire::OffsetCommitResponse& answer) {
      for (const auto& t : answer.topics) {
        for (const auto& p : t.partitions) {
          if (p.error_code != 0) return p.error_code;
        }
      }
      return int16_t{0};
    };
    ASSIGN_OR_RETURN(auto answer,
                     client.ask<wire::OffsetCommitResponse>(group, 9, request, error_of));
    int16_t error = error_of(answer);
    bool busy = error == wire::wire(Error::kUnknownMemberId);
    RETURN_IF_ERROR(kafka_status(error, "group '" + group + "'",
                                 busy ? "it has members; stop them first" : ""));
  }
  print(table.text());
  return 0;
}

}  // namespace

std::vector<Command> group_commands() {
  return {
      {"group list",
       {},
       "List consumer groups",
       {},
       {"sluice group list", "sluice group list -o json"},
       list},
      {"group describe",
       {"GROUP"},
       "Show a group's members, offsets and lag",
       {},
       {"sluice group describe orders-billing"},
       describe},
      {"group delete",
       {"GROUP"},
       "Delete a group without members, and its offsets",
       {},
       {"sluice group delete orders-billing"},
       remove},
      {"group reset-offsets",
       {"GROUP"},
       "Move the offsets of a group without members",
       {{"stream", "NAME", "of which stream (required)"},
        {"shard", "N", "of this shard only"},
        {"to", "WHERE", "earliest, latest, or an offset (required)"},
        {"dry-run", "", "show the offsets and change nothing"}},
       {"sluice group reset-offsets orders-billing --stream orders --to earliest"},
       reset_offsets},
  };
}

}  // namespace broker::cli
