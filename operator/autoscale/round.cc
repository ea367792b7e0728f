#include "operator/autoscale/round.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sluice_operator::autoscale {

namespace {

constexpr double kHeadroomMax = 1.5;
constexpr int64_t kAheadMs = 10'000;     // a trend is planned for this long beyond the lead
// A shard that is there may become fuller than new ones are planned, which leaves room between
// making shards and making more: to this much below its limit, and at so many times the budget.
constexpr double kTolerance = 1.02, kHotBudgets = 20;
// Shards are not all as full as the fullest may be: one is planned for so many times the budget, and
// the budget itself is kept by all of them together; merging uses no more than a share of it.
constexpr double kPlanBudgets = 1.5, kMergeBudget = 1;
constexpr double kMergedShare = 0.97;  // of how full a shard may be, after a merge
constexpr size_t kNeighbours = 8;      // shards that are retiled together
constexpr double kActionPrice = 0.125, kLastActionPrice = 1;  // in shards, of the first, of the last
constexpr double kRefusedShare = 0.01;   // of a shard's records: it is full, whatever the rate says
constexpr size_t kShardsKnownMax = 1500;  // one object of Kubernetes holds the map
constexpr double kFall = 0.8;     // of the open shards: where no more are needed, the load has fallen
constexpr double kFallActions = 2;  // for a shard less, after a fall: three become two
constexpr double kUnknown = 1e6;  // the load of a shard that was just made: it is left alone

}  // namespace

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value != 0 && std::abs(value) < 10 ? "%.2f" : "%.0f", value);
  return text;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f%%", share * 100);
  return text;
}

double planned_headroom(const Policy& policy, const Noise& noise, double budget) {
  return std::max(1 / policy.target,
                  std::min(kHeadroomMax, noise.headroom(kPlanBudgets * budget)));
}

double hourly_actions(const Policy& policy, size_t open) {
  return std::max(8.0, static_cast<double>(open) * policy.actions_per_shard_hour);
}

Round::Round(const Policy& policy, const Snapshot& snapshot, Memory& memory)
    : policy_(policy),
      snapshot_(snapshot),
      memory_(memory),
      budget_(memory.budget.planned(policy.throttle_budget)),
      headroom_(planned_headroom(policy, memory.noise, budget_)),
      tolerance_(std::min(headroom_, std::max(kTolerance,
                                              memory.noise.headroom(kHotBudgets * budget_)))) {
  std::vector<const ShardLoad*> ordered;
  for (const auto& load : snapshot.open_shards) ordered.push_back(&load);
  std::sort(ordered.begin(), ordered.end(),
            [](auto* a, auto* b) { return a->range.first < b->range.first; });
  for (const ShardLoad* load : ordered) {
    auto& track = memory_.shards.at(load->shard);
    // What the looks after a rise say is the load itself, and no mean around which it is noise.
    bool risen = track.load.just_risen();
    double headroom = risen ? 1 / policy_.target : headroom_;
    double tolerance = risen ? 1 : tolerance_;
    double expected =
        track.load.expected(policy_.lead_ms + kAheadMs, memory_.noise) * headroom;
    if (track.refused > kRefusedShare) {
      expected = std::max(expected, (1 + track.refused) * headroom / tolerance);
    }
    if (expected * tolerance <= headroom) track.hot_since_ms = -1;
    else if (track.hot_since_ms < 0) track.hot_since_ms = snapshot_.now_ms;
    tiles_.push_back({load->shard, load->range, expected, load->heat, load->hot_key});
    used_.push_back(track.load.latest());
    if (!load->hot_key || track.hot_since_ms < 0) continue;
    double key_load = track.load.level(memory_.noise) * load->hot_key->share;
    if (key_load * headroom_ < 1) continue;
    blocked_.push_back("the key '" + load->hot_key->name + "' alone takes " + percent(key_load) +
                       " of shard " + std::to_string(load->shard) +
                       ": no split helps it, only the producer can spread it over several keys");
  }
}

// A shard whose heaviest key alone fills it counts only with what could be moved elsewhere.
bool Round::is_hot(size_t tile) const {
  const Tile& t = tiles_[tile];
  if (t.range.first == t.range.last) return false;
  double key = t.hot_key ? t.load * t.hot_key->share : 0;
  if (key >= 1 && t.load - key < 0.1) return false;
  int64_t since = memory_.shards.at(t.shard).hot_since_ms;
  return since >= 0 && snapshot_.now_ms - since >= policy_.scale_up_after_ms;
}

bool Round::lags(size_t tile) const {
  if (!snapshot_.lag) return false;
  int32_t shard = tiles_[tile].shard;
  return snapshot_.lag->growing.contains(shard) || snapshot_.lag->unknown.contains(shard);
}

