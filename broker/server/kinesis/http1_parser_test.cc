// Goal: requests come out whole however the bytes are cut, and what could be read in two ways is
// refused.
#include "broker/server/kinesis/http1_parser.h"

#include <gtest/gtest.h>

namespace broker::server::kinesis {
namespace {

constexpr HttpLimits kLimits{.head_bytes_max = 400, .headers_max = 8, .body_bytes_max = 100};

struct Outcome {
  std::vector<HttpRequest> requests;
  int failure = 0;
  bool keep_alive = true;
};

Outcome parse(std::string_view text, size_t step) {
  Http1Parser parser(kLimits);
  Outcome outcome;
  while (!text.empty() && !parser.failed()) {
    std::string_view piece = text.substr(0, step);
    text.remove_prefix(piece.size());
    while (!piece.empty() && !parser.failed()) {
      parser.feed(piece);
      if (auto request = parser.take()) {
        outcome.requests.push_back(std::move(*request));
        outcome.keep_alive = parser.keep_alive();
      }
    }
  }
  if (parser.failed()) outcome.failure = parser.failed()->status;
  return outcome;
}

TEST(Http1Parser, RequestsHoweverTheBytesAreCut) {
  const std::string text =
      "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target:  a.b \r\nContent-Length: 5\r\n\r\nhello"
      "\r\nGET /x?y=z HTTP/1.1\r\n\r\n"
      "POST http://h:1/p HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "3;ext=1\r\nabc\r\n00002\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
      "POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: keep-alive, Close\r\n\r\n";
  for (size_t step : {1ul, 2ul, 3ul, 7ul, 64ul, 1000ul}) {
    Outcome outcome = parse(text, step);
    ASSERT_EQ(outcome.failure, 0) << step;
    ASSERT_EQ(outcome.requests.size(), 4u) << step;
    EXPECT_EQ(outcome.requests[0].body, "hello");
    EXPECT_EQ(outcome.requests[0].header("x-amz-target"), "a.b");
    EXPECT_EQ(outcome.requests[0].body_sha256, sha256("hello"));
    EXPECT_EQ(outcome.requests[1].target, "/x?y=z");
    EXPECT_EQ(outcome.requests[1].body_sha256, sha256(""));
    EXPECT_EQ(outcome.requests[2].target, "/p");
    EXPECT_EQ(outcome.requests[2].body, "abcde");
    EXPECT_EQ(outcome.requests[2].body_sha256, sha256("abcde"));
    EXPECT_FALSE(outcome.keep_alive);
  }
}

TEST(Http1Parser, ABodyIsNotHashedWhereNothingIsVerified) {
  HttpLimits limits;
  limits.hash_bodies = false;
  Http1Parser parser(limits);
  std::string_view text = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
  parser.feed(text);
  auto request = parser.take();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->body, "hello");
  EXPECT_FALSE(request->body_sha256);
}

TEST(Http1Parser, WhatIsAmbiguousOrTooLarge) {
  const std::string post = "POST / HTTP/1.1\r\n";
  for (auto [text, status] : std::initializer_list<std::pair<std::string, int>>{
           {post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
           {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
           {post + "Content-Length: -5\r\n\r\n", 400},
           {post + "Content-Length: +5\r\n\r\n", 400},
           {post + "Content-Length: 5, 5\r\n\r\n", 400},
           {post + "Content-Length: 0x5\r\n\r\n", 400},
           {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
           {post + "Content-Length: 101\r\n\r\n", 413},
           {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
           {post + "Transfer-Encoding: chunked\r\n\r\n65\r\n", 413},
           {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n60\r\n", 413},
           {post + "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400},
           {post + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400},
           {post + "Transfer-Encoding: chunked\r\n\r\n1\nab\r\n", 400},
           {post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400},
           {post + "Expect: tea\r\n\r\n", 417},
           {post + "A : b\r\n\r\n", 400},
           {post + " folded: b\r\n\r\n", 400},
           {post + "A: b\x01\r\n\r\n", 400},
           {post + "no colon\r\n\r\n", 400},
           {post + "A: " + std::string(400, 'x') + "\r\n\r\n", 431},
           {post + "a:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\n\r\n", 431},
           {std::string(500, 'x'), 431},
           {"POST /\r\n\r\n", 400},
           {"POST / HTTP/2.0\r\n\r\n", 400},
           {"POST  / HTTP/1.1\r\n\r\n", 400},
           {"P(ST / HTTP/1.1\r\n\r\n", 400}}) {
    EXPECT_EQ(parse(text, 1).failure, status) << text;
    EXPECT_EQ(parse(text, 1000).failure, status) << text;
  }
}

TEST(Http1Parser, OldClientsCloseUnlessTheyAsk) {
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n", 9).keep_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 9).keep_alive);
}

TEST(Http1Parser, ExpectationIsToldOnce) {
  Http1Parser parser(kLimits);
  std::string_view head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  parser.feed(head);
  EXPECT_TRUE(parser.within_body());
  EXPECT_TRUE(parser.take_expectation());
  EXPECT_FALSE(parser.take_expectation());
  std::string_view body = "ab";
  parser.feed(body);
  EXPECT_TRUE(parser.take());
}

}  // namespace
}  // namespace broker::server::kinesis
