// Sizes, durations and times as people write them, and bytes as JSON can carry them.
#include "broker/cli/units.h"

#include <gtest/gtest.h>

#include "broker/cli/output.h"

namespace broker::cli {
namespace {

TEST(Units, Bytes) {
  EXPECT_EQ(*parse_bytes("4096"), 4096);
  EXPECT_EQ(*parse_bytes("4MiB"), 4 << 20);
  EXPECT_EQ(*parse_bytes("64k"), 64 << 10);
  EXPECT_EQ(*parse_bytes("2MB"), 2'000'000);
  EXPECT_EQ(*parse_bytes("1.5Ki"), 1536);
  for (const char* text : {"", "x", "4XB", "-1", "4 MiB", "1..5k", "99999999999TiB", "4MiBs"}) {
    EXPECT_FALSE(parse_bytes(text).ok()) << text;
  }
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
}

TEST(Units, Durations) {
  EXPECT_EQ(*parse_duration_ms("500ms"), 500);
  EXPECT_EQ(*parse_duration_ms("7d"), 7LL * 86'400'000);
  EXPECT_EQ(*parse_duration_ms("1h30m"), 5'400'000);
  EXPECT_EQ(*parse_duration_ms("forever"), -1);
  for (const char* text : {"", "7", "d", "7days", "1h30", "-5s"}) {
    EXPECT_FALSE(parse_duration_ms(text).ok()) << text;
  }
  EXPECT_EQ(format_duration(7LL * 86'400'000), "7d");
  EXPECT_EQ(format_duration(5'400'000), "1h30m");
  EXPECT_EQ(format_duration(-1), "forever");
}

TEST(Units, Times) {
  EXPECT_EQ(*parse_time_ms("1700000000000"), 1700000000000);
  EXPECT_EQ(*parse_time_ms("2023-11-14T22:13:20Z"), 1700000000000);
  EXPECT_EQ(*parse_time_ms("1970-01-02"), 86'400'000);
  EXPECT_FALSE(parse_time_ms("yesterday").ok());
  EXPECT_EQ(parse_separator("TAB"), "\t");
  EXPECT_EQ(parse_separator("::"), "::");
}

TEST(Output, BytesInJson) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

TEST(Output, TablesAlign) {
  Table table({"NAME", "N"});
  table.add({"a", "10"});
  EXPECT_EQ(table.text(), "NAME  N\na     10\n");
}

}  // namespace
}  // namespace broker::cli