double Round::overflow(double level) const {
  return level > 0 ? level * memory_.noise.overflow(1 / level) : 0;
}

int64_t Round::window_ms() const { return memory_.hold.window_ms(policy_); }

void Round::explain(Decision& decision) const {
  double used = 0, needed = 0;
  for (size_t i = 0; i < tiles_.size(); i++) {
    used = std::max(used, used_[i]);
    needed += tiles_[i].load;
  }
  decision.inputs["utilisation"] = percent(used);
  decision.inputs["headroom"] = text_of(headroom_);
  decision.inputs["shardsNeeded"] = text_of(needed);
  decision.inputs["scaleDownWindowSeconds"] = std::to_string(window_ms() / 1000);
  decision.inputs["actionsAllowed"] = text_of(std::max(0.0, std::floor(memory_.allowance)));
}

std::string Round::hottest_text() const {
  size_t hottest = 0;
  for (size_t i = 1; i < tiles_.size(); i++) {
    if (tiles_[i].load > tiles_[hottest].load) hottest = i;
  }
  return "shard " + std::to_string(tiles_[hottest].shard) + " is at " + percent(used_[hottest]) +
         " of its limit";
}

Decision Round::act(Action action, const std::vector<Window>& windows, std::string reason,
                    std::string message) const {
  Decision decision;
  decision.action = action;
  for (const auto& window : windows) {
    for (const auto& group : window.retiling.groups) {
      Operation operation{{}, group.at};
      for (size_t t = group.first; t < group.first + group.count; t++) {
        operation.shards.push_back(tiles_[t].shard);
      }
      decision.operations.push_back(std::move(operation));
    }
    double least = std::abs(window.parts - static_cast<double>(window.count));
    decision.spends += std::max(0.0, static_cast<double>(window.retiling.actions()) - least / 2);
  }
  decision.reason = std::move(reason);
  decision.message = std::move(message);
  explain(decision);
  return decision;
}

std::optional<Decision> Round::reach_floor() {
  int32_t floor = floor_at(policy_, snapshot_.wall_ms);
  if (open() >= floor) return std::nullopt;
  // The shards with most room for it are cut, by load where there is some, else by width.
  std::vector<Tile> tiles = tiles_;
  double total = 0;
  for (const auto& tile : tiles) total += tile.load;
  for (auto& tile : tiles) {
    double width = static_cast<double>(tile.range.last - tile.range.first) /
                   static_cast<double>(broker::coordination::kHashKeyMax);
    tile.load = total > 0 ? std::max(tile.load, total * width * 0.01) : width;
  }
  std::vector<int> parts(tiles.size(), 1);
  for (int32_t more = floor - open(); more > 0; more--) {
    size_t widest = 0;
    auto each = [&](size_t i) {
      bool single = tiles[i].range.first == tiles[i].range.last;
      return single ? -1.0 : tiles[i].load / parts[i];
    };
    for (size_t i = 1; i < tiles.size(); i++) {
      if (each(i) > each(widest)) widest = i;
    }
    parts[widest]++;
  }
  std::vector<Window> windows;
  for (size_t i = 0; i < tiles.size(); i++) {
    if (parts[i] > 1) windows.push_back({i, 1, parts[i], 0, *retile(tiles, i, 1, parts[i])});
  }
  return act(Action::kSplit, windows, "BelowMinimum",
             "at least " + std::to_string(floor) + " shards are asked for, by minShards, a "
             "schedule or warmThroughput; " + std::to_string(open()) + " are open");
}

double Round::action_price() const {
  double left = memory_.allowance / hourly_actions(policy_, tiles_.size());
  return kLastActionPrice - (kLastActionPrice - kActionPrice) * std::clamp(left, 0.0, 1.0);
}

// The window [first, first + count) as enough shards, when that is within the bounds and helps.
std::optional<Round::Window> Round::relief(size_t first, size_t count,
                                           double allowance) const {
  double load = 0, fullest = 0;
  int hot = 0;
  for (size_t i = first; i < first + count; i++) {
    if (count > 1 && lags(i)) return std::nullopt;  // some would be merged, in part
    double key = tiles_[i].hot_key ? tiles_[i].load * tiles_[i].hot_key->share : 0;
    if (key >= 1 && count > 1) return std::nullopt;
    load += tiles_[i].load - std::max(0.0, key - 1);
    fullest = std::max(fullest, tiles_[i].load);
    hot += is_hot(i);
  }
  int room = policy_.shards_max - open();
  int parts = std::max(static_cast<int>(std::ceil(load - 1e-9)), count == 1 ? 2 : 1);
  if (count == 1) parts = std::min(parts, room + 1);
  if (parts < 2 && count == 1) return std::nullopt;
  auto retiling = retile(tiles_, first, count, parts);
  if (!retiling) return std::nullopt;
  Window window{first, count, parts, 0, std::move(*retiling)};
  bool helps = window.retiling.fullest < fullest * 0.98 && !window.retiling.groups.empty();
  if (!helps || window.retiling.added() > room) return std::nullopt;
  auto actions = static_cast<double>(window.retiling.actions());
  bool affordable = count == 1 || (actions <= allowance &&
                                   snapshot_.shards_known < kShardsKnownMax);
  if (!affordable) return std::nullopt;
  double added = parts - static_cast<double>(count);
  window.score = (added + action_price() * actions) / std::max(1, hot);
  return window;
}

