#include "broker/protocol/kinesis/base64.h"

#include <array>
#include <cstdint>

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

std::string bad_character(std::string_view text) {
  for (char c : text) {
    if (kPlaces[0][static_cast<uint8_t>(c)] == kBad) {
      return std::string("Invalid Base64 character: '") + c + "'";
    }
  }
  return "Invalid Base64 character: '='";
}

}  // namespace

bool base64_decode(std::string_view text, std::string& out, std::string& why) {
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
  for (size_t i = 0; i < whole; i += 4, to += 3) {
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

void base64_append(std::string_view bytes, std::string& out) {
  size_t at = out.size();
  out.resize(at + base64_size(bytes.size()));
  char* to = out.data() + at;
  const auto* p = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
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
