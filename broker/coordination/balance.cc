#include "broker/coordination/balance.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace broker::coordination {

Balance::Balance(const std::vector<BrokerInfo>& brokers, const ShardSizes& sizes) : sizes_(sizes) {
  std::map<std::string, int> zones;
  for (const auto& broker : brokers) {
    Node node;
    node.info = broker;
    node.zone = zones.try_emplace(broker.zone, static_cast<int>(zones.size())).first->second;
    node.usable = broker.alive && !broker.draining && !broker.directory.empty();
    node_of_[broker.id] = nodes_.size();
    nodes_.push_back(std::move(node));
  }
}

void Balance::add(const ShardMap& map, const Shard& shard, bool movable,
                  const std::vector<Replica>& members) {
  Item item{&map, &shard, members, {}, {}, 0, 0, kNowhere};
  auto size = sizes_.find({map.stream_id(), shard.index()});
  if (size != sizes_.end()) item.size = size->second;
  for (const auto& replica : members) {
    auto it = node_of_.find(replica.broker());
    const size_t node = it == node_of_.end() ? kNowhere : it->second;
    item.nodes.push_back(node);
    if (node == kNowhere) continue;
    if (shard.has_leader() && shard.leader() == replica.broker()) item.leader = node;
    nodes_[node].replicas++;
    nodes_[node].bytes += item.size;
    if (movable) nodes_[node].items.push_back(items_.size());
  }
  items_.push_back(std::move(item));
}

int Balance::zones_with(const Item& item, size_t without, size_t with) const {
  int seen[16], count = 0;
  auto see = [&](size_t node) {
    if (node == kNowhere || count == 16) return;
    if (std::find(seen, seen + count, nodes_[node].zone) == seen + count) {
      seen[count++] = nodes_[node].zone;
    }
  };
  for (size_t node : item.nodes) {
    if (node != without) see(node);
  }
  see(with);
  return count;
}

bool Balance::may_move(const Item& item, size_t from, size_t to) const {
  auto has = [](const std::vector<size_t>& list, size_t node) {
    return std::find(list.begin(), list.end(), node) != list.end();
  };
  if (has(item.nodes, to)) return false;
  if (has(item.arrived, from)) {
    // Only its last move can still go elsewhere, and not back.
    const Move& last = moves_[item.last_move];
    if (last.add->broker() != nodes_[from].info.id ||
        last.remove->broker() == nodes_[to].info.id) {
      return false;
    }
  }
  return zones_with(item, from, to) >= zones_with(item, kNowhere, kNowhere);
}

void Balance::move(size_t index, size_t from, size_t to) {
  Item& item = items_[index];
  const auto at = std::find(item.nodes.begin(), item.nodes.end(), from) - item.nodes.begin();
  Replica joining;
  joining.set_broker(nodes_[to].info.id);
  joining.set_directory(nodes_[to].info.directory);
  auto came = std::find(item.arrived.begin(), item.arrived.end(), from);
  if (came != item.arrived.end()) {
    item.arrived.erase(came);
    moves_[item.last_move].add = joining;
  } else {
    item.last_move = moves_.size();
    moves_.push_back({item.map->stream_id(), item.shard->index(), joining,
                      item.members[static_cast<size_t>(at)], MoveReason::kBalance});
  }
  item.members[static_cast<size_t>(at)] = joining;
  item.nodes[static_cast<size_t>(at)] = to;
  item.arrived.push_back(to);
  if (item.leader == from) item.leader = to;
  auto& left = nodes_[from].items;
  left.erase(std::find(left.begin(), left.end(), index));
  nodes_[to].items.push_back(index);
  --nodes_[from].replicas, ++nodes_[to].replicas;
  nodes_[from].bytes -= item.size, nodes_[to].bytes += item.size;
}

// Followers before leaders: moving a leader costs a second election. Then the size that helps most.
size_t Balance::pick(size_t from, size_t to, double wanted_bytes, int64_t bytes_below) const {
  size_t best = kNowhere;
  std::pair<bool, double> best_cost;
  for (size_t index : nodes_[from].items) {
    const Item& item = items_[index];
    std::pair cost{item.leader == from,
                   std::abs(static_cast<double>(item.size) - wanted_bytes)};
    if (item.size >= bytes_below || (best != kNowhere && cost >= best_cost)) continue;
    if (may_move(item, from, to)) best = index, best_cost = cost;
  }
  return best;
}

