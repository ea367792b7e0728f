#include "broker/cli/health.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "broker/cli/output.h"
#include "broker/coordination/file_store.h"
#include "broker/coordination/shard_map.h"
#include "operator/api/json.h"

namespace broker::cli {

namespace api = sluice_operator::api;
using Json = nlohmann::json;

namespace {

constexpr const char* kClusterLabel = "sluice.dev/cluster";
using Key = std::pair<std::string, std::string>;  // namespace, name

struct Resources {
  std::map<Key, Json> clusters;
  std::map<Key, std::map<std::string, Json>> streams, maps;  // by cluster, then by resource
};

std::string text_at(const Json& object, const char* pointer) {
  return object.value(Json::json_pointer(pointer), std::string());
}

Resources sorted(const std::vector<Json>& objects) {
  Resources out;
  for (const auto& object : objects) {
    const std::string kind = object.value("kind", std::string());
    const std::string ns = text_at(object, "/metadata/namespace");
    const std::string name = text_at(object, "/metadata/name");
    if (kind == "StreamCluster") out.clusters[{ns, name}] = object;
    if (kind == "Stream") out.streams[{ns, text_at(object, "/spec/cluster")}][name] = object;
    if (kind == "ShardMap") {
      const auto labels = object.value("/metadata/labels"_json_pointer, Json::object());
      out.maps[{ns, labels.value(kClusterLabel, std::string())}][name] = object;
    }
  }
  return out;
}

void worsen(Mark& mark, Mark to) { mark = std::max(mark, to); }

std::string said(const api::Condition& condition) {
  return condition.type + " " + condition.status + ", " + condition.reason +
         (condition.message.empty() ? "" : ": " + condition.message);
}

// Ready, which is the summary, and what else is not as it should be.
void judge_conditions(const api::StreamCluster& cluster, ClusterHealth& health) {
  const auto& status = cluster.status;
  const auto* ready = api::find_condition(status.conditions, "Ready");
  if (!ready) {
    health.summary = "the operator has not looked at it yet";
    worsen(health.mark, Mark::kBad);
    return;
  }
  health.summary = ready->reason + ": " + ready->message;
  if (ready->status != "True") worsen(health.mark, Mark::kBad);
  if (status.observed_generation < cluster.metadata.generation) {
    health.reasons.push_back("the latest edit has not been looked at yet");
    worsen(health.mark, Mark::kChanging);
  }
  for (const auto& condition : status.conditions) {
    if (condition.type == "Degraded" && condition.status == "True") {
      health.reasons.push_back(said(condition));
      worsen(health.mark, Mark::kBad);
    } else if (condition.type == "Progressing" && condition.status == "True") {
      health.reasons.push_back(said(condition));
      worsen(health.mark, Mark::kChanging);
    } else if (condition.type == "BrokersScaled" && condition.status == "True") {
      health.reasons.push_back(said(condition));
    } else if (condition.type == "Progressing" && condition.reason == "Paused") {
      health.reasons.push_back(said(condition));
    } else if (condition.type != "Ready" && condition.type != "Degraded" &&
               condition.type != "Progressing" && condition.status == "False") {
      health.reasons.push_back(said(condition));
      worsen(health.mark, Mark::kChanging);
    }
  }
  if (cluster.spec.rebalancing.paused) health.reasons.push_back("moves of replicas are paused");
  const auto& proposal = status.rebalance_proposal;
  if (proposal && proposal->state == "Proposed") {
    health.reasons.push_back("a rebalance of " + std::to_string(proposal->moves.size()) +
                             " moves waits for approval: `sluice rebalance`");
  }
}

BrokerHealth broker_health(const api::BrokerState& state, const api::StreamClusterSpec& spec) {
  BrokerHealth out;
  out.id = state.id;
  out.pod = state.pod;
  out.node = state.node;
  out.zone = state.zone;
  out.state = state.state;
  out.ready = state.ready;
  out.leaders = state.leaders;
  out.replicas = state.shards;
  out.bytes = state.bytes;
  out.disk = spec.storage.size;
  const bool moving = state.state == "Draining" || state.state == "Drained" || !state.updated;
  out.mark = !state.ready ? Mark::kBad : moving ? Mark::kChanging : Mark::kGood;
  return out;
}

void judge_shards(const sluice::v1::ShardMap& map, const std::set<int32_t>& ready,
                  StreamHealth& out) {
  out.open = out.closed = 0;
  for (const auto& shard : map.shards()) {
    const bool closed = shard.state() == sluice::v1::SHARD_STATE_CLOSED;
    ++(closed ? out.closed : out.open);
    const auto here = std::count_if(shard.replicas().begin(), shard.replicas().end(),
                                    [&](const auto& r) { return ready.count(r.broker()) > 0; });
    if (here < broker::coordination::copies_of(map, shard)) out.under_replicated.push_back(shard.index());
    if (!shard.has_leader() || !ready.count(shard.leader())) out.leaderless.push_back(shard.index());
  }
  if (!out.leaderless.empty() || !out.under_replicated.empty()) worsen(out.mark, Mark::kBad);
}

StreamHealth stream_health(const std::string& resource, const Json* object, const Json* map,
                           const std::set<int32_t>& ready) {
  StreamHealth out;
  out.name = resource;
  if (object) {
    auto stream = api::read_stream(*object);
    if (!stream.ok()) {
      out.reasons.push_back("cannot be read: " + stream.status().message());
      out.mark = Mark::kBad;
      return out;
    }
    out.name = stream->spec.name;
    out.open = stream->status.open_shards;
    out.closed = stream->status.closed_shards;
    const auto* condition = api::find_condition(stream->status.conditions, "Ready");
    if (!condition) {
      out.reasons.push_back("the operator has not looked at it yet");
      out.mark = Mark::kBad;
    }
    for (const auto& entry : stream->status.conditions) {
      // Scaling is True while a split or merge is under way, the others while all is well.
      if (entry.status != (entry.type == "Scaling" ? "True" : "False")) continue;
      out.reasons.push_back(said(entry));
      worsen(out.mark, entry.type == "Ready" ? Mark::kBad : Mark::kChanging);
    }
  }
  if (map) {
    auto read = coordination::shard_map_from_json(map->value("spec", Json::object()).dump());
    if (read.ok()) {
      if (!read->stream().empty()) out.name = read->stream();
      judge_shards(*read, ready, out);
      if (read->deleting()) out.reasons.push_back("is being deleted");
    } else {
      out.reasons.push_back("its ShardMap cannot be read: " + read.status().message());
      out.mark = Mark::kBad;
    }
  }
  out.internal = out.name.starts_with("__");
  return out;
}

ClusterHealth cluster_health(const Key& key, const Json& object, Resources& resources) {
  ClusterHealth out;
  out.ns = key.first;
  out.name = key.second;
  auto cluster = api::read_stream_cluster(object);
  if (!cluster.ok()) {
    out.mark = Mark::kBad;
    out.summary = "cannot be read: " + cluster.status().message();
    return out;
  }
  out.version = cluster->status.version;
  judge_conditions(*cluster, out);
  std::set<int32_t> ready;
  for (const auto& state : cluster->status.broker_states) {
    out.brokers.push_back(broker_health(state, cluster->spec));
    worsen(out.mark, out.brokers.back().mark);
    if (state.ready) ready.insert(state.id);
  }
  auto& streams = resources.streams[key];
  auto& maps = resources.maps[key];
  std::set<std::string> names;
  for (const auto& [name, stream] : streams) names.insert(name);
  for (const auto& [name, map] : maps) names.insert(name);
  for (const auto& name : names) {
    auto stream = streams.find(name);
    auto map = maps.find(name);
    out.streams.push_back(stream_health(name, stream == streams.end() ? nullptr : &stream->second,
                                        map == maps.end() ? nullptr : &map->second, ready));
    worsen(out.mark, out.streams.back().mark);
  }
  return out;
}

const char* symbol(Mark mark) {
  switch (mark) {  // each three bytes: tables count bytes
    case Mark::kGood: return "✔";
    case Mark::kChanging: return "▲";
    case Mark::kBad: return "✘";
  }
  return "?";
}

std::string list_text(const std::vector<int32_t>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size() && i < 12; ++i) text += " " + std::to_string(numbers[i]);
  return numbers.size() > 12 ? text + " …" : text;
}

std::string size_text(int64_t bytes) {
  char text[32];
  if (bytes < (1 << 20)) {
    std::snprintf(text, sizeof text, "%.0f KiB", static_cast<double>(bytes) / (1 << 10));
  } else if (bytes < (1 << 30)) {
    std::snprintf(text, sizeof text, "%.0f MiB", static_cast<double>(bytes) / (1 << 20));
  } else {
    std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  }
  return text;
}

// The rows of a table as branches; `below` are lines under each row.
std::string branches(const Table& table, const std::vector<std::vector<std::string>>& below,
                     const std::string& indent) {
  std::string rows = table.text(), out;
  size_t at = rows.find('\n') + 1;  // the heading is not shown
  for (size_t i = 0; i < below.size(); ++i) {
    const bool last = i + 1 == below.size();
    const size_t end = rows.find('\n', at);
    std::string row = rows.substr(at, end - at);
    while (!row.empty() && row.back() == ' ') row.pop_back();
    out += indent + (last ? "└─ " : "├─ ") + row + "\n";
    for (const auto& line : below[i]) out += indent + (last ? "   " : "│  ") + "     " + line + "\n";
    at = end + 1;
  }
  return out;
}

std::string brokers_text(const ClusterHealth& cluster) {
  Table table({"", "", "", "", "", "", "", ""});
  for (const auto& broker : cluster.brokers) {
    table.add({symbol(broker.mark), std::to_string(broker.id), broker.pod,
               broker.zone.empty() ? "-" : broker.zone,
               broker.ready ? broker.state : broker.state + ", not ready",
               "leaders " + std::to_string(broker.leaders),
               "replicas " + std::to_string(broker.replicas),
               size_text(broker.bytes) + " of " + broker.disk});
  }
  return branches(table, std::vector<std::vector<std::string>>(cluster.brokers.size()), "│  ");
}

std::string streams_text(const ClusterHealth& cluster) {
  Table table({"", "", "", ""});
  std::vector<std::vector<std::string>> below;
  for (const auto& stream : cluster.streams) {
    std::string troubles;
    if (!stream.leaderless.empty()) troubles += "leaderless:" + list_text(stream.leaderless);
    if (!stream.under_replicated.empty()) {
      troubles += (troubles.empty() ? "" : "; ") + ("under-replicated:" +
                                                    list_text(stream.under_replicated));
    }
    table.add({symbol(stream.mark), stream.name,
               std::to_string(stream.open) + " shards" +
                   (stream.closed ? " and " + std::to_string(stream.closed) + " closed" : ""),
               troubles});
    below.push_back(stream.reasons);
  }
  return branches(table, below, "   ");
}

const char* word(Mark mark) {
  switch (mark) {
    case Mark::kGood: return "Good";
    case Mark::kChanging: return "Changing";
    case Mark::kBad: return "Bad";
  }
  return "?";
}

}  // namespace

