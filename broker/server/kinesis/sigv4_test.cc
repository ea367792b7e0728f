// Goal: AWS's published examples are verified, anything changed in them is not, and each refusal
// has AWS's type and words.
#include "broker/server/kinesis/sigv4.h"

#include <gtest/gtest.h>

namespace broker::server::kinesis {
namespace {

using protocol::kinesis::Caller;
using protocol::kinesis::Error;

// 2015-08-30T12:36:00Z, the time of AWS's examples.
constexpr int64_t kExampleMs = 1440938160000;
constexpr char kKey[] = "AKIDEXAMPLE";
constexpr char kSecret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

class FixedClock : public env::Clock {
 public:
  int64_t mono_ms() const override { return now_ms; }
  int64_t mono_us() const override { return now_ms * 1000; }
  int64_t wall_ms() const override { return now_ms; }
  int64_t now_ms = kExampleMs;
};

HttpRequest example(std::string method, std::string target, Headers headers, std::string body = "") {
  HttpRequest request{std::move(method), std::move(target), std::move(headers), std::move(body)};
  request.body_sha256 = sha256(request.body);
  return request;
}

void authorize(HttpRequest& request, const std::string& service, const std::string& names,
               const std::string& signature) {
  request.headers.emplace_back(
      "authorization", "AWS4-HMAC-SHA256 Credential=" + std::string(kKey) + "/20150830/us-east-1/" +
                           service + "/aws4_request, SignedHeaders=" + names +
                           ", Signature=" + signature);
}

class SignatureTest : public ::testing::Test {
 protected:
  SignatureTest() { use("service"); }
  void use(const std::string& service, bool anyone = false, bool keys = true) {
    check_ = std::make_unique<SignatureCheck>(clock_, SignatureRules{anyone, service});
    if (keys) check_->set_credentials({{kKey, {kSecret, "123456789012"}}});
  }
  std::optional<Error> check(const HttpRequest& request) { return check_->check(request, caller_); }
  std::string type(const HttpRequest& request) {
    auto error = check(request);
    return error ? error->type : "";
  }

  // ListStreams as botocore signs it.
  HttpRequest list_streams() {
    use("kinesis");
    auto request = example("POST", "/",
                           {{"host", "kinesis.us-east-1.amazonaws.com"},
                            {"content-type", "application/x-amz-json-1.1"},
                            {"x-amz-target", "Kinesis_20131202.ListStreams"},
                            {"x-amz-date", "20150830T123600Z"}},
                           "{}");
    authorize(request, "kinesis", "content-type;host;x-amz-date;x-amz-target",
              "925c3db40b08420ca61dca918aba19ba7d01dc399bc06ce06a1168284ed8172b");
    return request;
  }
  void set(HttpRequest& request, const std::string& name, const std::string& value) {
    for (auto& [key, old] : request.headers) {
      if (key == name) old = value;
    }
  }
  void replace(HttpRequest& request, const std::string& from, const std::string& to) {
    for (auto& [key, value] : request.headers) {
      if (size_t at = value.find(from); key == "authorization" && at != value.npos) {
        value.replace(at, from.size(), to);
      }
    }
  }

