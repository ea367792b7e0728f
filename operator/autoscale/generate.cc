// Made traces: each kind is one way in which load has surprised people.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "operator/autoscale/trace.h"

namespace sluice_operator::autoscale {

namespace {

constexpr double kDayS = 86400, kPi = 3.14159265358979323846;

// A small generator of our own, so that a seed gives the same trace everywhere.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
  double uniform() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return static_cast<double>((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
  }
  double between(double low, double high) { return low + (high - low) * uniform(); }
  double normal() {
    return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(2 * kPi * uniform());
  }

 private:
  uint64_t state_;
};

// The load without noise at each moment, between 0 (base) and 1 (peak) or above.
using Shape = std::function<double(double)>;

double day(double t) { return 0.5 - 0.5 * std::cos(2 * kPi * t / kDayS); }

Shape steps(Dice& dice, double seconds) {
  std::map<double, double> levels{{0, 0}};
  for (double t = dice.between(600, 3600); t < seconds; t += dice.between(1800, 5400)) {
    levels[t] = dice.uniform() < 0.3 ? 0 : dice.uniform();
  }
  return [levels](double t) { return std::prev(levels.upper_bound(t))->second; };
}

Shape bursts(Dice& dice, double seconds) {
  std::map<double, std::pair<double, double>> all{{-1, {0, 0}}};  // begin -> end, height
  for (double t = dice.between(300, 1800); t < seconds; t += dice.between(900, 5400)) {
    all[t] = {t + dice.between(60, 900), dice.between(0.3, 1)};
  }
  return [all](double t) {
    const auto& [end, height] = std::prev(all.upper_bound(t))->second;
    return t < end ? height : 0;
  };
}

Shape ramps(Dice& dice, double seconds) {
  std::map<double, double> knots{{0, 0}};
  double t = 0;
  while (t < seconds) knots[t += dice.between(900, 7200)] = dice.uniform();
  return [knots](double at) {
    auto after = knots.upper_bound(at);
    if (after == knots.end()) return knots.rbegin()->second;
    auto before = std::prev(after);
    double part = (at - before->first) / (after->first - before->first);
    return before->second + part * (after->second - before->second);
  };
}

// A crowd comes within a minute or two and goes slowly.
Shape flash(Dice& dice, double seconds) {
  std::vector<std::array<double, 4>> crowds;  // begin, rise, decay, height
  for (double t = dice.between(1800, 7200); t < seconds; t += dice.between(4 * 3600, 9 * 3600)) {
    crowds.push_back({t, dice.between(30, 180), dice.between(900, 3600), dice.between(0.5, 1)});
  }
  return [crowds](double t) {
    double sum = 0.15 * day(t);
    for (const auto& [begin, rise, decay, height] : crowds) {
      if (t >= begin) {
        sum += height * std::min(1.0, (t - begin) / rise) *
               std::exp(-std::max(0.0, t - begin - rise) / decay);
      }
    }
    return sum;
  };
}

Shape shape_of(const std::string& kind, Dice& dice, double seconds) {
  if (kind == "steps") return steps(dice, seconds);
  if (kind == "bursts") return bursts(dice, seconds);
  if (kind == "ramps") return ramps(dice, seconds);
  if (kind == "flash") return flash(dice, seconds);
  if (kind == "noise") return [](double) { return 0.5; };
  if (kind == "mixed") {
    return [a = steps(dice, seconds), b = flash(dice, seconds)](double t) {
      return 0.6 * day(t) + 0.15 * a(t) + 0.25 * b(t);
    };
  }
  return day;
}

}  // namespace

const std::vector<std::string>& trace_kinds() {
  static const std::vector<std::string> kinds = {"daily", "steps", "bursts", "ramps",
                                                 "flash", "noise", "hotkey", "mixed"};
  return kinds;
}

broker::Result<Trace> generate_trace(const std::string& kind, const GenerateOptions& options) {
  const auto& kinds = trace_kinds();
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
    std::string all;
    for (const auto& name : kinds) all += " " + name;
    return broker::Status(broker::Code::kInvalidArgument, "no kind '" + kind + "':" + all);
  }
  Dice dice(options.seed);
  Shape shape = shape_of(kind, dice, options.seconds);
  double noise = kind == "noise" ? std::max(options.noise, 0.1) : options.noise;
  Trace trace;
  double drift = 0;  // noise that lasts some samples, as real load has it
  for (double t = 0; t < options.seconds; t += options.step_s) {
    drift = 0.8 * drift + 0.6 * dice.normal();
    double factor = std::clamp(1 + noise * drift, 0.2, 2.0);
    double bytes = (options.base + (options.peak - options.base) * shape(t)) * factor;
    double hot = kind == "hotkey" ? 0.3 * day(t) : 0;
    trace.push_back({t, bytes, bytes / options.record_bytes, hot});
  }
  return trace;
}

}  // namespace sluice_operator::autoscale
