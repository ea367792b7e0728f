#include "operator/autoscale/tiling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice_operator::autoscale {

using broker::coordination::HashKey;
using broker::coordination::KeyRange;

namespace {

// A stretch of keys over which load is even, or a single key that cannot be cut.
struct Segment {
  KeyRange range;
  double load;
  bool single;
};

HashKey part_of(KeyRange range, double share) {
  HashKey width = range.last - range.first;
  share = std::clamp(share, 0.0, 1.0);
  // A double has no digits for 128 bits: the high ones are scaled, which is near enough.
  if (width >> 32 == 0) {
    return range.first + static_cast<HashKey>(std::ceil(static_cast<double>(width) * share));
  }
  auto scaled = static_cast<HashKey>(share * 4294967296.0);
  return std::min(range.last, range.first + (width >> 32) * scaled);
}

void add_even(std::vector<Segment>& out, KeyRange range, double load,
              const std::optional<HotKey>& hot, double hot_load) {
  if (!hot || !range.contains(hot->at)) {
    out.push_back({range, load, false});
    return;
  }
  double rest = std::max(0.0, load - hot_load);
  double width = static_cast<double>(range.last - range.first) + 1;
  double left = static_cast<double>(hot->at - range.first) / width;
  if (hot->at > range.first) out.push_back({{range.first, hot->at - 1}, rest * left, false});
  out.push_back({{hot->at, hot->at}, std::min(load, hot_load), true});
  if (hot->at < range.last) out.push_back({{hot->at + 1, range.last}, rest * (1 - left), false});
}

void add_segments(std::vector<Segment>& out, const Tile& tile) {
  double hot_load = tile.hot_key ? tile.load * tile.hot_key->share : 0;
  double total = std::accumulate(tile.heat.begin(), tile.heat.end(), 0.0);
  HashKey span = tile.range.last - tile.range.first;
  if (total <= 0 || tile.heat.empty() || span < tile.heat.size()) {
    return add_even(out, tile.range, tile.load, tile.hot_key, hot_load);
  }
  HashKey width = span / tile.heat.size() + 1;
  for (size_t part = 0; part < tile.heat.size(); part++) {
    KeyRange range;
    range.first = tile.range.first + width * part;
    range.last = part + 1 == tile.heat.size() ? tile.range.last : range.first + width - 1;
    if (range.first > tile.range.last) break;
    range.last = std::min(range.last, tile.range.last);
    add_even(out, range, tile.load * tile.heat[part] / total, tile.hot_key, hot_load);
  }
}

struct Boundary {
  HashKey key;
  double below;  // load of the window below it
};

// Where the load below reaches k of `parts` equal shares, for k = 1 … parts - 1.
std::vector<Boundary> quantiles(const std::vector<Segment>& segments, double total, int parts) {
  std::vector<Boundary> out;
  double below = 0;
  size_t at = 0;
  for (int k = 1; k < parts; k++) {
    double wanted = total * k / parts;
    while (at + 1 < segments.size() && below + segments[at].load < wanted) below += segments[at++].load;
    const Segment& segment = segments[at];
    double inside = segment.load > 0 ? std::min(1.0, (wanted - below) / segment.load) : 0.5;
    Boundary next{part_of(segment.range, inside), wanted};
    if (segment.single) {  // before it or behind it, whichever is nearer
      bool behind = inside > 0.5 && segment.range.last != broker::coordination::kHashKeyMax;
      next = {segment.range.first + (behind ? 1 : 0), below + (behind ? segment.load : 0)};
    }
    out.push_back(next);
  }
  return out;
}

}  // namespace

size_t Retiling::actions() const {
  size_t sum = 0;
  for (const auto& group : groups) sum += std::max<size_t>(1, group.count - 1);
  return sum;
}

bool Retiling::only_merges() const {
  return std::all_of(groups.begin(), groups.end(), [](const auto& g) { return g.at.empty(); });
}

int Retiling::added() const {
  int sum = 0;
  for (const auto& group : groups) {
    sum += static_cast<int>(group.at.size() + 1) - static_cast<int>(group.count);
  }
  return sum;
}

std::optional<Retiling> retile(const std::vector<Tile>& tiles, size_t first, size_t count,
                               int parts) {
  std::vector<Segment> segments;
  std::vector<Boundary> old;  // inner boundaries
  double total = 0;
  for (size_t i = first; i < first + count; i++) {
    if (i > first) old.push_back({tiles[i].range.first, total});
    add_segments(segments, tiles[i]);
    total += tiles[i].load;
  }
  auto wanted = quantiles(segments, total, parts);
  double slack = std::max(0.0, (0.98 - total / parts) / 2);
  const KeyRange whole{tiles[first].range.first, tiles[first + count - 1].range.last};
  std::vector<Boundary> kept;
  for (auto& boundary : wanted) {
    const Boundary* nearest = nullptr;
    for (const auto& before : old) {
      const double away = std::abs(before.below - boundary.below);
      if (away > slack) continue;
      if (!nearest || away < std::abs(nearest->below - boundary.below)) nearest = &before;
    }
    if (nearest) boundary = *nearest;
    HashKey floor = kept.empty() ? whole.first : kept.back().key;
    if (boundary.key > floor && boundary.key <= whole.last) kept.push_back(boundary);
  }
  Retiling out;
  double from = 0;
  for (const auto& boundary : kept) {
    out.fullest = std::max(out.fullest, boundary.below - from);
    from = boundary.below;
  }
  out.fullest = std::max(out.fullest, total - from);
  Group group{first, 0, {}};
  int parents = 0;  // of the new shard at hand
  auto next = kept.begin();
  auto close = [&] {
    if (group.count > 1 || !group.at.empty()) out.groups.push_back(std::move(group));
  };
  for (size_t tile = first; tile < first + count; tile++) {
    if (next != kept.end() && next->key == tiles[tile].range.first) {
      close();
      group = {tile, 0, {}};
      parents = 0;
      ++next;
    }
    group.count++;
    if (++parents > 2) return std::nullopt;
    for (; next != kept.end() && next->key <= tiles[tile].range.last; ++next) {
      group.at.push_back(next->key);
      parents = 1;
    }
  }
  close();
  return out;
}

}  // namespace sluice_operator::autoscale
