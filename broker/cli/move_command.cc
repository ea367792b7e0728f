// `sluice move`: one shard's copy or its leader, by the coordinator, through any broker. On Kubernetes
// the broker is reached through kubectl's port-forward, so nothing has to be exposed.
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "broker/cli/client.h"
#include "broker/cli/cluster_resource.h"
#include "broker/cli/commands.h"
#include "broker/cli/output.h"
#include "broker/cli/units.h"

namespace broker::cli {

namespace {

constexpr int kGrpcPort = 9090;

std::string list_text(const std::vector<int32_t>& brokers) {
  std::string text;
  for (int32_t id : brokers) text += (text.empty() ? "" : ", ") + std::to_string(id);
  return text;
}

bool holds(const std::vector<int32_t>& brokers, int32_t id) {
  return std::find(brokers.begin(), brokers.end(), id) != brokers.end();
}

// What the options ask for: the shard's brokers, the wanted leader first.
struct Wish {
  std::vector<int32_t> brokers;
  bool elect = false;
};

Result<Wish> wish_of(const Arguments& arguments, const std::vector<int32_t>& replicas) {
  ASSIGN_OR_RETURN(int64_t from, arguments.number("from", -1, 0, INT32_MAX));
  ASSIGN_OR_RETURN(int64_t to, arguments.number("to", -1, 0, INT32_MAX));
  ASSIGN_OR_RETURN(int64_t leader, arguments.number("leader", -1, 0, INT32_MAX));
  Wish wish{replicas, leader >= 0};
  if (arguments.has("automatic")) {
    if (from >= 0 || to >= 0 || leader >= 0) {
      return Status(Code::kInvalidArgument, "--automatic goes alone");
    }
    return Wish{};
  }
  if (to < 0 && leader < 0) {
    return Status(Code::kInvalidArgument,
                  "give --from A --to B, --leader B, or --automatic; see `sluice move --help`");
  }
  if ((from >= 0) != (to >= 0)) {
    return Status(Code::kInvalidArgument, "--from and --to go together: a copy moves from one "
                                          "broker to another");
  }
  if (to >= 0) {
    auto at = std::find(wish.brokers.begin(), wish.brokers.end(), static_cast<int32_t>(from));
    if (at == wish.brokers.end()) {
      return Status(Code::kInvalidArgument, "--from " + std::to_string(from) +
                                                ": the shard is on brokers " + list_text(replicas));
    }
    if (holds(replicas, static_cast<int32_t>(to))) {
      return Status(Code::kInvalidArgument,
                    "--to " + std::to_string(to) + ": that broker holds a copy already");
    }
    *at = static_cast<int32_t>(to);
  }
  if (leader >= 0) {
    if (!holds(wish.brokers, static_cast<int32_t>(leader))) {
      return Status(Code::kInvalidArgument, "--leader " + std::to_string(leader) +
                                                ": that broker holds no copy (they are on " +
                                                list_text(wish.brokers) + "); give --from and --to, too");
    }
    std::erase(wish.brokers, static_cast<int32_t>(leader));
    wish.brokers.insert(wish.brokers.begin(), static_cast<int32_t>(leader));
  }
  return wish;
}

class Move {
 public:
  Move(const Arguments& arguments, Client client, int32_t shard)
      : arguments_(arguments), client_(std::move(client)), stream_(arguments.word(0)),
        shard_(shard) {}

  Result<v1::Shard> look() {
    v1::DescribeStreamRequest request;
    request.set_name(stream_);
    ASSIGN_OR_RETURN(auto stream, client_.call(&v1::Sluice::Stub::DescribeStream, request));
    for (const auto& info : stream.shards()) {
      if (info.shard().index() == shard_) return info.shard();
    }
    return Status(Code::kNotFound,
                  "stream '" + stream_ + "' has no shard " + std::to_string(shard_));
  }

  static std::vector<int32_t> brokers_of(const v1::Shard& shard) {
    std::vector<int32_t> out;
    for (const auto& replica : shard.replicas()) out.push_back(replica.broker());
    return out;
  }

  Status place(const Wish& wish, bool elect) {
    v1::PlaceShardRequest request;
    request.set_stream(stream_);
    request.set_shard(shard_);
    for (int32_t id : wish.brokers) request.add_brokers(id);
    request.set_elect(elect);
    return client_.call(&v1::Sluice::Stub::PlaceShard, request).status();
  }

