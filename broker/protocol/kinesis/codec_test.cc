// Goal: every message goes out and comes back the same in both formats; whatever bytes come, the
// decoder ends with a message or an error; what it refuses, it refuses in AWS's words.
#include "broker/protocol/kinesis/codec.h"

#include <gtest/gtest.h>

#include <random>

#include "broker/protocol/kinesis/base64.h"
#include "broker/protocol/kinesis/random_messages.h"

namespace broker::protocol::kinesis {
namespace {

using testing::RandomMessages;

std::string hex(std::string_view bytes) {
  std::string out;
  char digits[3];
  for (char c : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<uint8_t>(c));
    out += digits;
  }
  return out;
}

std::string unhex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  }
  return out;
}

template <class R>
R decoded(Format format, std::string body) {
  Request request;
  auto error = decode(R::kOperation, format, body, request);
  EXPECT_FALSE(error) << error->type << ": " << error->message << "\n" << body;
  auto* message = std::get_if<R>(&request);
  return message ? *message : R{};
}

template <class R>
Error refused(std::string body, Format format = Format::kJson) {
  Request request;
  auto error = decode(R::kOperation, format, body, request);
  EXPECT_TRUE(error) << body;
  return error.value_or(Error{});
}

// f<Request>() for each operation.
template <class F, size_t... I>
void each_request(F&& f, std::index_sequence<I...>) {
  (f(std::variant_alternative_t<I, Request>{}), ...);
}
template <class F>
void each_request(F&& f) {
  each_request(f, std::make_index_sequence<kOperationCount>());
}

TEST(KinesisCodec, EveryMessageSurvivesBothFormats) {
  RandomMessages random(7);
  each_request([&](auto tag) {
    using R = decltype(tag);
    for (int i = 0; i < 50; ++i) {
      R request = random.make<R>();
      auto response = random.make<typename R::Response>();
      for (Format format : {Format::kJson, Format::kCbor}) {
        std::string body = encode(format, request);
        ASSERT_EQ(decoded<R>(format, body), request) << to_string(R::kOperation) << " " << body;
        std::string answer = encode(format, response);
        typename R::Response again;
        auto error = decode_message(format, answer, again);
        ASSERT_FALSE(error) << error->message << "\n" << answer;
        ASSERT_EQ(again, response) << answer;
        ASSERT_EQ(encode(format, again), answer);
      }
    }
  });
}

TEST(KinesisCodec, OperationsHaveNames) {
  EXPECT_EQ(to_string(Operation::kPutRecords), "PutRecords");
  EXPECT_EQ(find_operation("PutRecords"), Operation::kPutRecords);
  EXPECT_FALSE(find_operation("putRecords"));
  EXPECT_FALSE(find_operation(""));
}

// Bytes flipped, cut and doubled: each body is taken or refused, and what is taken can be encoded.
TEST(KinesisCodec, MutatedBodiesAreTakenOrRefused) {
  RandomMessages random(11);
  int taken = 0, turned_away = 0;
  each_request([&](auto tag) {
    using R = decltype(tag);
    for (int i = 0; i < 300; ++i) {
      Format format = i % 2 ? Format::kJson : Format::kCbor;
      std::string body = encode(format, random.make<R>());
      for (uint64_t n = random.below(3) + 1; n > 0 && !body.empty(); --n) {
        size_t at = random.below(body.size());
        switch (random.below(4)) {
          case 0:
            body[at] = static_cast<char>(random.below(256));
            break;
          case 1:
            body.resize(at);
            break;
          case 2:
            body.insert(at, body.substr(at, random.below(20)));
            break;
          default:
            body.erase(at, random.below(4));
        }
      }
      Request request;
      if (decode(R::kOperation, format, body, request)) {
        ++turned_away;
        continue;
      }
      ++taken;
      std::string again = encode(format, std::get<R>(request));
      ASSERT_EQ(decoded<R>(format, again), std::get<R>(request));
    }
  });
  EXPECT_GT(taken, 100);
  EXPECT_GT(turned_away, 1000);
}

