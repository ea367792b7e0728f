#include "broker/base/crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace broker {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = (c & 1) ? 0x82f63b78u ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr auto kTable = make_table();

uint32_t extend_table(uint32_t c, const uint8_t* p, size_t n) {
  while (n--) c = kTable[(c ^ *p++) & 0xff] ^ (c >> 8);
  return c;
}

// A checksum is a polynomial over GF(2) modulo kPolynomial, its highest power in the lowest bit. To
// append n zero bytes is to multiply by x^(8n).
constexpr uint32_t kPolynomial = 0x82f63b78u, kOne = 1u << 31;

constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t power = kOne; power != 0; power >>= 1) {
    if (a & power) product ^= b;
    b = (b & 1) ? kPolynomial ^ (b >> 1) : b >> 1;
  }
  return product;
}

constexpr uint32_t zeros(uint64_t bytes) {
  uint32_t factor = kOne, square = kOne >> 8;  // x^8
  for (; bytes > 0; bytes >>= 1) {
    if (bytes & 1) factor = multiply(factor, square);
    square = multiply(square, square);
  }
  return factor;
}

// Appends a fixed number of zero bytes by four look-ups.
struct Shift {
  constexpr explicit Shift(uint64_t bytes) {
    const uint32_t factor = zeros(bytes);
    for (uint32_t k = 0; k < 4; k++) {
      for (uint32_t v = 0; v < 256; v++) table[k][v] = multiply(factor, v << (8 * k));
    }
  }
  uint32_t operator()(uint32_t c) const {
    return table[0][c & 0xff] ^ table[1][(c >> 8) & 0xff] ^ table[2][(c >> 16) & 0xff] ^
           table[3][c >> 24];
  }
  std::array<std::array<uint32_t, 256>, 4> table{};
};

#if defined(__x86_64__)
constexpr size_t kLane = 2048;
constexpr Shift kShiftLane(kLane);

// The instruction takes a word per cycle, and its result is there after three: so three lanes at a
// time.
__attribute__((target("sse4.2"))) uint64_t extend_lanes(uint64_t c, const uint8_t* p) {
  uint64_t second = 0, third = 0;
  for (size_t at = 0; at < kLane; at += 8) {
    uint64_t words[3];
    std::memcpy(&words[0], p + at, 8);
    std::memcpy(&words[1], p + kLane + at, 8);
    std::memcpy(&words[2], p + 2 * kLane + at, 8);
    c = _mm_crc32_u64(c, words[0]);
    second = _mm_crc32_u64(second, words[1]);
    third = _mm_crc32_u64(third, words[2]);
  }
  c = kShiftLane(static_cast<uint32_t>(c)) ^ second;
  return kShiftLane(static_cast<uint32_t>(c)) ^ third;
}

__attribute__((target("sse4.2"))) uint32_t extend_sse42(uint32_t c, const uint8_t* p, size_t n) {
  uint64_t c64 = c;
  for (; n >= 3 * kLane; p += 3 * kLane, n -= 3 * kLane) c64 = extend_lanes(c64, p);
  while (n >= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    c64 = _mm_crc32_u64(c64, word);
    p += 8;
    n -= 8;
  }
  c = static_cast<uint32_t>(c64);
  while (n--) c = _mm_crc32_u8(c, *p++);
  return c;
}
#endif

}  // namespace

uint32_t crc32c_combine(uint32_t a, uint32_t b, uint64_t b_size) {
  return multiply(zeros(b_size), a) ^ b;
}

uint32_t crc32c_extend(uint32_t crc, const void* data, size_t size) {
  auto* p = static_cast<const uint8_t*>(data);
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2");
  if (has_sse42) return ~extend_sse42(~crc, p, size);
#endif
  return ~extend_table(~crc, p, size);
}

}  // namespace broker
