#pragma once
// PURE: which brokers to restart next when their settings change. One broker first: only when it is
// ready with the new settings, zone by zone, as many of a zone at once as their shards allow. Every
// step is derived from the objects alone, so that another operator goes on where one ended. Called
// by reconcile with the coordinator's answer to "what would it cost to stop these".
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace sluice_operator::plan {

struct RollBroker {
  int32_t id = 0;
  std::string zone;
  bool exists = false;       // has a pod
  bool terminating = false;  // which is being deleted
  bool ready = false;        // which is ready, and the broker has a session
  bool alive = false;        // the broker has a session
  std::string hash;          // settings that the pod runs with
  std::string broken;        // why the pod will not become ready by itself; empty: not known to
};

struct RollInput {
  std::string wanted;  // hash of the settings that the cluster asks for
  std::string good;    // of those that a broker was last ready with; empty: none
  // The StatefulSet has the wanted template and its controller has seen it: a pod made from now on
  // has the wanted settings.
  bool template_ready = false;
  std::vector<RollBroker> brokers;  // those that stay, by id
};

struct RollStep {
  enum class State { kDone, kRolling, kWaiting, kStuck };
  State state = State::kDone;
  std::string message;
  // The template that the StatefulSet is to have: the wanted, or (while the first broker on it is not
  // ready) the last good one, so that a pod which somebody else deletes comes back as it was.
  bool wanted_template = true;
  bool proven = false;           // a broker is ready with the wanted settings
  std::vector<int32_t> restart;  // delete these brokers' pods now
};

// Empty: these brokers may stop, all at once.
using StopRisk = std::function<std::string(const std::set<int32_t>&)>;

RollStep plan_roll(const RollInput& input, const StopRisk& risk);

}  // namespace sluice_operator::plan
