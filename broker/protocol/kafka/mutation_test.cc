// Goal: no bytes make a decoder crash, read outside its input or take memory beyond its budget; and
// whatever it accepts survives another encode and decode. Mutations of valid messages are seeded;
// the same decoders run under libFuzzer in tests/fuzz.
#include <gtest/gtest.h>

#include "broker/protocol/kafka/frames.h"
#include "broker/protocol/kafka/messages/all.h"
#include "broker/protocol/kafka/randomize.h"

namespace broker::protocol::kafka {

#define SL_DECLARE(Name)                                       \
  void randomize_fields(Randomizer&, int16_t, Name##Request&); \
  void randomize_fields(Randomizer&, int16_t, Name##Response&);
SL_KAFKA_FOR_EACH_API(SL_DECLARE)
#undef SL_DECLARE

namespace {

constexpr int kRounds = 60;

void mutate(Randomizer& random, std::string& bytes) {
  for (uint64_t edits = random.next() % 4 + 1; edits > 0 && !bytes.empty(); --edits) {
    size_t at = random.next() % bytes.size();
    switch (random.next() % 5) {
      case 0:
        bytes[at] = static_cast<char>(random.next());
        break;
      case 1:
        bytes[at] = static_cast<char>(0xff);
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3:
        bytes.insert(at, random.bytes(8));
        break;
      case 4:
        bytes.erase(at, random.next() % 8);
        break;
    }
  }
}

template <class Message>
void expect_survival() {
  for (int16_t version = Message::kVersionMin; version <= Message::kVersionMax; ++version) {
    for (int round = 0; round < kRounds; ++round) {
      Randomizer random(static_cast<uint64_t>(version) * 7919 + round);
      Message message;
      randomize_fields(random, version, message);
      Writer out;
      encode_fields(out, version, message);
      std::string bytes = out.take_flat();
      mutate(random, bytes);
      Buffer input = Buffer::from_string(std::move(bytes));
      Reader in(input);
      Message decoded;
      decode_fields(in, version, decoded);
      if (!in.ok()) continue;
      Writer again;
      encode_fields(again, version, decoded);
      Buffer encoded = Buffer::from_string(again.take_flat());
      Reader second(encoded);
      Message twice;
      decode_fields(second, version, twice);
      ASSERT_TRUE(second.ok() && second.remaining() == 0) << Message::kApiKey << " v" << version;
      ASSERT_TRUE(twice == decoded) << Message::kApiKey << " v" << version << " round " << round;
    }
  }
}

TEST(Mutation, NothingCrashesAndAcceptedBytesStayStable) {
#define SL_CHECK(Name)              \
  expect_survival<Name##Request>(); \
  expect_survival<Name##Response>();
  SL_KAFKA_FOR_EACH_API(SL_CHECK)
#undef SL_CHECK
}

// A small frame that claims many elements is refused before memory is taken for them.
TEST(Mutation, CountsAreBoundedByTheBytesThatAreLeft) {
  Writer out;
  out.i32(100'000'000);
  out.raw(std::string(1000, '\0'));
  Buffer bytes = Buffer::from_string(out.take_flat());
  Reader in(bytes);
  MetadataRequest request;
  decode_fields(in, 1, request);
  EXPECT_FALSE(in.ok());
  EXPECT_TRUE(!request.topics || request.topics->empty());
}

// A large frame of the smallest elements is bounded by the budget: 4 times the frame plus 16 MiB.
TEST(Mutation, MemoryIsBoundedByTheBudget) {
  constexpr size_t kSize = 16 << 20;
  Writer out;
  out.i32(kSize / 2);
  out.raw(std::string(kSize, '\0'));  // names of no bytes
  Buffer bytes = Buffer::from_string(out.take_flat());
  Reader in(bytes);
  MetadataRequest request;
  decode_fields(in, 1, request);
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace broker::protocol::kafka
