// Goal: what real clients sent is decoded whole and encoded to the same bytes. The frames are in
// golden/requests.txt, with the number of bytes that a client sends behind the body.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "broker/protocol/kafka/frames.h"
#include "broker/protocol/kafka/messages/all.h"

namespace broker::protocol::kafka {
namespace {

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

template <class Request>
void expect_same_bytes(Reader& in, const RequestHeader& header, const std::string& frame,
                       size_t behind) {
  auto request = decode_body<Request>(in, header.api_version);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(in.remaining(), behind);
  EXPECT_EQ(encode_request(header, *request).substr(4), frame.substr(0, frame.size() - behind));
}

void check(const std::string& bytes, int16_t key, int16_t version, size_t behind) {
  Buffer frame = Buffer::copy_of(bytes);
  Reader in(frame);
  RequestHeader header;
  ASSERT_TRUE(decode_header(in, header));
  EXPECT_EQ(header.api_key, key);
  EXPECT_EQ(header.api_version, version);
  switch (static_cast<ApiKey>(key)) {
#define SL_CASE(Name)   \
  case ApiKey::k##Name: \
    return expect_same_bytes<Name##Request>(in, header, bytes, behind);
    SL_KAFKA_FOR_EACH_API(SL_CASE)
#undef SL_CASE
  }
}

TEST(Golden, RequestsOfRealClients) {
  std::ifstream file(SL_KAFKA_GOLDEN);
  ASSERT_TRUE(file.good());
  int frames = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    int16_t key = 0, version = 0;
    std::string client, hex;
    size_t behind = 0;
    words >> key >> version >> client >> hex >> behind;
    SCOPED_TRACE(std::to_string(key) + " v" + std::to_string(version) + " of " + client);
    check(from_hex(hex), key, version, behind);
    ++frames;
  }
  EXPECT_GE(frames, 28);
}

}  // namespace
}  // namespace broker::protocol::kafka
