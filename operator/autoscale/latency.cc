#include "operator/autoscale/latency.h"

#include <cmath>
#include <cstdlib>

#include "operator/autoscale/load.h"

namespace sluice_operator::autoscale {

namespace {

constexpr int64_t kWindowMs = 60'000, kLookMs = 5'000;
constexpr double kRequestsMin = 100;

// The door whose producers this bucket counts; nothing for any other sample.
const char* door_of(const Sample& sample) {
  auto says = [&](const char* label, std::initializer_list<const char*> words) {
    auto it = sample.labels.find(label);
    if (it == sample.labels.end()) return false;
    for (const char* word : words) {
      if (it->second == word) return true;
    }
    return false;
  };
  if (sample.name == "sluice_kafka_request_seconds_bucket") {
    return says("api", {"Produce"}) ? "kafka" : nullptr;
  }
  if (sample.name == "sluice_kinesis_request_duration_seconds_bucket") {
    return says("operation", {"PutRecord", "PutRecords"}) ? "kinesis" : nullptr;
  }
  return sample.name == "sluice_grpc_publish_duration_seconds_bucket" ? "grpc" : nullptr;
}

}  // namespace

std::optional<double> quantile(const Buckets& buckets, double q) {
  if (buckets.empty() || !(buckets.rbegin()->second > 0)) return std::nullopt;
  double rank = q * buckets.rbegin()->second, below = 0, count_below = 0;
  for (const auto& [bound, count] : buckets) {
    if (count >= rank) {
      if (std::isinf(bound)) return below;
      double inside = count - count_below;
      return inside > 0 ? below + (bound - below) * (rank - count_below) / inside : bound;
    }
    below = bound;
    count_below = count;
  }
  return below;
}

void ProduceLatency::add(const std::string& broker, int64_t now_ms,
                         const std::vector<Sample>& samples) {
  Look look{now_ms, {}};
  for (const auto& sample : samples) {
    const char* door = door_of(sample);
    auto bound = sample.labels.find("le");
    if (!door || bound == sample.labels.end()) continue;
    look.doors[door][std::strtod(bound->second.c_str(), nullptr)] += sample.value;
  }
  auto& past = brokers_[broker];
  if (!past.empty()) {
    for (auto& [door, buckets] : past.back().doors) {
      auto now = look.doors.find(door);
      bool again = now == look.doors.end() || buckets.empty() || now->second.empty() ||
                   now->second.rbegin()->second < buckets.rbegin()->second;
      if (!again) continue;
      past.clear();  // the broker began again, and counts from 0
      break;
    }
  }
  // The last is always the newest; those before it are so far apart that a minute takes few.
  if (past.size() >= 2 && past.back().at_ms - past[past.size() - 2].at_ms < kLookMs) {
    past.pop_back();
  }
  past.push_back(std::move(look));
  while (past.size() > 2 && now_ms - past[1].at_ms >= kWindowMs) past.pop_front();
}

std::optional<double> ProduceLatency::p99_seconds(const std::string& broker) const {
  auto known = brokers_.find(broker);
  if (known == brokers_.end() || known->second.size() < 2) return std::nullopt;
  const Doors &before = known->second.front().doors, &last = known->second.back().doors;
  if (last.empty()) return std::nullopt;
  double slowest = 0;
  for (const auto& [door, buckets] : last) {
    Buckets grown = buckets;
    if (auto from = before.find(door); from != before.end()) {
      for (auto& [bound, count] : grown) {
        auto it = from->second.find(bound);
        if (it != from->second.end()) count -= it->second;
      }
    }
    if (std::isnan(grown.rbegin()->second)) return grown.rbegin()->second;
    if (grown.rbegin()->second < kRequestsMin) continue;
    if (auto p99 = quantile(grown, 0.99)) slowest = std::max(slowest, *p99);
  }
  return slowest;
}

}  // namespace sluice_operator::autoscale
