// `sluice cluster status`: who is there, who leads what, what is not as it should be.
#include <map>

#include <nlohmann/json.hpp>

#include "broker/cli/client.h"
#include "broker/cli/commands.h"
#include "broker/cli/output.h"

namespace broker::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Census {
  std::map<int32_t, int> leaders, replicas;
  std::vector<std::string> leaderless, under_replicated;  // "stream/shard"
};

void count_shard(const std::string& name, const v1::Shard& shard,
                 const std::map<int32_t, v1::Broker>& brokers, Census& census) {
  auto alive = [&](int32_t id) {
    auto it = brokers.find(id);
    return it != brokers.end() && it->second.alive();
  };
  bool complete = true;
  for (const auto& replica : shard.replicas()) {
    ++census.replicas[replica.broker()];
    complete = complete && alive(replica.broker());
  }
  if (!complete) census.under_replicated.push_back(name);
  if (!shard.has_leader() || !alive(shard.leader())) census.leaderless.push_back(name);
  if (shard.has_leader()) ++census.leaders[shard.leader()];
}

std::string state_of(const v1::Broker& broker) {
  if (!broker.alive()) return "down";
  return broker.draining() ? "draining" : "up";
}

void print_table(const v1::DescribeClusterResponse& cluster, const Census& census, int streams) {
  Table table({"BROKER", "STATE", "ZONE", "LEADERS", "REPLICAS", "ADDRESS", "VERSION"});
  auto count = [](const std::map<int32_t, int>& counts, int32_t id) {
    auto it = counts.find(id);
    return std::to_string(it == counts.end() ? 0 : it->second);
  };
  for (const auto& broker : cluster.brokers()) {
    table.add({std::to_string(broker.id()), state_of(broker),
               broker.zone().empty() ? "-" : broker.zone(), count(census.leaders, broker.id()),
               count(census.replicas, broker.id()),
               broker.grpc().host() + ":" + std::to_string(broker.grpc().port()),
               broker.version()});
  }
  std::string text = "cluster " + cluster.cluster_id() + ", answered by broker " +
                     std::to_string(cluster.answered_by()) + "\n\n" + table.text() + "\n" +
                     std::to_string(streams) + " streams";
  auto say = [&](const char* what, const std::vector<std::string>& shards) {
    if (shards.empty()) return;
    text += "\n" + std::to_string(shards.size()) + " shards " + what + ":";
    for (size_t i = 0; i < shards.size() && i < 20; ++i) text += " " + shards[i];
    if (shards.size() > 20) text += " …";
  };
  say("without a leader", census.leaderless);
  say("with a replica on a broker that is down", census.under_replicated);
  if (census.leaderless.empty() && census.under_replicated.empty()) {
    text += ", every shard has its leader and all its replicas";
  }
  print(text + "\n");
}

void print_as_json(const v1::DescribeClusterResponse& cluster, Census& census, int streams) {
  Json brokers = Json::array();
  for (const auto& broker : cluster.brokers()) {
    brokers.push_back({{"id", broker.id()},
                       {"state", state_of(broker)},
                       {"alive", broker.alive()},
                       {"draining", broker.draining()},
                       {"zone", broker.zone()},
                       {"leaders", census.leaders[broker.id()]},
                       {"replicas", census.replicas[broker.id()]},
                       {"grpc", broker.grpc().host() + ":" + std::to_string(broker.grpc().port())},
                       {"kafka",
                        broker.kafka().host() + ":" + std::to_string(broker.kafka().port())},
                       {"version", broker.version()}});
  }
  print_json({{"clusterId", cluster.cluster_id()},
              {"answeredBy", cluster.answered_by()},
              {"brokers", std::move(brokers)},
              {"streams", streams},
              {"leaderlessShards", census.leaderless},
              {"underReplicatedShards", census.under_replicated}});
}

Result<int> status(const Arguments& arguments) {
  Client client(arguments);
  ASSIGN_OR_RETURN(auto cluster, client.call(&v1::Sluice::Stub::DescribeCluster,
                                             v1::DescribeClusterRequest()));
  ASSIGN_OR_RETURN(auto streams, client.call(&v1::Sluice::Stub::ListStreams,
                                             v1::ListStreamsRequest()));
  std::map<int32_t, v1::Broker> brokers;
  for (const auto& broker : cluster.brokers()) brokers[broker.id()] = broker;
  Census census;
  for (const auto& summary : streams.streams()) {
    v1::DescribeStreamRequest request;
    request.set_name(summary.name());
    auto stream = client.call(&v1::Sluice::Stub::DescribeStream, request);
    if (stream.code() == Code::kNotFound) continue;  // deleted meanwhile
    if (!stream.ok()) return stream.status();
    for (const auto& info : stream->shards()) {
      count_shard(summary.name() + "/" + std::to_string(info.shard().index()), info.shard(),
                  brokers, census);
    }
  }
  if (arguments.json()) print_as_json(cluster, census, streams.streams_size());
  else print_table(cluster, census, streams.streams_size());
  return 0;
}

}  // namespace

std::vector<Command> cluster_commands() {
  return {{"cluster status",
           {},
           "Show brokers, and shards that lack a leader or a replica",
           {},
           {"sluice cluster status", "sluice cluster status -o json"},
           status}};
}

}  // namespace broker::cli
