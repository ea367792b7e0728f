#pragma once
// The network between brokers in virtual time, with the behaviour of broker/link: two connections a
// pair, each in order and without loss until it breaks; silence of a second ends a connection; what
// was under way is lost. Directions can be blocked one by one. Processes attach when they start.
#include <deque>
#include <functional>
#include <map>
#include <set>

#include "broker/partition/partitions.h"
#include "broker/routing/router.h"
#include "tests/sim/trace.h"
#include "tests/support/sim_env.h"

namespace broker::sim {

class Network {
 public:
  // A broker's process as the network sees it.
  struct Endpoint {
    SimExecutor* executor = nullptr;
    replication::Member self;
    std::function<void(BrokerId, const ShardId&, replication::Message)> message;
    std::function<void(const replication::Member&, bool up)> peer;
    std::function<void(const Buffer&, std::function<void(std::string, std::vector<Buffer>)>)>
        request;
  };
  struct Weather {
    int64_t latency_min_us = 50, latency_max_us = 600;
    uint64_t spike_one_in = 0;      // a message takes up to spike_us longer
    int64_t spike_us = 300'000;
    uint64_t duplicate_one_in = 0;  // a replication message comes again, later
    uint64_t reorder_one_in = 0;    // others overtake a replication message
    uint64_t lose_one_in = 0;       // a message is lost, what follows it, and soon its connection
    int64_t bytes_per_s = 0;        // of each connection and direction; 0: as many as there are
  };

  Network(SimWorld& world, Trace& trace) : world_(world), trace_(trace) {}
  Weather weather;

  void attach(int id, Endpoint endpoint);
  // The process is gone. Peers notice at once (its kernel closes) or, after a power loss, by silence.
  void detach(int id, bool power_loss);
  void block(int from, int to, bool blocked);
  bool blocked(int from, int to) const { return blocked_.contains({from, to}); }
  void unblock_all();
  // Every connection between the two ends, at each side at its own time.
  void break_connections(int a, int b);

  // ---- for the processes ----
  void send(int from, BrokerId to, const ShardId& shard, const replication::Message& message);
  std::vector<BrokerId> heard(int id) const;
  void request(int from, BrokerId to, std::string head, std::vector<Buffer> payload,
               routing::RequestTransport::Reply reply);
  uint64_t delivered() const { return delivered_; }
  // Bytes of replication messages that are sent and not read by their process.
  size_t under_way(int from, int to) const;
  uint64_t broken() const { return broken_; }  // connections given up by an end

 private:
  enum class Kind { kHello, kHeartbeat, kReplication, kRequest, kReply, kFin };
  struct Packet {
    Kind kind;
    uint64_t id = 0;  // of a request or its reply
    Buffer body;
    bool again = false;  // the weather's copy
  };
  struct Connection {
    int ends[2];  // the one that dialled, the other
    bool open[2] = {true, true};
    bool hello[2] = {false, false};  // came
    int64_t heard_us[2], arrival_us[2] = {0, 0};
    std::deque<Packet> stalled[2];  // for that end, behind a blocked direction
    size_t under_way[2] = {0, 0};   // to that end: bytes of replication messages
    bool lost[2] = {false, false};  // to that end: a message, so nothing after it arrives
    std::map<uint64_t, routing::RequestTransport::Reply> replies[2];
  };
  struct Peer {
    uint64_t dialled = 0, accepted = 0;
    bool dialling = false, up = false;
    int64_t delay_ms = 0;
    replication::Member member;
    uint64_t best() const { return dialled ? dialled : accepted; }
  };
  struct Process {
    Endpoint endpoint;
    std::map<int, Peer> peers;
  };

  Process* process(int id);
  void dial(int from, int to);
  void dialled(int from, int to);
  void redial(int from, int to);
  void heartbeat(int id);
  void transmit(uint64_t conn, int side, Packet packet);
  void arrive(uint64_t conn, int side, const Packet& packet);
  void break_soon(uint64_t conn);
  void hand_over(uint64_t conn, int side, const Packet& packet);
  void on_packet(uint64_t conn, int side, const Packet& packet);
  void on_hello(uint64_t conn, int side);
  void close(uint64_t conn, int side, bool tell);
  void set_up(Process& process, Peer& peer, const replication::Member& member);
  Connection* find(uint64_t conn);
  int64_t latency_us();

  SimWorld& world_;
  Trace& trace_;
  std::map<int, Process> processes_;
  std::map<uint64_t, Connection> connections_;
  std::set<std::pair<int, int>> blocked_;
  uint64_t next_connection_ = 1, next_request_ = 1, delivered_ = 0, broken_ = 0;
};

// One process's side of it.
class NodeTransport : public partition::PeerTransport, public routing::RequestTransport {
 public:
  NodeTransport(Network& network, int self) : network_(network), self_(self) {}
  void send(BrokerId to, const ShardId& shard, const replication::Message& message) override {
    network_.send(self_, to, shard, message);
  }
  std::vector<BrokerId> heard() const override { return network_.heard(self_); }
  void request(BrokerId to, std::string head, std::vector<Buffer> payload, Reply reply) override {
    network_.request(self_, to, std::move(head), std::move(payload), std::move(reply));
  }

 private:
  Network& network_;
  int self_;
};

}  // namespace broker::sim