std::optional<Round::Window> Round::best_relief(size_t hot, const std::vector<bool>& taken,
                                                double allowance) const {
  std::optional<Window> best;
  for (size_t count = 1; count <= kNeighbours; count++) {
    size_t from = hot + 1 >= count ? hot + 1 - count : 0;
    for (size_t first = from; first <= hot && first + count <= tiles_.size(); first++) {
      if (std::any_of(taken.begin() + static_cast<long>(first),
                      taken.begin() + static_cast<long>(first + count), [](bool t) { return t; })) {
        continue;
      }
      auto window = relief(first, count, allowance);
      if (window && (!best || window->score < best->score)) best = std::move(window);
    }
  }
  return best;
}

std::optional<Decision> Round::scale_up() {
  std::vector<bool> taken(tiles_.size(), false);
  std::vector<Window> windows;
  std::string hot_ones;
  int hot = 0;
  int room = policy_.shards_max - open();
  // What is needed may use up what saving has left, and some of what it will have.
  double allowance = memory_.allowance + policy_.actions_per_shard_hour * open();
  for (size_t i = 0; i < tiles_.size(); i++) {
    if (taken[i] || !is_hot(i)) continue;
    hot++;
    if (room <= 0) continue;
    auto window = best_relief(i, taken, allowance);
    if (!window || window->retiling.added() > room) continue;
    room -= window->retiling.added();
    if (window->count > 1) allowance -= static_cast<double>(window->retiling.actions());
    for (size_t t = window->first; t < window->first + window->count; t++) taken[t] = true;
    hot_ones += (hot_ones.empty() ? "" : "; ") + std::string(window->count == 1 ? "shard " : "shards ") +
                std::to_string(tiles_[window->first].shard) +
                (window->count == 1 ? "" : " and the next " + std::to_string(window->count - 1)) +
                " become " + std::to_string(window->parts);
    windows.push_back(std::move(*window));
  }
  if (!windows.empty()) {
    return act(Action::kSplit, windows, "ShardHot",
               hottest_text() + ", above the target of " + percent(policy_.target) + ": " + hot_ones);
  }
  if (hot > 0) {
    Decision decision;
    bool full = open() >= policy_.shards_max;
    decision.reason = full ? "AtMaximum" : blocked_.empty() ? "NoSplitHelps" : "HotKey";
    decision.message = full ? hottest_text() + ", and maxShards is reached"
                       : blocked_.empty() ? hottest_text() + ", and no split would help"
                                          : blocked_.front();
    explain(decision);
    return decision;
  }
  return std::nullopt;
}

std::optional<Round::Window> Round::saving(const std::vector<Tile>& peaks, size_t first,
                                           size_t count) const {
  double load = 0;
  for (size_t i = first; i < first + count; i++) load += peaks[i].load;
  // A new shard takes over two at most: what is less than half is reached by and by.
  int parts = std::max(static_cast<int>((count + 1) / 2), static_cast<int>(std::ceil(load)));
  if (parts >= static_cast<int>(count)) return std::nullopt;
  auto retiling = retile(peaks, first, count, parts);
  if (!retiling) return std::nullopt;
  Window window{first, count, parts, 0, std::move(*retiling)};
  if (window.retiling.fullest > 1) return std::nullopt;
  auto saved = static_cast<double>(count) - parts;
  window.score = static_cast<double>(window.retiling.actions()) / saved - saved * 0.01;
  return window;
}

double Round::merged_level() const {
  return kMergedShare / std::max(1 / policy_.target, tolerance_);
}

std::vector<Tile> Round::peaks() const {
  std::vector<Tile> peaks = tiles_;
  for (auto& tile : peaks) {
    const auto& track = memory_.shards.at(tile.shard);
    double peak = track.load.peak(snapshot_.now_ms, window_ms());
    tile.load = track.looks < 2 ? kUnknown : peak / merged_level();
  }
  return peaks;
}

