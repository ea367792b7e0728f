// Goal: frames come out whole however their bytes arrive, a length above the limit is refused at
// once, and a length alone takes no more than the first block of memory.
#include "broker/server/kafka/frame_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace broker::server::kafka {
namespace {

std::string framed(std::string_view body) {
  std::string bytes(4, '\0');
  store_be(bytes.data(), static_cast<int32_t>(body.size()));
  return bytes.append(body);
}

// Feeds in pieces of `step` bytes, as read() does.
std::vector<std::string> cut(FrameReader& reader, std::string_view input, size_t step) {
  std::vector<std::string> frames;
  while (!input.empty()) {
    std::string_view piece = input.substr(0, step);
    input.remove_prefix(piece.size());
    for (;;) {
      if (auto frame = reader.take()) {
        frames.emplace_back(frame->view());
        continue;
      }
      if (piece.empty()) break;
      EXPECT_TRUE(reader.feed(piece).ok());
    }
  }
  return frames;
}

TEST(FrameReader, AnyCutGivesTheSameFrames) {
  std::string big(3 << 20, 'b');
  std::string input = framed("one") + framed("") + framed(big) + framed("last");
  for (size_t step : {size_t{1000}, size_t{4096}, size_t{1 << 20}, input.size()}) {
    FrameReader reader(10 << 20);
    EXPECT_EQ(cut(reader, input, step), (std::vector<std::string>{"one", "", big, "last"}));
    EXPECT_FALSE(reader.in_frame());
  }
  FrameReader reader(100);
  EXPECT_EQ(cut(reader, framed("a") + framed("bc"), 1), (std::vector<std::string>{"a", "bc"}));
}

TEST(FrameReader, ReadsDirectlyIntoAFrameThatHasBegun) {
  std::string body(2 << 20, 'x');
  std::string input = framed(body);
  FrameReader reader(10 << 20);
  std::string_view head = std::string_view(input).substr(0, 10);
  ASSERT_TRUE(reader.feed(head).ok());
  size_t at = 10;
  std::optional<Buffer> frame;
  while (!(frame = reader.take())) {
    FrameReader::Space space = reader.space();
    size_t bytes = std::min(space.size, input.size() - at);
    ASSERT_GT(bytes, 0u);
    std::memcpy(space.data, input.data() + at, bytes);
    reader.filled(bytes);
    at += bytes;
  }
  EXPECT_EQ(frame->view(), body);
}

TEST(FrameReader, LengthsAreBounded) {
  for (int32_t length : {-1, 101, INT32_MAX}) {
    std::string bytes(4, '\0');
    store_be(bytes.data(), length);
    std::string_view input = bytes;
    FrameReader reader(100);
    EXPECT_EQ(reader.feed(input).code(), Code::kTooLarge) << length;
  }
  std::string bytes(4, '\0');
  store_be<int32_t>(bytes.data(), 100 << 20);
  std::string_view input = bytes;
  FrameReader reader(100 << 20);
  ASSERT_TRUE(reader.feed(input).ok());
  EXPECT_LE(reader.space().size, size_t{1} << 20);
}

}  // namespace
}  // namespace broker::server::kafka
