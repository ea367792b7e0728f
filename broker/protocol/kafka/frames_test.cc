// Goal: frames of known bytes, laid out by hand from Kafka's protocol guide, and the header rules
// that clients depend on.
#include "broker/protocol/kafka/frames.h"

#include <gtest/gtest.h>

#include "broker/protocol/kafka/errors.h"
#include "broker/protocol/kafka/messages/all.h"

namespace broker::protocol::kafka {
namespace {

std::string hex(std::string_view text) {
  std::string bytes;
  int high = -1;
  for (char c : text) {
    if (c == ' ') continue;
    int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  return bytes;
}

template <class Request>
Request decode_golden(const std::string& frame, RequestHeader& header) {
  Buffer bytes = Buffer::copy_of(std::string_view(frame).substr(4));
  Reader in(bytes);
  EXPECT_TRUE(decode_header(in, header));
  auto request = decode_body<Request>(in, header.api_version);
  EXPECT_TRUE(request.ok());
  EXPECT_EQ(in.remaining(), 0u);
  EXPECT_EQ(encode_request(header, *request), frame);
  return *request;
}

TEST(Frames, ApiVersionsRequestVersion3) {
  RequestHeader header;
  auto request = decode_golden<ApiVersionsRequest>(
      hex("00000024 0012 0003 00000001 0007 72646b61666b61 00"  // header v2, "rdkafka"
          "0b 6c696272646b61666b61 06 322e302e32 00"),          // "librdkafka", "2.0.2"
      header);
  EXPECT_EQ(header.client_id, "rdkafka");
  EXPECT_EQ(request.client_software_name, "librdkafka");
  EXPECT_EQ(request.client_software_version, "2.0.2");
}

TEST(Frames, MetadataRequestVersion1) {
  RequestHeader header;
  auto request = decode_golden<MetadataRequest>(
      hex("00000015 0003 0001 00000007 ffff 00000001 0005 666c6967 68"), header);
  EXPECT_FALSE(header.client_id.has_value());
  ASSERT_TRUE(request.topics);
  EXPECT_EQ(request.topics->at(0).name, "fligh");
  EXPECT_TRUE(request.allow_auto_topic_creation);
}

TEST(Frames, ProduceRequestVersion9) {
  RequestHeader header;
  auto request = decode_golden<ProduceRequest>(
      hex("00000024 0000 0009 00000002 0001 63 00"  // header v2, client "c"
          "00 ffff 00001388"                        // no transaction, acks all, 5 s
          "02 02 74 02 00000003"                    // topic "t", partition 3
          "06 0102030405 00 00 00"),                // records, three empty tag sections
      header);
  EXPECT_EQ(request.acks, -1);
  EXPECT_EQ(request.topics.at(0).partitions.at(0).index, 3);
  EXPECT_EQ(request.topics[0].partitions[0].records->flatten(), "\x01\x02\x03\x04\x05");
}

TEST(Frames, ApiVersionsAnswerHasHeaderVersion0) {
  ApiVersionsResponse response;
  response.error_code = wire(Error::kUnsupportedVersion);
  response.api_keys.push_back({18, 0, 4, {}});
  EXPECT_EQ(Records{encode_response(9, 0, response)}.flatten(),
            hex("00000010 00000009 0023 00000001 0012 0000 0004"));
  EXPECT_EQ(Records{encode_response(9, 3, response)}.flatten(),
            hex("00000013 00000009 0023 02 0012 0000 0004 00 00000000 00"));
}

TEST(Frames, ProduceAnswerNamesTheLeaderInATaggedField) {
  ProduceResponse response;
  auto& topic = response.responses.emplace_back();
  topic.name = "t";
  auto& partition = topic.partitions.emplace_back();
  partition.error_code = wire(Error::kNotLeaderOrFollower);
  partition.base_offset = -1;
  partition.current_leader.leader_id = 2;
  partition.current_leader.leader_epoch = 5;
  EXPECT_EQ(Records{encode_response(1, 10, response)}.flatten(),
            hex("0000003b 00000001 00 02 0274 02 00000000 0006 ffffffffffffffff"
                "ffffffffffffffff ffffffffffffffff 01 00"
                "01 00 09 00000002 00000005 00"  // tag 0, 9 bytes
                "00 00000000 00"));
}

TEST(Frames, HeaderOfAnUnknownApiIsReadToTheCorrelationId) {
  Buffer frame = Buffer::from_string(hex("7fff 0001 00000055 ffff"));
  Reader in(frame);
  RequestHeader header;
  EXPECT_TRUE(decode_header(in, header));
  EXPECT_EQ(header.correlation_id, 0x55);
  EXPECT_EQ(find_api(header.api_key), nullptr);
  Buffer too_new = Buffer::from_string(hex("0012 0063 00000056 01"));
  Reader second(too_new);
  EXPECT_TRUE(decode_header(second, header));
  EXPECT_EQ(header.correlation_id, 0x56);
  Buffer short_frame = Buffer::from_string(hex("0012 00"));
  Reader third(short_frame);
  EXPECT_FALSE(decode_header(third, header));
}

TEST(Errors, NamesAndMapping) {
  EXPECT_EQ(to_string(Error::kNotLeaderOrFollower), "NOT_LEADER_OR_FOLLOWER");
  EXPECT_EQ(to_string(static_cast<Error>(9999)), "UNKNOWN");
  EXPECT_EQ(to_kafka_error(Code::kPolicyViolation), Error::kPolicyViolation);
  EXPECT_EQ(wire(to_kafka_error(Code::kOutOfOrderSequence)), 45);
}

}  // namespace
}  // namespace broker::protocol::kafka
