#pragma once
// CRC-32C (Castagnoli), the checksum of Kafka record batches and of our own files. Uses the CPU's
// instruction where there is one.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace broker {

// Extends `crc` (0 at the start) over `data`.
uint32_t crc32c_extend(uint32_t crc, const void* data, size_t size);
// The checksum of A followed by B from those of A and of B, which has `b_size` bytes, without reading
// either: about a microsecond.
uint32_t crc32c_combine(uint32_t a, uint32_t b, uint64_t b_size);
inline uint32_t crc32c(std::string_view data) { return crc32c_extend(0, data.data(), data.size()); }

}  // namespace broker
