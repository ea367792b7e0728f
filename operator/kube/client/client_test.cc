// The client's pure parts: paths, errors, kubeconfig files, watch lines. Calls over HTTP are tested
// in tests/support/fake_api, against a fake and a real API server.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "broker/env/posix/posix.h"
#include "operator/kube/client/base64.h"
#include "operator/kube/client/client.h"

namespace sluice_operator::kube {
namespace {

using broker::Code;

TEST(ResourcePath, FollowsTheApi) {
  EXPECT_EQ(resource_path(pods(), ""), "/api/v1/pods");
  EXPECT_EQ(resource_path(pods(), "a", "b"), "/api/v1/namespaces/a/pods/b");
  EXPECT_EQ(resource_path(nodes(), "ignored", "n1"), "/api/v1/nodes/n1");
  EXPECT_EQ(resource_path(stateful_sets(), "a", "b", "status"),
            "/apis/apps/v1/namespaces/a/statefulsets/b/status");
  EXPECT_EQ(url_encode("a=b,c in (d)"), "a%3Db%2Cc%20in%20%28d%29");
}

TEST(ApiError, MapsEveryCodeTheServerUses) {
  auto code = [](int http, const char* body, bool write) { return api_error(http, body, write).code(); };
  EXPECT_EQ(code(404, R"({"reason":"NotFound"})", false), Code::kNotFound);
  EXPECT_EQ(code(409, R"({"reason":"AlreadyExists"})", true), Code::kAlreadyExists);
  EXPECT_EQ(code(409, R"({"reason":"Conflict"})", true), Code::kConflict);
  EXPECT_EQ(code(410, R"({"reason":"Expired"})", false), Code::kOutOfRange);
  EXPECT_EQ(code(422, "", true), Code::kInvalidArgument);
  EXPECT_EQ(code(403, "", true), Code::kPermissionDenied);
  EXPECT_EQ(code(429, "", true), Code::kUnavailable);
  EXPECT_EQ(code(500, "", false), Code::kUnavailable);
  EXPECT_EQ(code(500, "", true), Code::kTimeout);
  EXPECT_EQ(code(504, "<html>", true), Code::kTimeout);
  EXPECT_EQ(api_error(409, R"({"reason":"Conflict","message":"moved"})", true).message(),
            "409 Conflict: moved");
}

TEST(Base64, RoundTripsAndRefuses) {
  for (std::string text : {"", "a", "ab", "abc", "abcd"}) {
    EXPECT_EQ(base64_decode(base64_encode(text)), text);
  }
  EXPECT_EQ(base64_decode("YW\nJj"), "abc");
  EXPECT_FALSE(base64_decode("YWJ"));
  EXPECT_FALSE(base64_decode("!!!!"));
}

class Kubeconfig : public testing::Test {
 protected:
  broker::Result<ClientConfig> parse(const std::string& text, const std::string& context = "") {
    return parse_kubeconfig(fs_, text, context, dir_);
  }
  void SetUp() override {
    dir_ = testing::TempDir() + "/kubeconfig-" + std::to_string(getpid());
    std::filesystem::create_directories(dir_);
    std::ofstream(dir_ + "/ca.pem") << "CA";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  broker::env::PosixFileSystem fs_;
  std::string dir_;
};

constexpr const char* kTwoContexts = R"(
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c1, user: u1}}
- {name: two, context: {cluster: c2, user: u2, namespace: apps}}
- {name: three, context: {cluster: c1, user: u3}}
clusters:
- {name: c1, cluster: {server: "https://a:6443/", certificate-authority: ca.pem}}
- {name: c2, cluster: {server: "https://b/k8s/x", certificate-authority-data: Q0E=, insecure-skip-tls-verify: true}}
users:
- {name: u1, user: {token: t}}
- {name: u2, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}}
- {name: u3, user: {exec: {command: aws, apiVersion: v1}}}
)";

