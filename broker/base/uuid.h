#pragma once
// 128-bit ids: streams (Kafka topic ids), data directories. Made from an env::Random so that the
// simulator replays them.
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

namespace broker {

struct Uuid {
  std::array<uint8_t, 16> bytes{};
  constexpr auto operator<=>(const Uuid&) const = default;
  bool is_zero() const { return *this == Uuid{}; }
  // Version 4 from 128 random bits.
  static Uuid from_random(uint64_t high, uint64_t low);
  // "8-4-4-4-12" hexadecimal; nothing when the text is not that.
  static std::optional<Uuid> parse(std::string_view text);
  std::string to_string() const;
  friend std::ostream& operator<<(std::ostream& out, const Uuid& id) {
    return out << id.to_string();
  }
};

}  // namespace broker

template <>
struct std::hash<broker::Uuid> {
  size_t operator()(const broker::Uuid& id) const {
    uint64_t high, low;
    std::memcpy(&high, id.bytes.data(), 8);
    std::memcpy(&low, id.bytes.data() + 8, 8);
    return high ^ (low * 0x9e3779b97f4a7c15ULL);
  }
};