  FixedClock clock_;
  std::unique_ptr<SignatureCheck> check_;
  Caller caller_;
};

struct Example {
  const char* method;
  const char* target;
  Headers headers;
  const char* body;
  const char* signed_headers;
  const char* signature;
};

// From AWS's Signature Version 4 test suite; each has Host and X-Amz-Date besides.
TEST_F(SignatureTest, AwsExamples) {
  const Example examples[] = {
      {"GET", "/", {}, "", "host;x-amz-date",
       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"GET", "/?Param2=value2&Param1=value1", {}, "", "host;x-amz-date",
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"GET",
       "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
       "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
       {}, "", "host;x-amz-date",
       "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
      {"GET", "/", {{"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}}, "",
       "host;my-header1;my-header2;x-amz-date",
       "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {"GET", "/",
       {{"my-header1", "value4"}, {"my-header1", "value1"}, {"my-header1", "value3"},
        {"my-header1", "value2"}},
       "", "host;my-header1;x-amz-date",
       "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
      {"POST", "/", {{"my-header1", "value1"}}, "", "host;my-header1;x-amz-date",
       "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
      {"GET", "/\xe1\x88\xb4", {}, "", "host;x-amz-date",
       "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"GET", "/example1/example2/../..", {}, "", "host;x-amz-date",
       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"GET", "//example//", {}, "", "host;x-amz-date",
       "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
      {"GET", "/example space/", {}, "", "host;x-amz-date",
       "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
      {"POST", "/",
       {{"content-length", "13"},
        {"content-type", "application/x-www-form-urlencoded"},
        {"x-amz-content-sha256",
         "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}},
       "Param1=value1", "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
       "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
  };
  for (const Example& e : examples) {
    auto request = example(e.method, e.target, e.headers, e.body);
    request.headers.emplace_back("host", "example.amazonaws.com");
    request.headers.emplace_back("x-amz-date", "20150830T123600Z");
    authorize(request, "service", e.signed_headers, e.signature);
    auto error = check(request);
    EXPECT_FALSE(error) << e.target << " " << error->message;
    EXPECT_EQ(caller_.account, "123456789012");
    EXPECT_EQ(caller_.access_key, kKey);
    EXPECT_EQ(caller_.region, "us-east-1");
    set(request, "x-amz-date", "20150830T123601Z");
    EXPECT_EQ(type(request), "InvalidSignatureException") << e.target;
  }
}

TEST_F(SignatureTest, NothingSignedCanBeChanged) {
  auto request = list_streams();
  EXPECT_EQ(type(request), "");
  request.body_sha256 = sha256("{ }");
  EXPECT_EQ(type(request), "InvalidSignatureException");
  request.body_sha256.reset();  // of a door that expected nothing to be verified
  EXPECT_EQ(type(request), "");
  request.body += " ";
  EXPECT_EQ(type(request), "InvalidSignatureException");
  for (auto [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"host", "elsewhere"},
           {"content-type", "application/x-amz-cbor-1.1"},
           {"x-amz-target", "Kinesis_20131202.DeleteStream"},
           {"x-amz-date", "20150830T123559Z"}}) {
    request = list_streams();
    set(request, name, value);
    EXPECT_EQ(check(request)->message.substr(0, 31), "The request signature we calcul") << name;
  }
  request = list_streams();
  request.method = "PUT";
  EXPECT_EQ(type(request), "InvalidSignatureException");
  request = list_streams();
  request.target = "/?a=b";
  EXPECT_EQ(type(request), "InvalidSignatureException");
  request = list_streams();
  replace(request, "925c", "925d");
  EXPECT_EQ(type(request), "InvalidSignatureException");
  request = list_streams();
  replace(request, "8172b", "8172");
  EXPECT_EQ(type(request), "InvalidSignatureException");
}

// A DescribeStream that is seen on the wire must not become a DeleteStream.
TEST_F(SignatureTest, TargetAndHostMustBeSigned) {
  auto request = list_streams();
  replace(request, ";x-amz-target", "");
  EXPECT_EQ(check(request)->message,
            "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.");
  request = list_streams();
  replace(request, "host;", "");
  EXPECT_EQ(check(request)->message,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
  request = list_streams();
  replace(request, "host;", "host;x-other;");
  EXPECT_EQ(type(request), "InvalidSignatureException");
}

// The SDK for JavaScript signs HTTP/2's name of the host.
TEST_F(SignatureTest, TheAuthorityOfHttp2) {
  auto request = example("POST", "/", {{":authority", "h:1"}, {"host", "h:1"}}, "{}");
  request.headers.emplace_back("x-amz-date", "20150830T123600Z");
  std::string text = canonical_request(request, {":authority", "x-amz-date"});
  EXPECT_NE(text.find("\n:authority:h:1\nx-amz-date:20150830T123600Z\n"), std::string::npos);
  Digest key = hmac_sha256("AWS4" + std::string(kSecret), "20150830");
  for (const char* part : {"us-east-1", "service", "aws4_request"}) {
    key = hmac_sha256(view(key), part);
  }
  std::string to_sign = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/"
                        "aws4_request\n" + hex(sha256(text));
  authorize(request, "service", ":authority;x-amz-date", hex(hmac_sha256(view(key), to_sign)));
  EXPECT_EQ(type(request), "");
  set(request, ":authority", "elsewhere");
  EXPECT_EQ(type(request), "InvalidSignatureException");
}

TEST_F(SignatureTest, PresignedUrls) {
  use("kinesis");
  auto request = example(
      "POST",
      "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2F"
      "kinesis%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders="
      "content-type%3Bhost%3Bx-amz-target&X-Amz-Signature="
      "8224c513758efacdeb537553f5774e53787c6f9b5d540eba4d00bc9ac05903f2",
      {{"host", "kinesis.us-east-1.amazonaws.com"},
       {"content-type", "application/x-amz-json-1.1"},
       {"x-amz-target", "Kinesis_20131202.ListStreams"}},
      "{}");
  EXPECT_EQ(type(request), "");
  clock_.now_ms = kExampleMs + 60'000;
  EXPECT_EQ(type(request), "");
  clock_.now_ms = kExampleMs + 61'000;
  EXPECT_EQ(check(request)->message,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z "
            "(20150830T123701Z - 60 s)");
  clock_.now_ms = kExampleMs;
  set(request, "x-amz-target", "Kinesis_20131202.DeleteStream");
  EXPECT_EQ(type(request), "InvalidSignatureException");
  request.target = "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d";
  EXPECT_EQ(check(request)->message,
            "AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the "
            "query-string parameters.");
}

TEST_F(SignatureTest, ClocksMayDifferByFiveMinutes) {
  auto request = list_streams();
  for (int64_t skew_s : {-300, 300}) {
    clock_.now_ms = kExampleMs + skew_s * 1000;
    EXPECT_EQ(type(request), "") << skew_s;
  }
  clock_.now_ms = kExampleMs + 301'000;
  EXPECT_EQ(check(request)->message,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z "
            "(20150830T124101Z - 5 min.)");
  clock_.now_ms = kExampleMs - 301'000;
  EXPECT_EQ(check(request)->message,
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z "
            "(20150830T123059Z + 5 min.)");
}

TEST_F(SignatureTest, WhoMaySign) {
  auto request = list_streams();
  replace(request, kKey, "AKIDOTHER");
  EXPECT_EQ(check(request), protocol::kinesis::unrecognized_client(
                                "The security token included in the request is invalid."));
  request = list_streams();
  request.headers.emplace_back("x-amz-security-token", "x");
  EXPECT_EQ(type(request), "UnrecognizedClientException");
  EXPECT_NE(check(request)->message.find("session tokens"), std::string::npos);
  request = list_streams();
  use("kinesis", false, false);
  EXPECT_NE(check(request)->message.find("credentialsSecret"), std::string::npos);
  request = list_streams();
  check_->set_credentials({{kKey, {"another", "123456789012"}}});
  EXPECT_EQ(type(request), "InvalidSignatureException");
}

TEST_F(SignatureTest, WhoSignsIsTheKeysUser) {
  auto request = list_streams();
  request.peer = "10.0.0.1";
  EXPECT_EQ(type(request), "");
  EXPECT_EQ(caller_.user, kKey) << "a key of the file that names nobody is a user of its own";
  EXPECT_EQ(caller_.host, "10.0.0.1");
  use("kinesis", true, false);  // --dev, until there are users with keys
  check_->set_user_credentials({{kKey, {kSecret, "123456789012", "alice"}}});
  EXPECT_EQ(type(request), "");
  EXPECT_EQ(caller_.user, "alice");
  auto other = list_streams();
  replace(other, kKey, "AKIDOTHER");
  EXPECT_EQ(type(other), "UnrecognizedClientException");
  check_->set_credentials({{kKey, {kSecret, "123456789012", "bob"}}});
  EXPECT_EQ(type(request), "");
  EXPECT_EQ(caller_.user, "bob") << "the file's key counts";
}

// --dev: whoever comes, until there are keys.
TEST_F(SignatureTest, AnyoneInDevelopment) {
  auto request = list_streams();
  replace(request, kKey, "anything");
  replace(request, "us-east-1", "eu-west-3");
  use("kinesis", true, false);
  EXPECT_EQ(type(request), "");
  EXPECT_EQ(caller_.access_key, "anything");
  EXPECT_EQ(caller_.region, "eu-west-3");
  EXPECT_EQ(caller_.account, "000000000000");
  EXPECT_EQ(type(example("POST", "/", {{"host", "h"}}, "{}")), "");
  EXPECT_EQ(caller_.region, "us-east-1");
  check_->set_credentials({{kKey, {kSecret, "123456789012"}}});
  EXPECT_EQ(type(request), "UnrecognizedClientException");
}

TEST_F(SignatureTest, IncompleteSignatures) {
  auto with = [](std::string authorization, bool date = false) {
    auto request = example("POST", "/", {{"host", "h"}, {"authorization", authorization}}, "{}");
    if (date) request.headers.emplace_back("date", "a");
    return request;
  };
  EXPECT_EQ(type(example("POST", "/", {{"host", "h"}}, "{}")), "MissingAuthenticationTokenException");
  EXPECT_EQ(check(with("X"))->message,
            "Authorization header requires 'Credential' parameter. Authorization header requires "
            "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            "Authorization=X");
  for (const char* fields : {"AWS4- Signature=b Credential=a", "AWS4- Signature=b,Credential=a",
                             "AWS4- Signature=b, Credential=a"}) {
    EXPECT_EQ(check(with(fields, true)),
              protocol::kinesis::incomplete_signature(
                  "Authorization header requires 'SignedHeaders' parameter. Authorization=" +
                  std::string(fields)));
  }
  auto request = example("POST", "/?X-Amz-Algorithm", {{"authorization", "X"}}, "{}");
  EXPECT_EQ(check(request)->message,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP "
            "header.");
  request = list_streams();
  replace(request, "/kinesis/aws4_request", "");
  EXPECT_EQ(type(request), "IncompleteSignatureException");
  request = list_streams();
  replace(request, "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1");
  EXPECT_EQ(type(request), "IncompleteSignatureException");
  request = list_streams();
  set(request, "x-amz-date", "yesterday");
  EXPECT_EQ(type(request), "IncompleteSignatureException");
  request = list_streams();
  replace(request, "/kinesis/", "/dynamodb/");
  EXPECT_EQ(check(request)->message, "Credential should be scoped to correct service: 'kinesis'. ");
}

TEST(CredentialsTest, ParsesAListAndNamesWhatIsWrong) {
  auto good = parse_credentials(
      "- accessKeyId: AKIA1\n  secretAccessKey: s3cr3t\n"
      "- accessKeyId: AKIA2\n  secretAccessKey: other\n  accountId: \"012345678901\"\n"
      "  user: alice\n");
  ASSERT_TRUE(good.ok()) << good.status().to_string();
  EXPECT_EQ(good->at("AKIA1").account, "000000000000");
  EXPECT_EQ(good->at("AKIA2").account, "012345678901");
  EXPECT_EQ(good->at("AKIA2").secret, "other");
  EXPECT_EQ(good->at("AKIA1").user, "");
  EXPECT_EQ(good->at("AKIA2").user, "alice");
  EXPECT_TRUE(parse_credentials("[]").ok());
  for (auto [yaml, says] : std::initializer_list<std::pair<const char*, const char*>>{
           {"accessKeyId: a", "list"},
           {"- accessKeyId: a", "secretAccessKey"},
           {"- secretAccessKey: s3cr3t", "accessKeyId"},
           {"- {accessKeyId: a, secretAccessKey: s3cr3t, acountId: x}", "acountId"},
           {"- {accessKeyId: a, secretAccessKey: s3cr3t, accountId: 12}", "twelve"},
           {"- {accessKeyId: a, secretAccessKey: s3cr3t}\n- {accessKeyId: a, secretAccessKey: b}",
            "twice"},
           {"- {accessKeyId: s3cr3t", "YAML"}}) {
    auto bad = parse_credentials(yaml);
    ASSERT_FALSE(bad.ok()) << yaml;
    EXPECT_NE(bad.status().message().find(says), std::string::npos) << bad.status().message();
    EXPECT_EQ(bad.status().message().find("s3cr3t"), std::string::npos);
  }
}

}  // namespace
}  // namespace broker::server::kinesis