  // Until the shard is where it is wanted, and then led as wanted.
  Status settle(const Wish& wish) {
    ASSIGN_OR_RETURN(int64_t timeout_ms, arguments_.duration_ms("timeout", 3'600'000));
    const int64_t deadline_ms = mono_ms() + timeout_ms;
    std::string shown;
    while (true) {
      ASSIGN_OR_RETURN(v1::Shard shard, look());
      const bool placed = arrived(shard, wish);
      const bool led = !wish.elect || (shard.has_leader() && shard.leader() == wish.brokers[0]);
      std::string line = line_of(shard);
      if (line != shown && !arguments_.json()) print(line + "\n");
      shown = line;
      if (placed && led) return {};
      Status refused = placed && !led ? place(wish, true) : Status();
      // Right behind a move the new copy is not in sync for a moment.
      if (!refused.ok() && refused.code() != Code::kUnavailable && refused.code() != Code::kTimeout) {
        return refused;
      }
      if (mono_ms() >= deadline_ms) {
        return Status(Code::kTimeout, "not done after " + std::to_string(timeout_ms / 1000) +
                                          " s; it goes on: " + line);
      }
      sleep_ms(200);
    }
  }

  Result<int> tell(const Wish& wish) {
    ASSIGN_OR_RETURN(v1::Shard shard, look());
    if (arguments_.json()) {
      print_json({{"stream", stream_},
                  {"shard", shard_},
                  {"brokers", brokers_of(shard)},
                  {"wanted", wish.brokers},
                  {"leader", shard.has_leader() ? shard.leader() : -1}});
    } else if (wish.brokers.empty()) {
      print("the cluster places this shard by itself again\n");
    } else {
      print("this shard stays where it was put; `sluice move " + stream_ + " " +
            std::to_string(shard_) + " --automatic` ends that\n");
    }
    return 0;
  }

 private:
  static bool arrived(const v1::Shard& shard, const Wish& wish) {
    const auto now = brokers_of(shard);
    return shard.next_replicas().empty() && shard.learners().empty() &&
           now.size() == wish.brokers.size() &&
           std::all_of(now.begin(), now.end(), [&](int32_t id) { return holds(wish.brokers, id); });
  }

  std::string line_of(const v1::Shard& shard) const {
    std::string line = stream_ + "/" + std::to_string(shard_) + ": on brokers " +
                       list_text(brokers_of(shard)) + ", led by " +
                       (shard.has_leader() ? std::to_string(shard.leader()) : "nobody");
    if (!shard.learners().empty()) {
      line += "; broker " + std::to_string(shard.learners(0).broker()) + " is being filled";
    }
    return shard.next_replicas().empty() ? line : line + "; changing over";
  }

  const Arguments& arguments_;
  Client client_;
  const std::string stream_;
  const int32_t shard_;
};

Result<int> move_shard(const Arguments& arguments) {
  auto shard = parse_number(arguments.word(1), 0, INT32_MAX);
  if (!shard.ok()) return shard.status().with_context("the shard");
  std::optional<PortForward> tunnel;
  // With --broker (or $SLUICE_BROKER) that one; else some broker of the StreamCluster.
  const bool direct = arguments.has("broker") || std::getenv("SLUICE_BROKER");
  if (!direct) {
    ASSIGN_OR_RETURN(auto resource, ClusterResource::find(arguments));
    const std::string& ns = resource.cluster().metadata.ns;
    ASSIGN_OR_RETURN(auto opened,
                     PortForward::open(resource.kubectl(),
                                       "service/" + resource.cluster().metadata.name, kGrpcPort));
    tunnel.emplace(std::move(opened));
    if (!arguments.json()) {
      print("through " + ns + "/" + resource.cluster().metadata.name + " at " + tunnel->address() +
            "\n");
    }
  }
  Move move(arguments, tunnel ? Client(arguments, tunnel->address()) : Client(arguments),
            static_cast<int32_t>(*shard));
  ASSIGN_OR_RETURN(v1::Shard now, move.look());
  ASSIGN_OR_RETURN(Wish wish, wish_of(arguments, Move::brokers_of(now)));
  RETURN_IF_ERROR(move.place(wish, false));
  if (!wish.brokers.empty() && waits(arguments)) RETURN_IF_ERROR(move.settle(wish));
  return move.tell(wish);
}

}  // namespace

std::vector<Command> move_commands() {
  auto options = cluster_options();
  for (auto option : {Option{"from", "BROKER", "that holds a copy of the shard"},
                      Option{"to", "BROKER", "that is to hold it instead"},
                      Option{"leader", "BROKER", "that holds (or gets) a copy and is to lead"},
                      Option{"automatic", "", "forget where it was wanted: the cluster places it again"}}) {
    options.push_back(std::move(option));
  }
  for (auto& option : waiting_options()) options.push_back(std::move(option));
  return {{"move",
           {"STREAM", "SHARD"},
           "Move a copy of a shard, or its leader, to a broker",
           options,
           {"kubectl sluice move clicks 3 --from 0 --to 4", "kubectl sluice move clicks 3 --leader 2",
            "sluice move clicks 3 --automatic --broker localhost:9090"},
           move_shard}};
}

}  // namespace broker::cli