bool ClusterHealth::healthy() const { return mark != Mark::kBad; }

std::vector<ClusterHealth> health_of(const std::vector<Json>& objects) {
  Resources resources = sorted(objects);
  std::vector<ClusterHealth> out;
  for (const auto& [key, object] : resources.clusters) {
    out.push_back(cluster_health(key, object, resources));
  }
  return out;
}

void tell_of_operators(const std::vector<Json>& leases, int64_t now_ms,
                       std::vector<ClusterHealth>& clusters) {
  // Its duration, or the time in which a standby takes over one that was given back; and clocks apart.
  constexpr int64_t kHeldMs = 75'000, kGivenBackMs = 20'000;
  int64_t newest_ms = -1;
  for (const auto& lease : leases) {
    std::string renewed = text_at(lease, "/spec/renewTime");
    if (renewed.empty()) continue;
    renewed = renewed.substr(0, renewed.find_first_of(".Z")) + "Z";  // whole seconds will do
    const int64_t at_ms = api::rfc3339_ms(renewed);
    const bool held = !text_at(lease, "/spec/holderIdentity").empty();
    if (now_ms - at_ms < (held ? kHeldMs : kGivenBackMs)) return;
    newest_ms = std::max(newest_ms, at_ms);
  }
  if (newest_ms < 0) return;
  const std::string reason = "NoOperator: none has run since " + api::rfc3339(newest_ms) +
                             ", and what is shown is of that time; brokers go on serving, but no leader is "
                             "elected when one of them fails";
  for (auto& cluster : clusters) {
    cluster.mark = Mark::kBad;
    cluster.reasons.insert(cluster.reasons.begin(), reason);
  }
}

