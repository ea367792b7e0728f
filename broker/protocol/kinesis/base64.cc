#include "broker/protocol/kinesis/base64.h"

#include <array>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace broker::protocol::kinesis {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint32_t kBad = 0x80000000;  // survives every OR

// A character's six bits, in their place in the 24-bit group, for each of the four places.
using Places = std::array<std::array<uint32_t, 256>, 4>;
constexpr Places make_places() {
  Places places{};
  for (auto& place : places) place.fill(kBad);
  for (uint32_t i = 0; i < 64; ++i) {
    for (uint32_t place = 0; place < 4; ++place) {
      places[place][static_cast<uint8_t>(kAlphabet[i])] = i << (18 - 6 * place);
    }
  }
  return places;
}
constexpr Places kPlaces = make_places();

// Two characters for twelve bits.
constexpr std::array<std::array<char, 2>, 4096> make_pairs() {
  std::array<std::array<char, 2>, 4096> pairs{};
  for (size_t i = 0; i < 4096; ++i) pairs[i] = {kAlphabet[i >> 6], kAlphabet[i & 63]};
  return pairs;
}
constexpr auto kPairs = make_pairs();

uint32_t group(const char* text) {
  const auto* p = reinterpret_cast<const uint8_t*>(text);
  return kPlaces[0][p[0]] | kPlaces[1][p[1]] | kPlaces[2][p[2]] | kPlaces[3][p[3]];
}

void put(char* out, uint32_t bits) {
  out[0] = static_cast<char>(bits >> 16);
  out[1] = static_cast<char>(bits >> 8);
  out[2] = static_cast<char>(bits);
}

#if defined(__x86_64__)
// With AVX2, after W. Mula and D. Lemire, "Faster Base64 Encoding and Decoding using AVX2
// Instructions" (ACM TWEB 12(3), 2018): a table of 16 bytes is looked up 32 times by one shuffle.
#define SL_AVX2 __attribute__((target("avx2")))

using Table = std::array<int8_t, 16>;

// A character is good when the rows of its high half and of its low half have no bit in common: a
// bit stands for the high halves that have the same good low halves, and is in the row of every low
// half that is not one of them. kNone is for high halves that have no good low half.
struct Good {
  Table high{}, low{};
};
constexpr Good make_good() {
  constexpr int8_t kNone = 0x40;
  Good good;
  std::array<uint32_t, 8> masks{};  // of good low halves; the high halves from 8 on have none
  for (uint32_t i = 0; i < 64; ++i) {
    const auto c = static_cast<uint8_t>(kAlphabet[i]);
    masks[c >> 4] |= 1u << (c & 15);
  }
  int bits = 0;
  for (size_t h = 0; h < 16; ++h) {
    if (h >= 8 || masks[h] == 0) {
      good.high[h] = kNone;
      continue;
    }
    for (size_t same = 0; same < h && good.high[h] == 0; ++same) {
      if (masks[same] == masks[h]) good.high[h] = good.high[same];
    }
    if (good.high[h] != 0) continue;
    good.high[h] = static_cast<int8_t>(1 << bits++);
    for (uint32_t l = 0; l < 16; ++l) {
      if (!(masks[h] >> l & 1)) good.low[l] = static_cast<int8_t>(good.low[l] | good.high[h]);
    }
  }
  for (int8_t& row : good.low) row = static_cast<int8_t>(row | kNone);
  return good;
}
constexpr Good kGood = make_good();

// What makes six bits of a character, by its high half; '/' shares its half with '+' and is moved to
// row 1, which is nobody's.
constexpr Table make_from_character() {
  Table table{};
  for (int i = 0; i < 63; ++i) {
    table[static_cast<size_t>(kAlphabet[i]) >> 4] = static_cast<int8_t>(i - kAlphabet[i]);
  }
  table[1] = static_cast<int8_t>(63 - '/');
  return table;
}
constexpr Table kFromCharacter = make_from_character();

// What makes a character of six bits: row 0 for 26 to 51, 1 to 12 for 52 to 63, 13 below 26.
constexpr Table make_to_character() {
  Table table{};
  table[0] = static_cast<int8_t>(kAlphabet[26] - 26);
  for (int i = 52; i < 64; ++i) table[static_cast<size_t>(i) - 51] = static_cast<int8_t>(kAlphabet[i] - i);
  table[13] = kAlphabet[0];
  return table;
}
constexpr Table kToCharacter = make_to_character();

SL_AVX2 inline __m256i twice(const Table& table) {
  return _mm256_broadcastsi128_si256(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(table.data())));
}

// Decodes from the front as long as 32 characters are good and 32 bytes may be written (the last 8
// are to be overwritten). Returns the characters taken.
SL_AVX2 size_t decode_avx2(const char* text, size_t size, char* to) {
  const __m256i high_rows = twice(kGood.high), low_rows = twice(kGood.low);
  const __m256i offsets = twice(kFromCharacter);
  const __m256i half = _mm256_set1_epi8(15), slash = _mm256_set1_epi8('/');
  // In each group of four bytes the lowest is the first: to be the highest of 24 bits.
  const __m256i order = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,  //
                                         2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  const __m256i together = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
  size_t at = 0;
  for (; size - at >= 44; at += 32, to += 24) {
    const __m256i in = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + at));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi32(in, 4), half);
    const __m256i low = _mm256_and_si256(in, half);
    if (!_mm256_testz_si256(_mm256_shuffle_epi8(high_rows, high),
                            _mm256_shuffle_epi8(low_rows, low))) {
      break;
    }
    const __m256i row = _mm256_add_epi8(high, _mm256_cmpeq_epi8(in, slash));
    const __m256i bits = _mm256_add_epi8(in, _mm256_shuffle_epi8(offsets, row));
    // 6 + 6 bits, then 12 + 12.
    const __m256i pairs = _mm256_maddubs_epi16(bits, _mm256_set1_epi32(0x01400140));
    const __m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
    const __m256i bytes =
        _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(groups, order), together);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
  }
  return at;
}

