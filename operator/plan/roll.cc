#include "operator/plan/roll.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace sluice_operator::plan {
namespace {

using State = RollStep::State;

std::string name(int32_t id) { return "broker " + std::to_string(id); }

std::string names(const std::vector<int32_t>& ids) {
  std::string text = ids.size() == 1 ? "broker " : "brokers ";
  for (size_t i = 0; i < ids.size(); i++) text += (i ? ", " : "") + std::to_string(ids[i]);
  return text;
}

class Roll {
 public:
  Roll(const RollInput& input, const StopRisk& risk) : input_(input), risk_(risk) {}

  RollStep plan() {
    step_.proven = input_.good == input_.wanted ||
                   std::any_of(input_.brokers.begin(), input_.brokers.end(),
                               [&](const auto& b) { return fresh(b) && b.ready; });
    const auto outdated = std::count_if(input_.brokers.begin(), input_.brokers.end(),
                                        [&](const auto& b) { return b.exists && !fresh(b); });
    if (outdated == 0) return step_;
    progress_ = std::to_string(input_.brokers.size() - static_cast<size_t>(outdated)) + " of " +
                std::to_string(input_.brokers.size()) + " brokers have the new settings";
    for (const auto& broker : input_.brokers) {
      if (fresh(broker) && !broker.ready && !broker.broken.empty()) return stuck(broker);
    }
    return step_.proven ? next_of_a_zone() : first();
  }

 private:
  bool fresh(const RollBroker& b) const { return b.exists && b.hash == input_.wanted; }
  bool coming(const RollBroker& b) const { return !b.exists || b.terminating; }

  RollStep say(State state, const std::string& what) {
    step_.state = state;
    step_.message = progress_ + "; " + what;
    return step_;
  }

  RollStep stuck(const RollBroker& broker) {
    step_.wanted_template = step_.proven || input_.good.empty();
    return say(State::kStuck, name(broker.id) + " does not become ready with them: " +
                                  broker.broken + "; edit the StreamCluster to mend it");
  }

  // Nothing is known of the new settings yet: one broker tries them, one that is down if there is.
  RollStep first() {
    for (const auto& broker : input_.brokers) {
      if (!fresh(broker) || broker.terminating) continue;
      step_.wanted_template = input_.good.empty();
      return say(State::kRolling, name(broker.id) + " tries them first");
    }
    for (const auto& broker : input_.brokers) {
      if (coming(broker)) return say(State::kRolling, name(broker.id) + " is being started anew");
    }
    if (!input_.template_ready) return say(State::kRolling, "the StatefulSet takes them up");
    std::vector<const RollBroker*> order;
    for (const auto& broker : input_.brokers) order.push_back(&broker);
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return std::tuple(a->alive, a->ready, a->zone) < std::tuple(b->alive, b->ready, b->zone);
    });
    std::string reason;
    for (const auto* broker : order) {
      std::string cost = risk_({broker->id});
      if (cost.empty()) return restart({broker->id});
      if (reason.empty()) reason = cost;
    }
    return say(State::kWaiting, "waiting to restart the first: " + reason);
  }

  RollStep restart(std::vector<int32_t> ids) {
    step_.restart = std::move(ids);
    return say(State::kRolling, "restarting " + names(step_.restart));
  }

  // The zone in which brokers are down already; none where they are in several (nobody else may be
  // stopped then); else one that has begun, else the first by name.
  std::string zone_to_roll(bool& any) const {
    std::set<std::string> down;
    std::map<std::string, std::pair<bool, bool>> zones;  // begun, to do
    for (const auto& broker : input_.brokers) {
      if (coming(broker) || (!broker.ready && fresh(broker))) down.insert(broker.zone);
      (fresh(broker) ? zones[broker.zone].first : zones[broker.zone].second) = true;
    }
    any = down.size() <= 1;
    if (!down.empty()) return *down.begin();
    std::string first;
    bool found = false;
    for (const auto& [zone, state] : zones) {
      if (!state.second) continue;
      if (state.first) return zone;
      if (!found) first = zone, found = true;
    }
    return first;
  }

  RollStep next_of_a_zone() {
    if (!input_.template_ready) return say(State::kRolling, "the StatefulSet takes them up");
    bool any = false;
    const std::string zone = zone_to_roll(any);
    std::set<int32_t> away;
    std::vector<int32_t> chosen;
    std::string reason, waits_for;
    for (const auto& broker : input_.brokers) {
      if (broker.terminating) away.insert(broker.id);
      if (coming(broker) || (fresh(broker) && !broker.ready)) waits_for = name(broker.id);
      // One that serves nobody is not worth waiting for.
      if (!coming(broker) && !fresh(broker) && !broker.alive) chosen.push_back(broker.id);
    }
    away.insert(chosen.begin(), chosen.end());
    for (const auto& broker : input_.brokers) {
      if (!any || coming(broker) || fresh(broker) || !broker.alive || broker.zone != zone) continue;
      auto with = away;
      with.insert(broker.id);
      std::string cost = risk_(with);
      if (!cost.empty()) {
        if (reason.empty()) reason = cost;
        continue;
      }
      away = std::move(with);
      chosen.push_back(broker.id);
    }
    if (!chosen.empty()) return restart(std::move(chosen));
    if (!waits_for.empty()) return say(State::kRolling, "waiting for " + waits_for);
    return say(State::kWaiting, "waiting to restart the next: " + reason);
  }

  const RollInput& input_;
  const StopRisk& risk_;
  RollStep step_;
  std::string progress_;
};

}  // namespace

RollStep plan_roll(const RollInput& input, const StopRisk& risk) {
  return Roll(input, risk).plan();
}

}  // namespace sluice_operator::plan
