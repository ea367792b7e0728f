// Goal: what real SDKs send means what their callers said, and comes out the same again.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "broker/protocol/kinesis/codec.h"

namespace broker::protocol::kinesis {
namespace {

struct Golden {
  std::string sdk, operation, format, body;
};

std::vector<Golden> golden() {
  std::vector<Golden> out;
  std::ifstream in(SL_KINESIS_GOLDEN);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    Golden one;
    std::string hex;
    words >> one.sdk >> one.operation >> one.format >> hex;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
      one.body += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    out.push_back(std::move(one));
  }
  return out;
}

// What the recording programs asked for.
Request expected(Operation operation) {
  switch (operation) {
    case Operation::kPutRecords: {
      PutRecordsRequest request;
      request.records = {{std::string("\0\xff!", 3), "7", "clé 🚀"}, {"", std::nullopt, "k"}};
      request.stream_name = "s";
      return request;
    }
    case Operation::kGetShardIterator: {
      GetShardIteratorRequest request;
      request.stream_arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/s";
      request.shard_id = "shardId-000000000001";
      request.shard_iterator_type = ShardIteratorType::kAtTimestamp;
      request.timestamp_ms = 1459799926480;
      return request;
    }
    case Operation::kAddTagsToStream: {
      AddTagsToStreamRequest request;
      request.stream_name = "s";
      request.tags = {{"größe", "1"}};
      return request;
    }
    default: {
      UpdateShardCountRequest request;
      request.stream_name = "s";
      request.target_shard_count = 1000;
      request.scaling_type = ScalingType::kUniformScaling;
      return request;
    }
  }
}

TEST(KinesisGolden, SdksAreUnderstood) {
  int count = 0;
  for (const Golden& one : golden()) {
    auto operation = find_operation(one.operation);
    ASSERT_TRUE(operation) << one.operation;
    Format format = one.format == "cbor" ? Format::kCbor : Format::kJson;
    Request request, again;
    std::string body = one.body;
    auto error = decode(*operation, format, body, request);
    ASSERT_FALSE(error) << one.sdk << " " << one.operation << ": " << error->message;
    EXPECT_EQ(request, expected(*operation)) << one.sdk << " " << one.operation;
    for (Format other : {Format::kJson, Format::kCbor}) {
      std::string out = std::visit([&](auto& message) { return encode(other, message); }, request);
      ASSERT_FALSE(decode(*operation, other, out, again));
      EXPECT_EQ(again, request);
    }
    ++count;
  }
  EXPECT_EQ(count, 7);
}

}  // namespace
}  // namespace broker::protocol::kinesis