TEST(KinesisCodec, JsonOnTheWire) {
  auto put = decoded<PutRecordRequest>(
      Format::kJson,
      R"({"StreamName":"s","Unknown":{"deep":[1,{"x":null}]},"Data":"aGk\u003d","PartitionKey":"a\u00e9\ud83d\ude80",)"
      R"( "ExplicitHashKey": null})");
  EXPECT_EQ(put.data, "hi");
  EXPECT_EQ(put.partition_key, "aé🚀");
  EXPECT_FALSE(put.explicit_hash_key);

  GetRecordsResponse response;
  response.records.push_back({"42", 1441215410867, std::string("\0\xff!", 3), "k\"\n"});
  response.millis_behind_latest = 0;
  EXPECT_EQ(encode(Format::kJson, response),
            R"({"Records":[{"SequenceNumber":"42","ApproximateArrivalTimestamp":1441215410.867,)"
            R"("Data":"AP8h","PartitionKey":"k\"\u000a"}],"MillisBehindLatest":0})");
  EXPECT_EQ(encode(Format::kJson, DeleteStreamResponse{}), "");
  EXPECT_EQ(encode(Format::kJson, DescribeLimitsRequest{}), "{}");
  EXPECT_EQ(encode_error(Format::kJson, resource_not_found("no \"x\"")),
            R"({"__type":"ResourceNotFoundException","message":"no \"x\""})");
  EXPECT_EQ(encode_error(Format::kJson, unknown_operation()),
            R"({"__type":"UnknownOperationException"})");
}

TEST(KinesisCodec, TimesAreSecondsInJsonAndTaggedMillisecondsInCbor) {
  auto json = decoded<GetShardIteratorRequest>(
      Format::kJson,
      R"({"StreamName":"s","ShardId":"a","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1.5e9})");
  EXPECT_EQ(json.timestamp_ms, 1'500'000'000'000);
  json.timestamp_ms = 1459799926480;
  EXPECT_NE(encode(Format::kJson, json).find(R"("Timestamp":1459799926.480)"), std::string::npos);
  std::string cbor = encode(Format::kCbor, json);
  EXPECT_NE(hex(cbor).find("c11b00000153e2db26d0"), std::string::npos) << hex(cbor);
  EXPECT_EQ(decoded<GetShardIteratorRequest>(Format::kCbor, cbor), json);
}

// The Java SDK's writer: maps and lists of unknown length, text and byte strings, tag 1.
// Every character in every place of what the writer looks at at once.
TEST(KinesisCodec, JsonEscapesWhatItMust) {
  for (size_t size = 1; size <= 19; ++size) {
    for (size_t at = 0; at < size; ++at) {
      for (int c = 0; c < 128; ++c) {
        PutRecordsResponse message;
        std::string& text = message.records.emplace_back().error_message.emplace(size, '~');
        text[at] = static_cast<char>(c);
        char escape[8] = {static_cast<char>(c), 0};
        if (c < 0x20) std::snprintf(escape, sizeof escape, "\\u%04x", c);
        if (c == '"' || c == '\\') std::snprintf(escape, sizeof escape, "\\%c", c);
        std::string expected(size, '~');
        expected.replace(at, 1, c == 0 ? "\\u0000" : escape);
        std::string body = encode(Format::kJson, message);
        ASSERT_NE(body.find("\"ErrorMessage\":\"" + expected + "\""), body.npos) << c << " " << body;
        PutRecordsResponse back;
        ASSERT_FALSE(decode_message(Format::kJson, body, back)) << body;
        ASSERT_EQ(back, message);
      }
    }
  }
}