void Balance::even_counts(int& moves_left) {
  std::set<std::pair<int, size_t>> order;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].usable) order.insert({nodes_[i].replicas, i});
  }
  // Pairs between which nothing can move, most often for the sake of zones.
  std::vector<bool> stuck(nodes_.size() * nodes_.size());
  auto step = [&] {
    for (auto low = order.begin(); low != order.end(); ++low) {
      const auto [fewest, to] = *low;  // a copy: moving changes the order
      for (auto it = order.rbegin(); it != order.rend(); ++it) {
        const auto [most, from] = *it;
        if (most - fewest < 2) break;
        if (stuck[from * nodes_.size() + to]) continue;
        const double gap = static_cast<double>(nodes_[from].bytes - nodes_[to].bytes);
        const size_t item = pick(from, to, std::max(gap, 0.0) / (most - fewest), INT64_MAX);
        if (item == kNowhere) {
          stuck[from * nodes_.size() + to] = true;
          continue;
        }
        order.erase({most, from});
        order.erase({fewest, to});
        move(item, from, to);
        order.insert({nodes_[from].replicas, from});
        order.insert({nodes_[to].replicas, to});
        return true;
      }
    }
    return false;
  };
  while (moves_left > 0 && step()) --moves_left;
}

bool Balance::counts_allow(size_t from, size_t to) const {
  const double band = std::max(1.0, kTolerance * mean_replicas_);
  return nodes_[from].replicas - 1 >= mean_replicas_ - band &&
         nodes_[to].replicas + 1 <= mean_replicas_ + band;
}

// One large shard against one small one, where a move alone would make the counts uneven.
bool Balance::swap_bytes(size_t from, size_t to, double ideal, int64_t gap, int& moves_left) {
  if (moves_left < 2) return false;
  size_t best_a = kNowhere, best_b = kNowhere;
  double best = ideal;  // doing nothing is that far off
  for (size_t a : nodes_[from].items) {
    if (!may_move(items_[a], from, to)) continue;
    for (size_t b : nodes_[to].items) {
      const int64_t shift = items_[a].size - items_[b].size;
      const double off = std::abs(static_cast<double>(shift) - ideal);
      if (shift <= 0 || shift >= gap || off >= best) continue;
      if (may_move(items_[b], to, from)) best_a = a, best_b = b, best = off;
    }
  }
  if (best_a == kNowhere) return false;
  move(best_a, from, to);
  move(best_b, to, from);
  moves_left -= 2;
  return true;
}

bool Balance::shift_bytes(size_t from, size_t to, double mean, int& moves_left) {
  const int64_t gap = nodes_[from].bytes - nodes_[to].bytes;
  const double ideal = std::min(static_cast<double>(nodes_[from].bytes) - mean,
                                mean - static_cast<double>(nodes_[to].bytes));
  if (ideal <= 0) return false;
  if (counts_allow(from, to)) {
    const size_t item = pick(from, to, ideal, gap);
    // A sliver is not worth a move.
    if (item != kNowhere && static_cast<double>(items_[item].size) > ideal / 10) {
      move(item, from, to);
      --moves_left;
      return true;
    }
  }
  return swap_bytes(from, to, ideal, gap, moves_left);
}

void Balance::even_disks(int& moves_left, bool evens_bytes) {
  std::vector<size_t> order;
  double total = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].usable) continue;
    order.push_back(i);
    total += static_cast<double>(nodes_[i].bytes);
  }
  if (order.size() < 2 || total <= 0) return;
  const double mean = total / static_cast<double>(order.size());
  auto by_bytes = [&](size_t a, size_t b) { return nodes_[a].bytes < nodes_[b].bytes; };
  auto above = [&](size_t node) { return static_cast<double>(nodes_[node].bytes) - mean; };
  const double most = above(*std::max_element(order.begin(), order.end(), by_bytes));
  if (!evens_bytes && (most <= kBytesTrigger * mean || most < kBytesTriggerMin)) return;
  auto step = [&] {
    std::sort(order.begin(), order.end(), by_bytes);
    for (auto from = order.rbegin(); from != order.rend(); ++from) {
      if (above(*from) <= kTolerance * mean) return false;
      for (size_t to : order) {
        if (above(to) >= 0) break;
        if (shift_bytes(*from, to, mean, moves_left)) return true;
      }
    }
    return false;
  };
  while (moves_left > 0 && step()) evens_bytes_ = true;
}

void Balance::even_out(int moves_max, bool evens_bytes) {
  int usable = 0, replicas = 0;
  for (const auto& node : nodes_) {
    usable += node.usable ? 1 : 0;
    replicas += node.usable ? node.replicas : 0;
  }
  if (usable < 2) return;
  mean_replicas_ = static_cast<double>(replicas) / usable;
  even_counts(moves_max);
  even_disks(moves_max, evens_bytes);
}

std::vector<Move> Balance::first_moves() const {
  std::set<std::pair<std::string, int32_t>> seen;
  std::vector<Move> first;
  for (const auto& move : moves_) {
    if (seen.insert({move.stream_id, move.shard}).second) first.push_back(move);
  }
  return first;
}

std::map<int32_t, int> Balance::replicas() const {
  std::map<int32_t, int> out;
  for (const auto& node : nodes_) {
    if (node.usable) out[node.info.id] = node.replicas;
  }
  return out;
}

std::map<int32_t, int64_t> Balance::bytes() const {
  std::map<int32_t, int64_t> out;
  for (const auto& node : nodes_) {
    if (node.usable) out[node.info.id] = node.bytes;
  }
  return out;
}

}  // namespace broker::coordination
