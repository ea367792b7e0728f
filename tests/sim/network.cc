#include "tests/sim/network.h"

#include "broker/replication/core/wire.h"

namespace broker::sim {
namespace {
constexpr int64_t kHeartbeatMs = 200, kSilentUs = 1'000'000, kRedialMs = 100;

Buffer join(std::string head, const std::vector<Buffer>& payload) {
  for (const auto& piece : payload) head += piece.view();
  return Buffer::from_string(std::move(head));
}
}  // namespace

int64_t Network::latency_us() {
  int64_t us = world_.random().between(weather.latency_min_us, weather.latency_max_us);
  if (weather.spike_one_in && world_.random().one_in(weather.spike_one_in)) {
    us += world_.random().between(0, weather.spike_us);
    trace_.count("latency spike");
  }
  return us;
}

Network::Process* Network::process(int id) {
  auto it = processes_.find(id);
  return it == processes_.end() ? nullptr : &it->second;
}

Network::Connection* Network::find(uint64_t conn) {
  auto it = connections_.find(conn);
  return it == connections_.end() ? nullptr : &it->second;
}

void Network::attach(int id, Endpoint endpoint) {
  Process& mine = processes_[id];
  mine.endpoint = std::move(endpoint);
  for (auto& [other, process] : processes_) {
    if (other == id) continue;
    dial(id, other);
    if (!process.peers[id].dialling && !process.peers[id].dialled) dial(other, id);
  }
  heartbeat(id);
}

void Network::detach(int id, bool power_loss) {
  processes_.erase(id);
  for (auto& [conn, c] : connections_) {
    for (int side : {0, 1}) {
      if (c.ends[side] != id || !c.open[side]) continue;
      c.replies[side].clear();
      if (!power_loss) transmit(conn, side, {Kind::kFin});
      c.open[side] = false;
    }
  }
  std::erase_if(connections_, [](const auto& entry) {
    return !entry.second.open[0] && !entry.second.open[1];
  });
}

void Network::block(int from, int to, bool blocked) {
  if (blocked) {
    blocked_.insert({from, to});
    return;
  }
  if (!blocked_.erase({from, to})) return;
  for (auto& [conn, c] : connections_) {
    for (int side : {0, 1}) {
      if (c.ends[side] != to || c.ends[1 - side] != from) continue;
      auto stalled = std::move(c.stalled[side]);
      c.stalled[side].clear();
      for (const auto& packet : stalled) hand_over(conn, side, packet);
    }
  }
}

void Network::unblock_all() {
  auto all = blocked_;
  for (auto [from, to] : all) block(from, to, false);
}

void Network::break_connections(int a, int b) {
  for (auto& [conn, c] : connections_) {
    bool between = (c.ends[0] == a && c.ends[1] == b) || (c.ends[0] == b && c.ends[1] == a);
    if (between) break_soon(conn);
  }
}

void Network::break_soon(uint64_t conn) {
  Connection* c = find(conn);
  for (int side : {0, 1}) {
    if (!c->open[side]) continue;
    Process* p = process(c->ends[side]);
    if (!p) continue;
    p->endpoint.executor->schedule_us(world_.random().between(0, 50'000),
                                      [this, conn, side] { close(conn, side, false); });
  }
}

// ---- connecting ----

void Network::dial(int from, int to) {
  Process* p = process(from);
  if (!p) return;
  Peer& peer = p->peers[to];
  if (peer.dialling || peer.dialled) return;
  peer.dialling = true;
  p->endpoint.executor->schedule_us(2 * latency_us(), [this, from, to] { dialled(from, to); });
}

void Network::dialled(int from, int to) {
  if (!process(to) || blocked(from, to) || blocked(to, from)) return redial(from, to);
  uint64_t id = next_connection_++;
  Connection& c = connections_[id];
  c.ends[0] = from;
  c.ends[1] = to;
  c.heard_us[0] = c.heard_us[1] = world_.now_us();
  transmit(id, 0, {Kind::kHello});
  transmit(id, 1, {Kind::kHello});
}

void Network::redial(int from, int to) {
  Process* p = process(from);
  if (!p) return;
  Peer& peer = p->peers[to];
  peer.dialling = false;
  peer.delay_ms = std::min<int64_t>(std::max(kRedialMs, peer.delay_ms * 2), 1000);
  p->endpoint.executor->schedule_after(peer.delay_ms, [this, from, to] { dial(from, to); });
}

void Network::set_up(Process& process, Peer& peer, const replication::Member& member) {
  if (peer.up && peer.member == member) return;
  if (peer.up) process.endpoint.peer(peer.member, false);
  peer.up = true;
  peer.member = member;
  process.endpoint.peer(member, true);
}

void Network::on_hello(uint64_t conn, int side) {
  Connection* c = find(conn);
  Process* me = process(c->ends[side]);
  Process* other = process(c->ends[1 - side]);
  if (!other) return;
  c->hello[side] = true;
  Peer& peer = me->peers[c->ends[1 - side]];
  uint64_t& slot = side == 0 ? peer.dialled : peer.accepted;
  uint64_t replaced = std::exchange(slot, conn);
  if (side == 0) {
    peer.dialling = false;
    peer.delay_ms = 0;
  }
  if (replaced && replaced != conn) close(replaced, side, true);
  set_up(*me, peer, other->endpoint.self);
}

// As Links::on_closed: what was under way on a lost connection must be asked for again.
void Network::close(uint64_t conn, int side, bool tell) {
  Connection* c = find(conn);
  if (!c || !c->open[side]) return;
  if (tell) transmit(conn, side, {Kind::kFin});
  broken_++;
  c->open[side] = false;
  auto replies = std::move(c->replies[side]);
  c->replies[side].clear();
  const int id = c->ends[side], other = c->ends[1 - side];
  const bool met = c->hello[side];
  if (!c->open[1 - side]) connections_.erase(conn);
  Process* me = process(id);
  if (!me) return;
  Peer& peer = me->peers[other];
  if (peer.dialled == conn || (side == 0 && !met)) {
    peer.dialled = 0;
    redial(id, other);
  }
  if (peer.accepted == conn) peer.accepted = 0;
  if (met && peer.up) {
    // A connection that another one has replaced took what was under way with it, too.
    me->endpoint.peer(peer.member, false);
    if (peer.best()) {
      me->endpoint.peer(peer.member, true);
    } else {
      peer.up = false;
    }
  }
  for (auto& [request, reply] : replies) {
    reply(Status(Code::kTimeout, "the connection to the leader broke; the outcome is unknown"));
  }
}

void Network::heartbeat(int id) {
  Process* me = process(id);
  if (!me) return;
  std::vector<std::pair<uint64_t, int>> silent;
  for (auto& [conn, c] : connections_) {
    for (int side : {0, 1}) {
      if (c.ends[side] != id || !c.open[side]) continue;
      if (world_.now_us() - c.heard_us[side] > kSilentUs) {
        silent.emplace_back(conn, side);
      } else {
        transmit(conn, side, {Kind::kHeartbeat});
      }
    }
  }
  for (auto [conn, side] : silent) close(conn, side, true);
  me->endpoint.executor->schedule_after(kHeartbeatMs, [this, id] { heartbeat(id); });
}

// ---- packets ----

void Network::transmit(uint64_t conn, int side, Packet packet) {
  Connection* c = find(conn);
  if (!c || !c->open[side]) return;
  int to = 1 - side;
  if (c->lost[to]) return;
  if (weather.lose_one_in && packet.kind != Kind::kFin &&
      world_.random().one_in(weather.lose_one_in)) {
    trace_.count("message lost");
    c->lost[to] = true;
    return break_soon(conn);
  }
  int64_t at = std::max(c->arrival_us[to], world_.now_us() + latency_us());
  if (weather.bytes_per_s > 0) {
    at += static_cast<int64_t>(packet.body.size()) * 1'000'000 / weather.bytes_per_s;
  }
  c->arrival_us[to] = at;
  bool again = packet.kind == Kind::kReplication && weather.duplicate_one_in &&
               world_.random().one_in(weather.duplicate_one_in);
  if (again) {
    trace_.count("message duplicated");
    Packet copy = packet;
    copy.again = true;
    world_.schedule(at - world_.now_us() + world_.random().between(0, 100'000),
                    [this, conn, to, copy] { arrive(conn, to, copy); });
  }
  if (packet.kind == Kind::kReplication && weather.reorder_one_in &&
      world_.random().one_in(weather.reorder_one_in)) {
    trace_.count("message overtaken");
    at += world_.random().between(0, 100'000);
  }
  if (packet.kind == Kind::kReplication) c->under_way[to] += packet.body.size();
  world_.schedule(at - world_.now_us(),
                  [this, conn, to, packet = std::move(packet)] { arrive(conn, to, packet); });
}

void Network::arrive(uint64_t conn, int side, const Packet& packet) {
  Connection* c = find(conn);
  if (!c) return;
  if (blocked(c->ends[1 - side], c->ends[side])) {
    c->stalled[side].push_back(packet);
    return;
  }
  hand_over(conn, side, packet);
}

void Network::hand_over(uint64_t conn, int side, const Packet& packet) {
  Connection* c = find(conn);
  if (!c || !c->open[side]) return;
  Process* p = process(c->ends[side]);
  if (!p) return;
  p->endpoint.executor->schedule_us(0, [this, conn, side, packet] { on_packet(conn, side, packet); });
}

void Network::on_packet(uint64_t conn, int side, const Packet& packet) {
  Connection* c = find(conn);
  if (!c || !c->open[side]) return;
  c->heard_us[side] = world_.now_us();
  delivered_++;
  trace_.mix(static_cast<uint64_t>(world_.now_us()) * 64 + static_cast<uint64_t>(packet.kind));
  trace_.mix(static_cast<uint64_t>(c->ends[0] * 64 + c->ends[1] * 2 + side) << 32 |
             packet.body.size());
  Process* me = process(c->ends[side]);
  const BrokerId from{c->ends[1 - side]};
  switch (packet.kind) {
    case Kind::kHello: on_hello(conn, side); break;
    case Kind::kHeartbeat: break;
    case Kind::kFin: close(conn, side, false); break;
    case Kind::kReplication: {
      if (!packet.again) c->under_way[side] -= packet.body.size();
      auto decoded = replication::decode_message(packet.body);
      if (!decoded.ok()) {
        check_failed("network", 0, "broker " + std::to_string(from.value) + " sent to broker " +
                                       std::to_string(c->ends[side]) + ": " +
                                       decoded.status().to_string());
      }
      me->endpoint.message(from, decoded->shard, std::move(decoded->message));
      break;
    }
    case Kind::kRequest:
      me->endpoint.request(packet.body, [this, conn, side, id = packet.id](
                                            std::string head, std::vector<Buffer> payload) {
        transmit(conn, side, {Kind::kReply, id, join(std::move(head), payload)});
      });
      break;
    case Kind::kReply: {
      auto waiting = c->replies[side].find(packet.id);
      if (waiting == c->replies[side].end()) break;
      auto reply = std::move(waiting->second);
      c->replies[side].erase(waiting);
      reply(packet.body);
      break;
    }
  }
}

void Network::send(int from, BrokerId to, const ShardId& shard,
                   const replication::Message& message) {
  Process* p = process(from);
  if (!p) return;
  auto peer = p->peers.find(to.value);
  if (peer == p->peers.end() || !peer->second.best()) return;
  uint64_t conn = peer->second.best();
  Connection* c = find(conn);
  std::string head;
  std::vector<Buffer> payload;
  replication::encode_message(shard, message, head, payload);
  transmit(conn, c->ends[0] == from ? 0 : 1, {Kind::kReplication, 0, join(std::move(head), payload)});
}

size_t Network::under_way(int from, int to) const {
  size_t bytes = 0;
  for (const auto& [conn, c] : connections_) {
    for (int side : {0, 1}) {
      if (c.ends[side] == to && c.ends[1 - side] == from && c.open[side]) {
        bytes += c.under_way[side];
      }
    }
  }
  return bytes;
}

std::vector<BrokerId> Network::heard(int id) const {
  std::vector<BrokerId> up;
  auto p = processes_.find(id);
  if (p == processes_.end()) return up;
  for (const auto& [other, peer] : p->second.peers) {
    if (peer.up) up.push_back(BrokerId{other});
  }
  return up;
}

void Network::request(int from, BrokerId to, std::string head, std::vector<Buffer> payload,
                      routing::RequestTransport::Reply reply) {
  Process* p = process(from);
  uint64_t conn = p ? p->peers[to.value].best() : 0;
  Connection* c = find(conn);
  if (!c) {
    reply(Status(Code::kUnavailable, "no connection to broker " + std::to_string(to.value)));
    return;
  }
  int side = c->ends[0] == from ? 0 : 1;
  uint64_t id = next_request_++;
  c->replies[side].emplace(id, std::move(reply));
  transmit(conn, side, {Kind::kRequest, id, join(std::move(head), payload)});
}

}  // namespace broker::sim
