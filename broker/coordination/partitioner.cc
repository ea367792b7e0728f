#include "broker/coordination/partitioner.h"

#include "broker/base/check.h"

namespace broker::coordination {

int32_t murmur2(std::string_view bytes) {
  constexpr uint32_t kSeed = 0x9747b28c;
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr int kShift = 24;
  auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])); };

  const size_t size = bytes.size();
  uint32_t h = kSeed ^ static_cast<uint32_t>(size);
  size_t i = 0;
  for (; i + 4 <= size; i += 4) {
    uint32_t k = byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24;
    k *= kMultiplier;
    k ^= k >> kShift;
    k *= kMultiplier;
    h *= kMultiplier;
    h ^= k;
  }
  if (i < size) {
    if (size - i >= 3) h ^= byte(i + 2) << 16;
    if (size - i >= 2) h ^= byte(i + 1) << 8;
    h ^= byte(i);
    h *= kMultiplier;
  }
  h ^= h >> 13;
  h *= kMultiplier;
  h ^= h >> 15;
  return static_cast<int32_t>(h);
}

int32_t partition_of_key(std::string_view key, int32_t partitions) {
  CHECK(partitions > 0);
  return (murmur2(key) & 0x7fffffff) % partitions;
}

}  // namespace broker::coordination