std::string tree_text(const std::vector<ClusterHealth>& clusters) {
  std::string out;
  for (const auto& cluster : clusters) {
    if (!out.empty()) out += "\n";
    out += std::string(symbol(cluster.mark)) + " " + cluster.ns + "/" + cluster.name + "  " +
           cluster.summary + (cluster.version.empty() ? "" : "  (" + cluster.version + ")") + "\n";
    for (const auto& reason : cluster.reasons) out += "│    " + reason + "\n";
    out += "├─ brokers\n" + brokers_text(cluster);
    out += "└─ streams\n" + streams_text(cluster);
  }
  return out;
}

nlohmann::ordered_json to_json(const std::vector<ClusterHealth>& clusters) {
  using Ordered = nlohmann::ordered_json;
  Ordered list = Ordered::array();
  bool healthy = true;
  for (const auto& cluster : clusters) {
    Ordered brokers = Ordered::array(), streams = Ordered::array();
    for (const auto& broker : cluster.brokers) {
      brokers.push_back({{"id", broker.id},
                         {"health", word(broker.mark)},
                         {"pod", broker.pod},
                         {"node", broker.node},
                         {"zone", broker.zone},
                         {"state", broker.state},
                         {"ready", broker.ready},
                         {"leaders", broker.leaders},
                         {"replicas", broker.replicas},
                         {"bytes", broker.bytes},
                         {"disk", broker.disk}});
    }
    for (const auto& stream : cluster.streams) {
      streams.push_back({{"name", stream.name},
                         {"health", word(stream.mark)},
                         {"internal", stream.internal},
                         {"openShards", stream.open},
                         {"closedShards", stream.closed},
                         {"leaderless", stream.leaderless},
                         {"underReplicated", stream.under_replicated},
                         {"reasons", stream.reasons}});
    }
    healthy = healthy && cluster.healthy();
    list.push_back({{"namespace", cluster.ns},
                    {"name", cluster.name},
                    {"health", word(cluster.mark)},
                    {"summary", cluster.summary},
                    {"reasons", cluster.reasons},
                    {"version", cluster.version},
                    {"brokers", std::move(brokers)},
                    {"streams", std::move(streams)}});
  }
  return {{"healthy", healthy}, {"clusters", std::move(list)}};
}

}  // namespace broker::cli