// Encodes from the front as long as 32 bytes may be read. Returns the bytes taken, 24 a step.
SL_AVX2 size_t encode_avx2(const uint8_t* from, size_t size, char* to) {
  const __m256i offsets = twice(kToCharacter);
  // Each group of three bytes twice over, so that 16 bits hold a whole part: b a c b.
  const __m256i order = _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10,  //
                                         1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
  size_t at = 0;
  for (; size - at >= 32; at += 24, to += 32) {
    const auto* p = reinterpret_cast<const __m128i*>(from + at);
    const auto* second = reinterpret_cast<const __m128i*>(from + at + 12);
    const __m256i in = _mm256_shuffle_epi8(
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(p)),
                                _mm_loadu_si128(second), 1),
        order);
    // The first and third part are shifted down by a multiplication's high half, the others up.
    const __m256i odd = _mm256_mulhi_epu16(_mm256_and_si256(in, _mm256_set1_epi32(0x0fc0fc00)),
                                           _mm256_set1_epi32(0x04000040));
    const __m256i even = _mm256_mullo_epi16(_mm256_and_si256(in, _mm256_set1_epi32(0x003f03f0)),
                                            _mm256_set1_epi32(0x01000010));
    const __m256i bits = _mm256_or_si256(odd, even);
    const __m256i below_26 = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), bits);
    const __m256i row = _mm256_or_si256(_mm256_subs_epu8(bits, _mm256_set1_epi8(51)),
                                        _mm256_and_si256(below_26, _mm256_set1_epi8(13)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm256_add_epi8(bits, _mm256_shuffle_epi8(offsets, row)));
  }
  return at;
}

const bool kHasAvx2 = __builtin_cpu_supports("avx2");
#else
constexpr bool kHasAvx2 = false;
size_t decode_avx2(const char*, size_t, char*) { return 0; }
size_t encode_avx2(const uint8_t*, size_t, char*) { return 0; }
#endif

std::string bad_character(std::string_view text) {
  for (char c : text) {
    if (kPlaces[0][static_cast<uint8_t>(c)] == kBad) {
      return std::string("Invalid Base64 character: '") + c + "'";
    }
  }
  return "Invalid Base64 character: '='";
}

}  // namespace

bool base64_decode(std::string_view text, std::string& out, std::string& why, Base64Way way) {
  if (text.size() % 4 != 0) {
    why = "Base64 encoded length is expected a multiple of 4 bytes but found: " +
          std::to_string(text.size());
    return false;
  }
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  size_t whole = text.size() - (padding ? 4 : 0);
  out.resize(text.size() / 4 * 3 - padding);
  char* to = out.data();
  uint32_t seen = 0;
  size_t i = 0;
  if (kHasAvx2 && way == Base64Way::kFastest) {
    i = decode_avx2(text.data(), whole, to);
    to += i / 4 * 3;
  }
  for (; i < whole; i += 4, to += 3) {
    uint32_t bits = group(text.data() + i);
    seen |= bits;
    put(to, bits);
  }
  if (padding && !(seen & kBad)) {
    // The characters before the padding, then 'A's, whose bits are none.
    char last[4] = {'A', 'A', 'A', 'A'}, bytes[3];
    for (size_t i = 0; i + padding < 4; ++i) last[i] = text[whole + i];
    uint32_t bits = group(last);
    seen |= bits;
    put(bytes, bits);
    for (size_t i = 0; i + padding < 3; ++i) *to++ = bytes[i];
    if (!(seen & kBad) && (bits & ((1u << (8 * padding)) - 1))) {
      why = "Invalid last non-pad Base64 character dectected";  // AWS's spelling
      return false;
    }
  }
  if (seen & kBad) {
    why = bad_character(text.substr(0, text.size() - padding));
    return false;
  }
  return true;
}

void base64_append(std::string_view bytes, std::string& out, Base64Way way) {
  size_t at = out.size();
  out.resize(at + base64_size(bytes.size()));
  char* to = out.data() + at;
  const auto* p = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
  if (kHasAvx2 && way == Base64Way::kFastest) {
    const size_t done = encode_avx2(p, left, to);
    left -= done, p += done, to += done / 3 * 4;
  }
  for (; left >= 3; left -= 3, p += 3, to += 4) {
    uint32_t bits = (uint32_t{p[0]} << 16) | (uint32_t{p[1]} << 8) | p[2];
    const auto &high = kPairs[bits >> 12], &low = kPairs[bits & 4095];
    to[0] = high[0], to[1] = high[1], to[2] = low[0], to[3] = low[1];
  }
  if (left == 0) return;
  uint32_t bits = (uint32_t{p[0]} << 16) | (left == 2 ? uint32_t{p[1]} << 8 : 0);
  const auto &high = kPairs[bits >> 12], &low = kPairs[bits & 4095];
  to[0] = high[0], to[1] = high[1], to[2] = left == 2 ? low[0] : '=', to[3] = '=';
}

}  // namespace broker::protocol::kinesis