TEST(KinesisCodec, CborOfUnknownLength) {
  std::string body = unhex(
      "bf6a53747265616d4e616d656173675265636f7264739fbf64446174614268696c506172746974696f6e4b657961"
      "6bffbf644461746140"
      "6c506172746974696f6e4b6579616cffffff");
  auto put = decoded<PutRecordsRequest>(Format::kCbor, body);
  ASSERT_EQ(put.records.size(), 2u);
  EXPECT_EQ(put.records[0].data, "hi");
  EXPECT_EQ(put.records[1].partition_key, "l");
  // Strings in pieces, a tag, a float for an integer.
  auto limit = decoded<ListStreamsRequest>(
      Format::kCbor, unhex("bf7f654c696d6974ffc1f9490078184578636c7573697665537461727453747265616d4e"
                           "616d657f61616162ffff"));
  EXPECT_EQ(limit.limit, 10);
  EXPECT_EQ(limit.exclusive_start_stream_name, "ab");
}

TEST(KinesisCodec, CborIsBounded) {
  for (const char* body :
       {"", "a1", "bf", "bfff00", "80", "f6", "a16a53747265616d4e616d65", "ff",
        "bb7fffffffffffffff", "a15b7fffffffffffffff", "bf6a53747265616d4e616d657b7fffffffffffffff"}) {
    EXPECT_EQ(refused<ListTagsForStreamRequest>(unhex(body), Format::kCbor).type,
              "SerializationException")
        << body;
  }
  std::string deep = unhex("a16178");  // {"x": [[[[…
  deep.append(100'000, '\x81');
  EXPECT_EQ(refused<ListStreamsRequest>(deep, Format::kCbor).type, "SerializationException");
  std::string nested = R"({"x":)" + std::string(100'000, '[');
  EXPECT_EQ(refused<ListStreamsRequest>(nested).type, "SerializationException");
}

TEST(KinesisCodec, WhatIsNoJson) {
  for (const char* body : {"", "hello", "null", "true", "[]", "{", "{}{}", "{} x", R"({"Limit":})",
                           R"({"Limit":1)", "{\"a\":\"\xff\"}", R"({"Limit" 1})", "{\"a\":\"\n\"}"}) {
    EXPECT_EQ(refused<ListStreamsRequest>(body), serialization("")) << body;
  }
}

struct WrongType {
  const char* body;
  const char* message;
};

TEST(KinesisCodec, WrongTypesInAwsWords) {
  for (auto [body, message] : std::initializer_list<WrongType>{
           {R"({"StreamName":true})", "class java.lang.Boolean can not be converted to an String"},
           {R"({"StreamName":34.56})",
            "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to "
            "an String"},
           {R"({"StreamName":[]})", "Start of list found where not expected"},
           {R"({"StreamName":{}})", "Start of structure or map found where not expected."},
           {R"({"Records":"23"})", "Expected list or null"},
           {R"({"Records":{}})", "Start of structure or map found where not expected."},
           {R"({"Records":[23]})", "Expected null"},
           {R"({"Records":[[]]})", "Start of list found where not expected"},
           {R"({"Records":[{"Data":true}]})",
            "class java.lang.Boolean can not be converted to a Blob"},
           {R"({"Records":[{"Data":"23456"}]})",
            "'23456' can not be converted to a Blob: Base64 encoded length is expected a multiple "
            "of 4 bytes but found: 5"},
           {R"({"Records":[{"Data":"=+/="}]})",
            "'=+/=' can not be converted to a Blob: Invalid Base64 character: '='"},
           {R"({"Records":[{"Data":"+/+="}]})",
            "'+/+=' can not be converted to a Blob: Invalid last non-pad Base64 character "
            "dectected"}}) {
    EXPECT_EQ(refused<PutRecordsRequest>(body), serialization(message)) << body;
  }
  EXPECT_EQ(refused<CreateStreamRequest>(R"({"ShardCount":"23"})").message,
            "class java.lang.String can not be converted to an Integer");
  EXPECT_EQ(refused<AddTagsToStreamRequest>(R"({"Tags":3})").message, "Expected map or null");
  EXPECT_EQ(refused<GetShardIteratorRequest>(R"({"Timestamp":"23"})").message,
            "class java.lang.String can not be converted to milliseconds since epoch");
  EXPECT_EQ(refused<DeleteStreamRequest>(R"({"EnforceConsumerDeletion":"x"})").message,
            "'X' can not be converted to an Boolean");
}

TEST(KinesisCodec, NumbersAreCutAndBounded) {
  auto limit = [](const char* number) {
    auto body = std::string(R"({"Limit":)") + number + "}";
    Request request;
    auto error = decode(Operation::kListStreams, Format::kJson, body, request);
    return error ? error->message : std::to_string(*std::get<ListStreamsRequest>(request).limit);
  };
  EXPECT_EQ(limit("7.9"), "7");
  EXPECT_EQ(limit("99999999999"),
            "1 validation error detected: Value '2147483647' at 'limit' failed to satisfy "
            "constraint: Member must have value less than or equal to 10000");
  EXPECT_EQ(limit("0"),
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member "
            "must have value greater than or equal to 1");
}

TEST(KinesisCodec, BrokenRulesInAwsWords) {
  EXPECT_EQ(refused<PutRecordsRequest>("{}"),
            validation("2 validation errors detected: Value null at 'records' failed to satisfy "
                       "constraint: Member must not be null; Value null at 'streamName' failed to "
                       "satisfy constraint: Member must not be null"));
  EXPECT_EQ(refused<PutRecordsRequest>(
                R"({"Records":[{"PartitionKey":"","Data":"","ExplicitHashKey":""},{"Data":""}],)"
                R"("StreamName":""})")
                .message,
            "5 validation errors detected: Value '' at 'records.1.member.partitionKey' failed to "
            "satisfy constraint: Member must have length greater than or equal to 1; Value '' at "
            "'records.1.member.explicitHashKey' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: ^(0|([1-9]\\d{0,38}))$; Value null at "
            "'records.2.member.partitionKey' failed to satisfy constraint: Member must not be null; "
            "Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular "
            "expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy "
            "constraint: Member must have length greater than or equal to 1");
  EXPECT_EQ(refused<GetShardIteratorRequest>(
                R"({"StreamARN":"arn:aws:kinesis:x:000000000000:stream/s","ShardId":"a",)"
                R"("ShardIteratorType":"FIRST"})")
                .message,
            "1 validation error detected: Value 'FIRST' at 'shardIteratorType' failed to satisfy "
            "constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, "
            "AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]");
  EXPECT_EQ(refused<RemoveTagsFromStreamRequest>(R"({"StreamName":"s","TagKeys":["a",""]})").message,
            "1 validation error detected: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: "
            "Member must satisfy constraint: [Member must have length less than or equal to 128, "
            "Member must have length greater than or equal to 1]");
  EXPECT_EQ(refused<AddTagsToStreamRequest>(
                R"({"StreamName":"s","Tags":{"a":"1","b":")" + std::string(257, 'x') + R"("}})")
                .message,
            "1 validation error detected: Value '{a=1, b=" + std::string(257, 'x') +
                "}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: "
                "[Member must have length less than or equal to 256, Member must have length "
                "greater than or equal to 0]");
}

// Length is Java's: 256 characters outside the first plane are 512.
TEST(KinesisCodec, LengthsAreUtf16Units) {
  std::string rockets, hooks;
  for (int i = 0; i < 129; ++i) rockets += "🚀", hooks += "é";
  auto body = [](const std::string& key) {
    return R"({"StreamName":"s","Data":"","PartitionKey":")" + key + "\"}";
  };
  EXPECT_EQ(decoded<PutRecordRequest>(Format::kJson, body(hooks + hooks.substr(4))).partition_key,
            hooks + hooks.substr(4));
  EXPECT_NE(refused<PutRecordRequest>(body(rockets)).message.find("less than or equal to 256"),
            std::string::npos);
}

TEST(KinesisCodec, TooManyRecordsAreCountedNotKept) {
  // In the order of the table: the name, which came first, is not told any more.
  std::string body = R"({"StreamName":"","Records":[)";
  for (int i = 0; i < 501; ++i) body += std::string(i ? "," : "") + R"({"Data":"","PartitionKey":""})";
  Error error = refused<PutRecordsRequest>(body + "]}");
  EXPECT_EQ(error.message.substr(0, 30), "10 validation errors detected:");
  EXPECT_NE(error.message.find("at 'records' failed to satisfy constraint: Member must have length "
                               "less than or equal to 500"),
            std::string::npos);
  EXPECT_NE(error.message.find("at 'records.9.member.partitionKey'"), std::string::npos);
  EXPECT_EQ(error.message.find("at 'records.10.member.partitionKey'"), std::string::npos);
  EXPECT_EQ(error.message.find("'streamName'"), std::string::npos);
}

// A list or map that is too long is repeated with all that is in it; one of no end, in part.
TEST(KinesisCodec, TooManyWordsAreAllTold) {
  std::string body = R"({"StreamName":"s","TagKeys":[)", told;
  for (int i = 0; i < 51; ++i) {
    body += std::string(i ? "," : "") + "\"k" + std::to_string(i) + "\"";
    told += std::string(i ? ", " : "") + "k" + std::to_string(i);
  }
  EXPECT_EQ(refused<RemoveTagsFromStreamRequest>(body + "]}").message,
            "1 validation error detected: Value '[" + told +
                "]' at 'tagKeys' failed to satisfy constraint: Member must have length less than or "
                "equal to 50");
  EXPECT_EQ(refused<RemoveTagsFromStreamRequest>(body + ",7]}").type, "SerializationException");
  for (int i = 0; i < 100'000; ++i) body += ",\"key\"";
  EXPECT_LT(refused<RemoveTagsFromStreamRequest>(body + "]}").message.size(), 100'000u);
  std::string tags = R"({"StreamName":"s","Tags":{)";
  for (int i = 0; i < 201; ++i) {
    tags += std::string(i ? "," : "") + "\"k" + std::to_string(i) + "\":\"v\"";
  }
  EXPECT_NE(refused<AddTagsToStreamRequest>(tags + "}}").message.find("k200=v"), std::string::npos);
}

TEST(KinesisCodec, Base64) {
  std::string all, why;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (size_t size = 0; size <= all.size(); ++size) {
    std::string text, back;
    base64_append(std::string_view(all).substr(0, size), text);
    ASSERT_EQ(text.size(), base64_size(size));
    ASSERT_TRUE(base64_decode(text, back, why)) << why;
    ASSERT_EQ(back, all.substr(0, size));
  }
  std::string out;
  EXPECT_TRUE(base64_decode("Zm9vYmE=", out, why));
  EXPECT_EQ(out, "fooba");
  for (const char* bad : {"a", "ab=c", "====", "a===", "ab c", "Zg=a", "Zh==", "Zm9=", "\xff" "abc"}) {
    EXPECT_FALSE(base64_decode(bad, out, why)) << bad;
  }
}

// Many at a time or one after the other: the same bytes, the same refusals in the same words, for
// every length and with every byte in every place of what is taken at a time.
TEST(KinesisCodec, Base64IsTheSameInEveryWay) {
  std::mt19937_64 random(11);
  auto same = [](std::string_view text) {
    std::string fast, slow, fast_why, slow_why;
    const bool good = base64_decode(text, fast, fast_why);
    ASSERT_EQ(good, base64_decode(text, slow, slow_why, Base64Way::kPortable)) << text;
    ASSERT_EQ(fast_why, slow_why) << text;
    ASSERT_TRUE(!good || fast == slow) << text;
  };
  for (size_t size = 0; size < 400; ++size) {
    std::string bytes(size, ' ');
    for (char& c : bytes) c = static_cast<char>(random());
    std::string fast = "before", slow = fast;
    base64_append(bytes, fast);
    base64_append(bytes, slow, Base64Way::kPortable);
    ASSERT_EQ(fast, slow);
    same(std::string_view(fast).substr(6));
  }
  std::string text;
  base64_append(std::string(96, '\x9a'), text);
  for (size_t at = 0; at < text.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string changed = text;
      changed[at] = static_cast<char>(c);
      same(changed);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace broker::protocol::kinesis
