// Coding, checksums, ids and status: each against published or hand-computed values.
#include <gtest/gtest.h>

#include <thread>

#include "broker/base/bytes.h"
#include "broker/base/crc32c.h"
#include "broker/base/ids.h"
#include "broker/base/log_context.h"
#include "broker/base/metrics.h"
#include "broker/base/status.h"
#include "broker/base/utf8.h"

namespace broker {
namespace {

TEST(Utf8, IsWholeAndShortest) {
  EXPECT_TRUE(is_utf8("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
  EXPECT_FALSE(is_utf8("\xff"));
  EXPECT_FALSE(is_utf8("\xc0\x80"));      // overlong
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));  // a surrogate
  EXPECT_FALSE(is_utf8("\xe2\x82"));      // cut
}

TEST(Crc32c, MatchesRfc3720Vectors) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
}

// Long inputs go three lanes at a time; a byte at a time they do not.
TEST(Crc32c, IsTheSameHoweverItIsComputed) {
  std::string bytes(50'000, '\0');
  uint32_t state = 7;
  for (char& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  for (size_t size : {0u, 7u, 6143u, 6144u, 6145u, 12'288u, 20'001u, 50'000u}) {
    std::string_view data = std::string_view(bytes).substr(0, size);
    uint32_t slow = 0;
    for (char c : data) slow = crc32c_extend(slow, &c, 1);
    EXPECT_EQ(crc32c(data), slow) << size;
    for (size_t cut : {size_t{0}, size / 3, size}) {
      uint32_t a = crc32c(data.substr(0, cut)), b = crc32c(data.substr(cut));
      EXPECT_EQ(crc32c_combine(a, b, size - cut), slow) << size << " cut at " << cut;
    }
  }
}

TEST(Bytes, FixedAndVarintsRoundTrip) {
  std::string raw;
  ByteWriter out(raw);
  out.i16(-2);
  out.i32(0x01020304);
  out.varint32(-1);
  out.varint64(INT64_MIN);
  out.uvarint32(300);
  ByteReader in(raw);
  EXPECT_EQ(in.i16(), -2);
  EXPECT_EQ(in.i32(), 0x01020304);
  EXPECT_EQ(in.varint32(), -1);
  EXPECT_EQ(in.varint64(), INT64_MIN);
  EXPECT_EQ(in.uvarint32(), 300u);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.remaining(), 0u);
}

TEST(Bytes, ShortOrOverlongInputFailsAndStaysFailed) {
  ByteReader in(std::string_view("\x00\x01", 2));
  EXPECT_EQ(in.i32(), 0);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.i8(), 0);
  EXPECT_FALSE(in.ok());
  ByteReader overlong(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11));
  overlong.uvarint64();
  EXPECT_FALSE(overlong.ok());
  ByteReader large(std::string_view("\xff\xff\xff\xff\x7f", 5));
  large.uvarint32();
  EXPECT_FALSE(large.ok());
}

TEST(Uuid, TextRoundTripsAndRejectsOther) {
  Uuid id = Uuid::from_random(0x0123456789abcdefULL, 0xfedcba9876543210ULL);
  EXPECT_EQ(id.to_string(), "01234567-89ab-4def-bedc-ba9876543210");
  EXPECT_EQ(Uuid::parse(id.to_string()), id);
  EXPECT_FALSE(Uuid::parse("01234567-89ab-4def-bedc-ba987654321"));
  EXPECT_FALSE(Uuid::parse("01234567x89ab-4def-bedc-ba9876543210"));
}

TEST(Status, CarriesCodeAndContext) {
  Status status(Code::kNotFound, "no stream 'x'");
  EXPECT_EQ(status.with_context("describe").to_string(), "NOT_FOUND: describe: no stream 'x'");
  Result<int> value(3);
  EXPECT_TRUE(value.ok());
  Result<int> error(status);
  EXPECT_EQ(error.code(), Code::kNotFound);
}

TEST(Metrics, ExposesPrometheusText) {
  Metrics metrics;
  metrics.counter("sluice_test_total", "Things.", {{"kind", "a"}}).Increment(2);
  EXPECT_NE(metrics.expose().find("sluice_test_total{kind=\"a\"} 2"), std::string::npos);
}

TEST(Log, AContextIsInEveryLineOfItsThreadAndEndsWithIt) {
  testing::internal::CaptureStderr();
  LogContext::add({"lost", 1});  // without a context there is nothing to add to
  {
    LogContext outer({{"object", "default/q"}});
    LogContext::add({"generation", 7});
    log_info("test", "outer");
    {
      LogContext inner({{"step", "apply"}});
      log_info("test", "inner", {{"own", "x"}});
    }
    std::thread([] { log_info("test", "elsewhere"); }).join();
    log_info("test", "again");
  }
  log_info("test", "after");
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_NE(lines.find("test: outer object=default/q generation=7\n"), std::string::npos) << lines;
  EXPECT_NE(lines.find("test: inner object=default/q generation=7 step=apply own=x\n"),
            std::string::npos);
  EXPECT_NE(lines.find("test: elsewhere\n"), std::string::npos);
  EXPECT_NE(lines.find("test: again object=default/q generation=7\n"), std::string::npos);
  EXPECT_NE(lines.find("test: after\n"), std::string::npos);
}

}  // namespace
}  // namespace broker
