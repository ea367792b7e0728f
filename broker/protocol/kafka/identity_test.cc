// Goal: for every API, direction and version, what is encoded is decoded to the same value, and
// what was decoded is encoded to the same bytes. Contents are random but seeded.
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

constexpr int kRounds = 20;

template <class Message>
void expect_identity(std::string_view name) {
  for (int16_t version = Message::kVersionMin; version <= Message::kVersionMax; ++version) {
    for (int round = 0; round < kRounds; ++round) {
      SCOPED_TRACE(std::string(name) + " v" + std::to_string(version) + " round " +
                   std::to_string(round));
      Randomizer random(static_cast<uint64_t>(version) * 1000 + round);
      Message message;
      randomize_fields(random, version, message);
      Writer out;
      encode_fields(out, version, message);
      Buffer bytes = Buffer::from_string(out.take_flat());
      Reader in(bytes);
      Message again;
      decode_fields(in, version, again);
      ASSERT_TRUE(in.ok());
      EXPECT_EQ(in.remaining(), 0u);
      ASSERT_TRUE(again == message);
      Writer out_again;
      encode_fields(out_again, version, again);
      ASSERT_EQ(out_again.take_flat(), bytes.view());
    }
  }
}

TEST(Identity, EveryApiDirectionAndVersion) {
#define SL_CHECK(Name)                             \
  expect_identity<Name##Request>(#Name "Request"); \
  expect_identity<Name##Response>(#Name "Response");
  SL_KAFKA_FOR_EACH_API(SL_CHECK)
#undef SL_CHECK
}

TEST(Identity, Headers) {
  for (const ApiInfo& api : kApis) {
    for (int16_t version = api.version_min; version <= api.version_max; ++version) {
      RequestHeader header{static_cast<int16_t>(api.key), version, 77, "client", {}};
      if (version >= api.flexible_from) header.unknown_tags.push_back({3, "x"});
      Writer out;
      encode_header(out, header);
      Buffer bytes = Buffer::from_string(out.take_flat());
      Reader in(bytes);
      RequestHeader again;
      ASSERT_TRUE(decode_header(in, again));
      EXPECT_EQ(in.remaining(), 0u);
      EXPECT_TRUE(again == header) << api.name << " v" << version;
    }
  }
}

}  // namespace
}  // namespace broker::protocol::kafka
