// Goal: every codec gives back what went in, never more than the bound, and survives damage; snappy
// is read with and without xerial framing.
#include "broker/model/compression.h"

#include <gtest/gtest.h>
#include <snappy.h>

#include <random>

namespace broker {
namespace {

constexpr Compression kCodecs[] = {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                                   Compression::kLz4, Compression::kZstd};

std::string sample(size_t size) {
  std::string text;
  std::mt19937 engine(7);
  while (text.size() < size) text += "flight " + std::to_string(engine() % 1000) + ";";
  text.resize(size);
  return text;
}

TEST(Compression, RoundTripsWithinTheBound) {
  for (Compression codec : kCodecs) {
    for (size_t size : {size_t{1}, size_t{100}, size_t{40'000}, size_t{300'000}}) {
      std::string raw = sample(size);
      auto packed = compress(codec, raw);
      ASSERT_TRUE(packed.ok());
      auto plain = decompress(codec, *packed, size);
      ASSERT_TRUE(plain.ok()) << to_string(codec) << " " << plain.status().to_string();
      EXPECT_EQ(*plain, raw);
      EXPECT_EQ(decompress(codec, *packed, size - 1).code(), Code::kTooLarge) << to_string(codec);
    }
  }
}

TEST(Compression, ABombStopsAtTheBound) {
  std::string zeros(8 << 20, '\0');
  for (Compression codec : kCodecs) {
    auto packed = compress(codec, zeros);
    ASSERT_TRUE(packed.ok());
    EXPECT_EQ(decompress(codec, *packed, 100'000).code(), Code::kTooLarge) << to_string(codec);
  }
}

TEST(Compression, DamageIsAnErrorOrOtherBytes) {
  std::mt19937 engine(3);
  for (Compression codec : kCodecs) {
    std::string packed = *compress(codec, sample(5'000));
    for (int round = 0; round < 300; ++round) {
      std::string damaged = packed;
      damaged[engine() % damaged.size()] ^= static_cast<char>(1 + engine() % 255);
      if (round % 3 == 0) damaged.resize(engine() % damaged.size());
      auto plain = decompress(codec, damaged, 1 << 20);
      if (plain.ok()) {
        EXPECT_LE(plain->size(), size_t{1} << 20);
      }
    }
  }
}

TEST(Compression, CutInputIsCorrupt) {
  for (Compression codec : {Compression::kGzip, Compression::kLz4, Compression::kZstd}) {
    std::string packed = *compress(codec, sample(5'000));
    EXPECT_EQ(decompress(codec, packed.substr(0, packed.size() / 2), 1 << 20).code(),
              Code::kCorruption)
        << to_string(codec);
  }
}

TEST(Compression, SnappyWithoutFraming) {
  std::string raw = sample(50'000), packed;
  snappy::Compress(raw.data(), raw.size(), &packed);
  auto plain = decompress(Compression::kSnappy, packed, raw.size());
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(*plain, raw);
}

}  // namespace
}  // namespace broker
