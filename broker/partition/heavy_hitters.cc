#include "broker/partition/heavy_hitters.h"

#include <algorithm>

namespace broker::partition {

void HeavyHitters::add(std::string_view key, coordination::HashKey at, double bytes) {
  bytes_ += bytes;
  records_++;
  Counter* least = &counters_[0];
  for (auto& counter : counters_) {
    if (counter.bytes > 0 && counter.at == at) {
      counter.bytes += bytes;
      return;
    }
    if (counter.bytes < least->bytes) least = &counter;
  }
  if (least->bytes <= 0) {
    *least = {at, std::string(key.substr(0, kNameMax)), bytes};
    return;
  }
  double taken = std::min(bytes, least->bytes);
  for (auto& counter : counters_) counter.bytes -= taken;
}

std::optional<HeavyHitters::Hottest> HeavyHitters::end_of_round() {
  if (bytes_ < kRoundBytes && records_ < kRoundRecords) return std::nullopt;
  auto most = std::max_element(counters_.begin(), counters_.end(),
                               [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  Hottest hottest{most->key, most->at, most->bytes / bytes_};
  for (char& c : hottest.key) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  counters_ = {};
  bytes_ = 0;
  records_ = 0;
  return hottest;
}

}  // namespace broker::partition
