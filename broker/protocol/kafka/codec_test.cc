// Goal: the primitives at their edges: null against empty, compact lengths, tagged fields that are
// out of order, and records that are spliced into a frame without a copy.
#include "broker/protocol/kafka/codec.h"

#include <gtest/gtest.h>

namespace broker::protocol::kafka {
namespace {

Buffer buffer(std::string_view bytes) {
  return Buffer::copy_of(bytes);
}

TEST(Codec, NullAndEmptyStringsDiffer) {
  using namespace std::string_view_literals;
  struct Case {
    std::string_view bytes;
    bool flexible, nullable, ok;
    std::optional<std::string> value;
  };
  for (const Case& c : std::vector<Case>{{"\xff\xff"sv, false, true, true, std::nullopt},
                                         {"\xff\xff"sv, false, false, false, std::nullopt},
                                         {"\0\0"sv, false, true, true, ""},
                                         {"\0\2ab"sv, false, true, true, "ab"},
                                         {"\0\3ab"sv, false, true, false, std::nullopt},
                                         {"\xff\xfe"sv, false, true, false, std::nullopt},
                                         {"\0"sv, true, true, true, std::nullopt},
                                         {"\0"sv, true, false, false, std::nullopt},
                                         {"\1"sv, true, false, true, ""},
                                         {"\3ab"sv, true, true, true, "ab"},
                                         {"\4ab"sv, true, true, false, std::nullopt}}) {
    Buffer frame = buffer(c.bytes);
    Reader in(frame);
    std::optional<std::string> value;
    in.string(c.flexible, c.nullable, value);
    EXPECT_EQ(in.ok(), c.ok) << c.bytes.size();
    if (c.ok) {
      EXPECT_EQ(value, c.value);
      Writer out;
      out.string(c.flexible, c.nullable, value);
      EXPECT_EQ(out.take_flat(), c.bytes);
    }
  }
}

TEST(Codec, TagsAscend) {
  UnknownTags tags;
  Buffer good = buffer(std::string_view("\2\1\1a\5\0", 6));
  Reader in(good);
  in.unknown_tags(tags);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(tags, (UnknownTags{{1, "a"}, {5, ""}}));
  for (std::string_view bad : {std::string_view("\2\5\0\1\0", 5), std::string_view("\2\1\0\1\0", 5),
                               std::string_view("\2\1\0", 3), std::string_view("\1\1\2a", 4)}) {
    Buffer frame = buffer(bad);
    Reader refused(frame);
    UnknownTags none;
    refused.unknown_tags(none);
    EXPECT_FALSE(refused.ok());
  }
}

TEST(Codec, RecordsAreNotCopied) {
  Buffer batch = buffer("0123456789");
  Writer out;
  out.i32(1);
  out.records(true, true, Records{{batch.slice(0, 4), batch.slice(4, 6)}});
  out.i8(7);
  EXPECT_EQ(out.size(), 4u + 1 + 10 + 1);
  std::vector<Buffer> pieces = out.take();
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[1].data(), batch.data());
  EXPECT_EQ(pieces[2].data(), batch.data() + 4);
  Buffer frame = buffer(Records{pieces}.flatten());
  Reader in(frame);
  EXPECT_EQ(in.i32(), 1);
  std::optional<Records> records;
  in.records(true, true, records);
  ASSERT_TRUE(in.ok() && records);
  EXPECT_EQ(records->pieces[0].data(), frame.data() + 5);
  EXPECT_EQ(records->flatten(), "0123456789");
  EXPECT_EQ(in.i8(), 7);
  EXPECT_EQ(in.remaining(), 0u);
}

}  // namespace
}  // namespace broker::protocol::kafka