// A great fall is followed at once where merging alone follows it: that undoes splits that there were.
// Where it needs few cuts, it may use up as much as the allowance will grow by in an hour: a climb
// before it has left none. What saves less is done as often as the allowance lets it.
bool Round::may_save(const Window& window, bool fall, double allowance) const {
  auto cost = static_cast<double>(window.retiling.actions());
  if (window.retiling.only_merges()) return fall || cost <= allowance;
  if (snapshot_.shards_known >= kShardsKnownMax) return false;
  auto saved = static_cast<double>(window.count) - window.parts;
  bool few_cuts = cost <= kFallActions * saved;
  return cost <= allowance + (fall && few_cuts ? policy_.actions_per_shard_hour * open() : 0);
}

std::optional<Decision> Round::scale_down() {
  int64_t now = snapshot_.now_ms;
  int32_t floor = floor_at(policy_, snapshot_.wall_ms);
  if (open() <= floor || now - memory_.unbroken_since_ms < window_ms()) return std::nullopt;
  bool just_split = memory_.last_split_ms >= 0 &&
                    now - memory_.last_split_ms < policy_.scale_down_after_ms;
  if (just_split) return std::nullopt;
  auto peaks = this->peaks();
  const double as_level = merged_level();
  double levels = 0, over = 0;
  for (const auto& tile : peaks) {
    levels += tile.load * as_level;
    over += overflow(tile.load * as_level);
  }
  const double needed = levels * headroom_ / kMergedShare;
  const double over_max = kMergeBudget * budget_ * levels;
  std::vector<Window> all, chosen;
  bool held = false;  // something that lags would be merged
  for (size_t first = 0; first < peaks.size(); first++) {
    bool lag = lags(first);
    for (size_t count = 2; count <= kNeighbours && first + count <= peaks.size(); count++) {
      lag = lag || lags(first + count - 1);
      auto window = saving(peaks, first, count);
      held = held || (window && lag);
      if (window && !lag) all.push_back(std::move(*window));
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.score < b.score; });
  bool fall = needed < kFall * open() || open() > policy_.shards_max;
  double allowance = memory_.allowance;
  int spare = open() - floor;
  std::vector<bool> taken(peaks.size(), false);
  for (auto& window : all) {
    int saved = static_cast<int>(window.count) - window.parts;
    auto cost = static_cast<double>(window.retiling.actions());
    bool free = true;
    for (size_t t = window.first; t < window.first + window.count; t++) free &= !taken[t];
    if (!free || saved > spare || !may_save(window, fall, allowance)) continue;
    double load = 0, less = 0;
    for (size_t t = window.first; t < window.first + window.count; t++) {
      load += peaks[t].load * as_level;
      less += overflow(peaks[t].load * as_level);
    }
    double more = window.parts * overflow(load / window.parts);
    if (more > less && over + more - less > over_max) continue;
    over += more - less;
    spare -= saved;
    allowance -= cost;
    for (size_t t = window.first; t < window.first + window.count; t++) taken[t] = true;
    chosen.push_back(std::move(window));
  }
  if (chosen.empty()) return held ? std::optional(lagging()) : std::nullopt;
  size_t before = 0;
  int after = 0;
  for (const auto& window : chosen) {
    before += window.count;
    after += window.parts;
  }
  return act(Action::kMerge, chosen, "ShardsCold",
             std::to_string(before) + " shards never needed more than " + std::to_string(after) +
                 " in the last " + std::to_string(window_ms() / 1000) + " s: they become " +
                 std::to_string(after));
}

Decision Round::lagging() const {
  Decision decision;
  bool grows = !snapshot_.lag->growing.empty();
  decision.reason = grows ? "LagGrowing" : "LagUnknown";
  decision.message =
      grows ? "fewer shards could take the load, but group '" + snapshot_.lag->group + "' is " +
                  text_of(snapshot_.lag->records) +
                  " records behind and falls further: it keeps the shards to catch up in"
            : "fewer shards could take the load, but how far its groups are behind "
              "cannot be told";
  explain(decision);
  return decision;
}

Decision Round::rest() const {
  Decision decision;
  if (!blocked_.empty()) {
    decision.reason = "HotKey";
    decision.message = blocked_.front();
  } else if (std::any_of(memory_.shards.begin(), memory_.shards.end(),
                         [](const auto& shard) { return shard.second.hot_since_ms >= 0; })) {
    decision.reason = "Stabilising";
    decision.message = hottest_text() + ", above the target, not long enough yet";
  } else {
    decision.reason = "WithinTarget";
    decision.message = hottest_text() + ", no shard is above the target";
  }
  decision.next_allowed_ms =
      std::max(snapshot_.now_ms, memory_.unbroken_since_ms + window_ms());
  explain(decision);
  return decision;
}

}  // namespace sluice_operator::autoscale