TEST_F(Kubeconfig, CurrentContextWithATokenAndACaFile) {
  auto config = parse(kTwoContexts);
  ASSERT_TRUE(config.ok()) << config.status().to_string();
  EXPECT_EQ(config->server, "https://a:6443");
  EXPECT_EQ(config->ca_pem, "CA");
  EXPECT_EQ(config->token, "t");
  EXPECT_EQ(config->ns, "default");
  EXPECT_TRUE(config->verify_server);
}

TEST_F(Kubeconfig, NamedContextWithInlineCertificates) {
  auto config = parse(kTwoContexts, "two");
  ASSERT_TRUE(config.ok()) << config.status().to_string();
  EXPECT_EQ(config->server, "https://b/k8s/x");
  EXPECT_EQ(config->client_cert_pem, "CERT");
  EXPECT_EQ(config->client_key_pem, "KEY");
  EXPECT_EQ(config->ns, "apps");
  EXPECT_FALSE(config->verify_server);
}

TEST_F(Kubeconfig, RefusesWhatItCannotHonour) {
  auto plugin = parse(kTwoContexts, "three");
  ASSERT_FALSE(plugin.ok());
  EXPECT_NE(plugin.status().message().find("credential plugin 'aws'"), std::string::npos);
  EXPECT_NE(parse(kTwoContexts, "four").status().message().find("'four'"), std::string::npos);
  EXPECT_EQ(parse("").code(), Code::kInvalidArgument);
  EXPECT_EQ(parse("a: [").code(), Code::kInvalidArgument);
  EXPECT_EQ(parse("contexts: 3\ncurrent-context: x").code(), Code::kInvalidArgument);
}

TEST_F(Kubeconfig, ATokenFileIsReadAgain) {
  ClientConfig config;
  config.token_file = dir_ + "/token";
  std::ofstream(config.token_file) << "first\n";
  broker::env::PosixClock clock;
  TokenSource source(config, fs_, clock);
  EXPECT_EQ(source.current(), "first");
  std::ofstream(config.token_file) << "second\n";
  EXPECT_EQ(source.current(), "first");
  source.refresh();
  EXPECT_EQ(source.current(), "second");
  std::filesystem::remove(config.token_file);
  source.refresh();
  EXPECT_EQ(source.current(), "second");
}

// Every chunking of a stream gives the same events.
TEST(WatchDecoder, ChunksMayEndAnywhere) {
  const std::string stream =
      R"({"type":"ADDED","object":{"metadata":{"name":"a"}}})" "\n\n"
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}})" "\r\n"
      R"({"type":"LATER","object":{}})" "\n"
      R"({"type":"DELETED","object":{"metadata":{"name":"ä"}}})" "\n"
      R"({"type":"ADDED","obj)";
  for (size_t chunk = 1; chunk <= stream.size(); ++chunk) {
    std::string seen;
    WatchHandler handler = [&](WatchEvent event) {
      seen += std::to_string(static_cast<int>(event.type)) + event.object["metadata"].dump();
    };
    WatchDecoder decoder(handler);
    for (size_t at = 0; at < stream.size(); at += chunk) {
      ASSERT_TRUE(decoder.feed(std::string_view(stream).substr(at, chunk)).ok());
    }
    EXPECT_EQ(seen, R"(0{"name":"a"}3{"resourceVersion":"7"}2{"name":"ä"})") << chunk;
  }
}

TEST(WatchDecoder, ErrorsEndIt) {
  WatchHandler ignore = [](WatchEvent) {};
  EXPECT_TRUE(is_expired(WatchDecoder(ignore).feed(
      R"({"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}})" "\n")));
  EXPECT_EQ(WatchDecoder(ignore).feed("not json\n").code(), Code::kUnavailable);
  WatchDecoder endless(ignore);
  EXPECT_EQ(endless.feed(std::string(WatchDecoder::kLineBytesMax + 1, 'x')).code(), Code::kTooLarge);
}

}  // namespace
}  // namespace sluice_operator::kube
