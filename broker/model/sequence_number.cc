#include "broker/model/sequence_number.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"

namespace broker {
namespace {

constexpr std::array<std::array<char, 2>, 100> make_pairs() {
  std::array<std::array<char, 2>, 100> pairs{};
  for (size_t i = 0; i < 100; ++i) {
    pairs[i] = {static_cast<char>('0' + i / 10), static_cast<char>('0' + i % 10)};
  }
  return pairs;
}
constexpr auto kPairs = make_pairs();

// 192 bits, the highest first.
using Words = std::array<uint64_t, 3>;
constexpr uint64_t kGenerationMax = (uint64_t{1} << 36) - 1;
constexpr uint32_t kHashBits = 28;
constexpr uint64_t kLayout = 2;
constexpr uint64_t kTenTo19 = 10'000'000'000'000'000'000u;
constexpr size_t kDigits = 56;
constexpr size_t kDigitsPerPart = 19;

// words[0]: 4 bits 0 | 4 bits 2 | generation | shard's lowest 4 | place's highest 16
// words[1]: place's other 48 | 8 bits 0 | hash's highest 8 of 36
// words[2]: hash's other 28 | shard | layout
Words pack(const SequenceNumber& n) {
  CHECK(n.generation <= kGenerationMax);
  const auto shard = static_cast<uint64_t>(static_cast<uint32_t>(n.shard));
  return {uint64_t{2} << 56 | n.generation << 20 | (shard & 15) << 16 | n.place >> 48,
          n.place << 16, static_cast<uint64_t>(n.stream_hash) << 36 | shard << 4 | kLayout};
}

SequenceNumber unpack(const Words& words) {
  SequenceNumber n;
  n.generation = words[0] >> 20 & kGenerationMax;
  n.place = words[0] << 48 | words[1] >> 16;
  n.stream_hash = static_cast<uint32_t>(words[2] >> 36);
  n.shard = static_cast<int32_t>(static_cast<uint32_t>(words[2] >> 4));
  return n;
}

uint64_t divide(Words& words, uint64_t by) {
  unsigned __int128 rest = 0;
  for (uint64_t& word : words) {
    unsigned __int128 value = rest << 64 | word;
    word = static_cast<uint64_t>(value / by);
    rest = value % by;
  }
  return static_cast<uint64_t>(rest);
}

// words * by + add; false on overflow.
bool multiply_add(Words& words, uint64_t by, uint64_t add) {
  unsigned __int128 carry = add;
  for (auto it = words.rbegin(); it != words.rend(); ++it) {
    unsigned __int128 value = static_cast<unsigned __int128>(*it) * by + carry;
    *it = static_cast<uint64_t>(value);
    carry = value >> 64;
  }
  return carry == 0;
}

// Nothing for what is no number, or too large a one.
std::optional<Words> parse_words(std::string_view decimal) {
  Words words{};
  for (char c : decimal) {
    if (c < '0' || c > '9') return std::nullopt;
    if (!multiply_add(words, 10, static_cast<uint64_t>(c - '0'))) return std::nullopt;
  }
  if (decimal.empty()) return std::nullopt;
  return words;
}

}  // namespace

uint32_t sequence_stream_hash(const Uuid& stream) {
  return crc32c(std::string_view(reinterpret_cast<const char*>(stream.bytes.data()), 16)) &
         ((1u << kHashBits) - 1);
}

SequenceNumber sequence_number_of(const Uuid& stream, int32_t shard, int64_t opened_generation,
                                  Offset offset) {
  return {static_cast<uint64_t>(opened_generation), shard, static_cast<uint64_t>(offset.value) + 1,
          sequence_stream_hash(stream)};
}

std::string format_sequence_number(const SequenceNumber& number) {
  Words words = pack(number);
  char digits[kDigits + 1];  // three parts of 19
  for (size_t part = 3; part-- > 0;) {
    uint64_t value = divide(words, kTenTo19);
    char* to = digits + (part + 1) * kDigitsPerPart;
    for (size_t pair = 0; pair < kDigitsPerPart / 2; ++pair, value /= 100) {
      to -= 2;
      std::memcpy(to, kPairs[value % 100].data(), 2);
    }
    to[-1] = static_cast<char>('0' + value);
  }
  return std::string(digits + 1, kDigits);  // 2^185 and 3 * 2^184 have 56 digits
}

std::optional<SequenceNumber> parse_sequence_number(std::string_view decimal) {
  if (decimal.size() != kDigits || decimal[0] == '0') return std::nullopt;
  const auto words = parse_words(decimal);
  if (!words) return std::nullopt;
  const SequenceNumber number = unpack(*words);
  // What does not come out as it went in is not ours.
  if (number.shard < 0 || number.place > INT64_MAX || pack(number) != *words) return std::nullopt;
  return number;
}

bool may_be_sequence_number(std::string_view decimal) {
  // Seconds that AWS calls too many for the time a shard was made at, as kinesalite found.
  constexpr uint64_t kSecondsEnd = 16'025'175'000;
  const auto words = parse_words(decimal);
  if (!words) return false;
  const auto& [high, middle, low] = *words;
  if (high == 0) {  // the oldest layout: 2^124, where it is not left out, and the time in 36 bits
    return middle >> 61 == 0 && (middle >> 24 & kGenerationMax) < kSecondsEnd;
  }
  if (high >> 56 != 2) return false;
  const uint64_t layout = low & 15;
  const bool index_fits = (high >> 15 & 1) == 0;
  return layout == 1 ||
         (layout == kLayout && index_fits && (high >> 20 & kGenerationMax) < kSecondsEnd);
}

std::string format_shard_id(int32_t index) {
  std::string digits = std::to_string(index);
  return "shardId-" + std::string(digits.size() < 12 ? 12 - digits.size() : 0, '0') + digits;
}

std::optional<int32_t> parse_shard_id(std::string_view text) {
  if (size_t hyphen = text.find('-'); hyphen != std::string_view::npos) {
    std::string_view rest = text.substr(hyphen + 1);
    text = rest.substr(0, rest.find('-'));
  }
  if (text.empty()) return std::nullopt;
  int64_t index = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    index = std::min<int64_t>(index * 10 + (c - '0'), int64_t{1} << 40);
  }
  if (index > INT32_MAX) return std::nullopt;
  return static_cast<int32_t>(index);
}

}  // namespace broker
