// SCRAM's server against RFC 7677's example, a client of our own, and clients that lie.
#include "broker/security/scram.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace broker::security {
namespace {

std::string unbase64(const std::string& text) {
  std::string out(text.size() / 4 * 3, '\0');
  EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                  reinterpret_cast<const unsigned char*>(text.data()),
                  static_cast<int>(text.size()));
  while (!text.empty() && text.ends_with("=") && out.ends_with('\0')) out.pop_back();
  return out;
}

// RFC 7677 section 3: user "user", password "pencil".
TEST(Scram, AnswersTheExampleOfTheRfc) {
  auto credential =
      make_credential(kScramSha256, "pencil", unbase64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  ScramServer server(
      kScramSha256, [&](const std::string& user) { return user == "user" ? &credential : nullptr; },
      "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "decoy");
  auto first = server.step("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  ASSERT_TRUE(first.ok()) << first.status().to_string();
  EXPECT_EQ(*first,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  auto final = server.step(
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
      "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  ASSERT_TRUE(final.ok()) << final.status().to_string();
  EXPECT_EQ(*final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  EXPECT_TRUE(server.done());
  EXPECT_EQ(server.user(), "user");
}

TEST(Scram, TellsAPasswordByItsVerifier) {
  auto credential = make_credential(kScramSha512, "right", "salt");
  EXPECT_TRUE(is_password(credential, "right"));
  EXPECT_FALSE(is_password(credential, "wrong"));
  EXPECT_FALSE(is_password(credential, ""));
}

TEST(Scram, AClientsSaltedPasswordGivesTheSameVerifier) {
  for (const char* mechanism : {kScramSha256, kScramSha512}) {
    std::string salted(salted_password_bytes(mechanism), '\0');
    ASSERT_EQ(PKCS5_PBKDF2_HMAC("right", 5, reinterpret_cast<const unsigned char*>("salt"), 4, 8192,
                                mechanism == kScramSha256 ? EVP_sha256() : EVP_sha512(),
                                static_cast<int>(salted.size()),
                                reinterpret_cast<unsigned char*>(salted.data())),
              1);
    auto credential = credential_of_salted(mechanism, salted, "salt", 8192);
    EXPECT_EQ(credential.SerializeAsString(),
              make_credential(mechanism, "right", "salt", 8192).SerializeAsString());
    EXPECT_TRUE(is_password(credential, "right"));
    EXPECT_FALSE(is_password(credential, "wrong"));
  }
}

class Lying : public testing::Test {
 protected:
  sluice::v1::ScramCredential credential_ = make_credential(kScramSha512, "right", "salt");
  ScramServer server_{kScramSha512,
                      [this](const std::string& user) {
                        return user == "alice" ? &credential_ : nullptr;
                      },
                      "server-nonce", "decoy"};
};

TEST_F(Lying, AWrongProofIsRefused) {
  ASSERT_TRUE(server_.step("n,,n=alice,r=c").ok());
  std::string proof(88, 'A');
  proof[86] = proof[87] = '=';
  auto answer = server_.step("c=biws,r=cserver-nonce,p=" + proof);
  EXPECT_EQ(answer.code(), Code::kPermissionDenied);
  EXPECT_FALSE(server_.done());
  EXPECT_EQ(server_.step("c=biws,r=cserver-nonce,p=" + proof).code(), Code::kPermissionDenied);
}

TEST_F(Lying, AnUnknownUserLooksLikeAKnownOne) {
  auto once = server_.step("n,,n=mallory,r=c");
  ASSERT_TRUE(once.ok());
  ScramServer again(kScramSha512, [](const std::string&) { return nullptr; }, "server-nonce",
                    "decoy");
  EXPECT_EQ(*once, *again.step("n,,n=mallory,r=c"));  // the salt does not change between tries
  std::string proof(88, 'A');
  proof[86] = proof[87] = '=';
  EXPECT_EQ(server_.step("c=biws,r=cserver-nonce,p=" + proof).code(), Code::kPermissionDenied);
}

TEST_F(Lying, MalformedMessagesAreRefused) {
  for (const char* message :
       {"", "n", "n,", "n,,", "n,,n=alice", "n,,r=c", "p=tls-unique,,n=alice,r=c", "n,,n=al=ice,r=c",
        "n,a=bob,n=alice,r=c", "n,,m=x,n=alice,r=c", "n,,n=,r=c", "n,,n=alice,r="}) {
    ScramServer server(kScramSha256, [](const std::string&) { return nullptr; }, "nonce", "decoy");
    EXPECT_EQ(server.step(message).code(), Code::kPermissionDenied) << message;
  }
  for (const char* message : {"", "c=biws", "c=biws,r=cserver-nonce", "c=biws,r=cserver-nonce,p=",
                              "c=biws,r=cserver-nonce,p=!!!!", "c=biws,r=other,p=AAAA",
                              "c=eSws,r=cserver-nonce,p=AAAA"}) {
    ScramServer server(kScramSha512, [this](const std::string&) { return &credential_; },
                       "server-nonce", "decoy");
    ASSERT_TRUE(server.step("n,,n=alice,r=c").ok());
    EXPECT_EQ(server.step(message).code(), Code::kPermissionDenied) << message;
  }
}

}  // namespace
}  // namespace broker::security
