#pragma once
// Strong integer types of the log and the cluster. A value is made on purpose (Offset{5}) and read
// with .value; offsets have arithmetic in records, terms only order.
#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>

namespace broker {

template <class Tag, class T>
struct StrongInt {
  T value{};
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(T v) : value(v) {}
  constexpr auto operator<=>(const StrongInt&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const StrongInt& id) { return out << id.value; }
};

// Position of a record in a shard's log; the first record has 0. An "end offset" is one past the
// last record.
struct Offset : StrongInt<struct OffsetTag, int64_t> {
  using StrongInt::StrongInt;
  constexpr Offset operator+(int64_t records) const { return Offset{value + records}; }
  constexpr Offset operator-(int64_t records) const { return Offset{value - records}; }
  constexpr int64_t operator-(Offset other) const { return value - other.value; }
  Offset& operator+=(int64_t records) {
    value += records;
    return *this;
  }
};

// Term of a shard's leadership; on Kafka's wire it is the leader epoch. -1 is "none yet".
struct Term : StrongInt<struct TermTag, int32_t> {
  using StrongInt::StrongInt;
};
inline constexpr Term kNoTerm{-1};

// A broker's number, the Kafka node id. -1 is "none".
struct BrokerId : StrongInt<struct BrokerTag, int32_t> {
  using StrongInt::StrongInt;
};
inline constexpr BrokerId kNoBroker{-1};

}  // namespace broker

template <>
struct std::hash<broker::Offset> {
  size_t operator()(broker::Offset o) const { return std::hash<int64_t>()(o.value); }
};
template <>
struct std::hash<broker::BrokerId> {
  size_t operator()(broker::BrokerId b) const { return std::hash<int32_t>()(b.value); }
};
