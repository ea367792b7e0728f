// StreamUsers against the fake API server: a Secret of their own that overwrites nobody's, verifiers
// that stay the same, and brokers that hear of users only when all are known.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "broker/security/scram.h"
#include "broker/security/tls.h"
#include "operator/certs/certs.h"
#include "operator/kube/client/base64.h"
#include "tests/support/fake_api/lifecycle_world.h"

namespace sluice_tests {
namespace {

using kube::Json;

class StreamUsers : public testing::Test {
 protected:
  StreamUsers() : life_(std::make_unique<OperatorLife>(server_, "sluice:test")) {
    put("sluice.dev/v1alpha1", "StreamCluster", "orders",
        {{"spec", {{"brokers", 1}, {"authorization", {{"enabled", true}, {"superUsers", {"root"}}}}}}});
  }
  void begin() {
    ASSERT_TRUE(life_->start());
    life_->reconcile();
  }
  void restart() {
    life_ = std::make_unique<OperatorLife>(server_, "sluice:test");
    begin();
  }
  Json put(const std::string& version, const std::string& kind, const std::string& name, Json rest) {
    Json object = std::move(rest);
    object["apiVersion"] = version;
    object["kind"] = kind;
    object["metadata"]["name"] = name;
    object["metadata"]["namespace"] = "apps";
    const std::string plural = kind == "Secret" ? "secrets" : kind == "StreamUser" ? "streamusers"
                                                                                  : "streamclusters";
    const std::string base = version == "v1" ? "/api/v1" : "/apis/" + version;
    return server_.apply(base + "/namespaces/apps/" + plural + "/" + name, object).body;
  }
  void user(const std::string& name, Json spec = Json::object()) {
    spec["cluster"] = "orders";
    put("sluice.dev/v1alpha1", "StreamUser", name, {{"spec", spec}});
  }
  Json get(const std::string& path) { return server_.get(path).body; }
  std::string secret(const std::string& name, const char* key) {
    Json object = get("/api/v1/namespaces/apps/secrets/" + name);
    auto text = object.value("/data"_json_pointer / key, std::string());
    return kube::base64_decode(text).value_or("");
  }
  std::string reason(const std::string& name) {
    Json object = get("/apis/sluice.dev/v1alpha1/namespaces/apps/streamusers/" + name);
    return object.value("/status/conditions/0/reason"_json_pointer, std::string());
  }

  // What a Kafka client is answered; the controller looks at alice whenever the watch shows a change.
  sluice::v1::AdminResponse answered(const sluice::v1::AdminRequest& request) {
    sluice::v1::AdminResponse response;
    do {
      auto answer = life_->ask(request);
      while (answer.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) {
        life_->reconcile_user("alice");
      }
      response = answer.get();
    } while (response.code() == "UNAVAILABLE");  // its metadata is being loaded
    return response;
  }
  sluice::v1::AdminResponse set_password(const std::string& password) {
    sluice::v1::AdminRequest request;
    request.mutable_alter_scram()->set_user("alice");
    *request.mutable_alter_scram()->mutable_set() = broker::security::make_credential(
        broker::security::kScramSha256, password, "salt", 8192);
    return answered(request);
  }
  // Whether brokers let alice in with this password.
  bool lets_in(const std::string& mechanism, const std::string& password) {
    auto security = life_->security();
    if (!security || security->users_size() != 1) return false;
    for (const auto& one : security->users(0).scram()) {
      if (one.mechanism() == mechanism) return broker::security::is_password(one, password);
    }
    return false;
  }
  bool has(const std::string& secret, const char* key) {
    return get("/api/v1/namespaces/apps/secrets/" + secret)["data"].contains(key);
  }

  FakeApiServer server_;
  std::unique_ptr<OperatorLife> life_;
};

TEST_F(StreamUsers, GetASecretAndAreServed) {
  user("alice", {{"acls", {{{"resource", "Topic"}, {"name", "t-"}, {"prefix", true},
                            {"operations", {"Read", "Write"}}}}}});
  begin();
  EXPECT_FALSE(life_->security().has_value()) << "brokers were told before alice was looked at";
  life_->reconcile_user("alice");
  auto security = life_->security();
  ASSERT_TRUE(security.has_value());
  EXPECT_TRUE(security->authorize());
  EXPECT_EQ(security->super_users(0), "root");
  ASSERT_EQ(security->users_size(), 1);
  EXPECT_EQ(security->users(0).acls_size(), 2);
  const std::string password = secret("alice", "password");
  EXPECT_GE(password.size(), 32u);
  EXPECT_TRUE(broker::security::is_password(security->users(0).scram(0), password));
  EXPECT_EQ(security->SerializeAsString().find(password), std::string::npos);
  EXPECT_NE(secret("alice", "ca.crt").find("BEGIN CERTIFICATE"), std::string::npos);
  EXPECT_EQ(reason("alice"), "Served");

  restart();
  life_->reconcile_user("alice");
  EXPECT_EQ(secret("alice", "password"), password);
  EXPECT_EQ(life_->security()->SerializeAsString(), security->SerializeAsString());
}

// From the client's wish over the resource and its watch to what brokers are told.
TEST_F(StreamUsers, GetTheAclsThatKafkasClientsCreate) {
  user("alice",
       {{"acls",
         {{{"resource", "Topic"}, {"name", "t-"}, {"prefix", true}, {"operations", {"Read"}}}}}});
  begin();
  life_->reconcile_user("alice");
  const std::string path = "/apis/sluice.dev/v1alpha1/namespaces/apps/streamusers/alice";
  sluice::v1::AdminRequest request;
  request.mutable_create_acls()->set_user("alice");
  auto* acl = request.mutable_create_acls()->add_acls();
  acl->set_resource("Topic");
  acl->set_name("t-");
  acl->set_prefix(true);
  acl->set_operation("Write");
  acl->set_host("*");
  EXPECT_EQ(answered(request).code(), "OK");
  EXPECT_EQ(get(path)["spec"]["acls"][0]["operations"], Json::array({"Read", "Write"}));
  ASSERT_EQ(life_->security()->users(0).acls_size(), 2) << "it was answered before it holds";
  EXPECT_EQ(life_->security()->users(0).acls(1).operation(), "Write");

  request.mutable_delete_acls()->add_filters()->set_operation("Read");
  auto response = answered(request);
  EXPECT_EQ(response.code(), "OK") << response.message();
  ASSERT_EQ(response.deleted_acls_size(), 1);
  ASSERT_EQ(response.deleted_acls(0).acls_size(), 1);
  EXPECT_EQ(response.deleted_acls(0).acls(0).user(), "alice");
  EXPECT_EQ(get(path)["spec"]["acls"][0]["operations"], Json::array({"Write"}));
  EXPECT_EQ(life_->security()->users(0).acls_size(), 1);
}

// Whose password it is: a Kafka client's from its change until the Secret is deleted.
TEST_F(StreamUsers, KeepThePasswordThatAKafkaClientSets) {
  user("alice");
  begin();
  life_->reconcile_user("alice");
  const std::string made = secret("alice", "password");
  auto response = set_password("chosen");
  EXPECT_EQ(response.code(), "OK") << response.message();
  auto holds = [&](const char* when) {
    EXPECT_TRUE(lets_in("SCRAM-SHA-256", "chosen")) << when;
    EXPECT_TRUE(lets_in("SCRAM-SHA-512", made)) << "the other mechanism's stays; " << when;
    EXPECT_FALSE(has("alice", "password")) << when;
    EXPECT_FALSE(has("alice", "sasl.jaas.config")) << when;
    EXPECT_EQ(secret("alice", "username"), "alice") << when;
    EXPECT_EQ(reason("alice"), "Served") << when;
  };
  holds("when it is answered");
  life_->reconcile_user("alice");
  holds("at the next pass");
  restart();
  life_->reconcile_user("alice");
  holds("after a restart");

  sluice::v1::AdminRequest request;
  request.mutable_alter_scram()->set_user("alice");
  for (const char* mechanism : {"SCRAM-SHA-256", "SCRAM-SHA-512"}) {
    request.mutable_alter_scram()->set_remove(mechanism);
    EXPECT_EQ(answered(request).code(), "OK");
  }
  life_->reconcile_user("alice");
  ASSERT_EQ(life_->security()->users_size(), 1);
  EXPECT_EQ(life_->security()->users(0).scram_size(), 0) << "a client took her passwords away";
  EXPECT_FALSE(has("alice", "password"));

  server_.remove("/api/v1/namespaces/apps/secrets/alice");
  life_->reconcile_user("alice");
  EXPECT_TRUE(lets_in("SCRAM-SHA-256", secret("alice", "password"))) << "the operator's again";
}

TEST_F(StreamUsers, LoseAClientsPasswordToTheirSpecs) {
  user("alice");
  put("v1", "Secret", "mine", {{"data", {{"pw", kube::base64_encode("given")}}}});
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(set_password("chosen").code(), "OK");
  user("alice", {{"passwordFrom", {{"secret", "mine"}, {"key", "pw"}}}});
  kube::StopSignal never;
  for (int i = 0; i < 1000 && secret("alice", "password") != "given"; i++) {
    never.wait_ms(3);  // the watch brings the spec
    life_->reconcile_user("alice");
  }
  EXPECT_TRUE(lets_in("SCRAM-SHA-256", "given"));
  EXPECT_TRUE(lets_in("SCRAM-SHA-512", "given"));
  EXPECT_EQ(secret("alice", "password"), "given");
  EXPECT_FALSE(has("alice", "scram.credentials")) << "it would come back with the spec's end";
  EXPECT_EQ(set_password("again").code(), "POLICY_VIOLATION");
}

TEST_F(StreamUsers, DropAPasswordThatIsWrittenBesideAClients) {
  user("alice");
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(set_password("chosen").code(), "OK");
  server_.merge_patch("/api/v1/namespaces/apps/secrets/alice",
                      {{"data", {{"password", kube::base64_encode("typed")}}}});
  life_->reconcile_user("alice");
  EXPECT_FALSE(has("alice", "password"));
  EXPECT_TRUE(lets_in("SCRAM-SHA-256", "chosen"));

  server_.merge_patch("/api/v1/namespaces/apps/secrets/alice",
                      {{"data", {{"scram.credentials", kube::base64_encode("[oops")}}}});
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "NoPassword");
}

TEST_F(StreamUsers, OverwriteNobodysSecret) {
  put("v1", "Secret", "alice", {{"data", {{"password", kube::base64_encode("somebody else's")}}}});
  user("alice");
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "SecretTaken");
  EXPECT_EQ(secret("alice", "password"), "somebody else's");
  ASSERT_TRUE(life_->security().has_value());
  EXPECT_EQ(life_->security()->users_size(), 0);
}

TEST_F(StreamUsers, TakeAPasswordFromElsewhere) {
  user("alice", {{"passwordFrom", {{"secret", "mine"}, {"key", "pw"}}}});
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "NoPassword");
  put("v1", "Secret", "mine", {{"data", {{"pw", kube::base64_encode("chosen")}}}});
  life_->reconcile_user("alice");
  EXPECT_EQ(secret("alice", "password"), "chosen");
  EXPECT_TRUE(
      broker::security::is_password(life_->security()->users(0).scram(1), "chosen"));
}

TEST_F(StreamUsers, SignWithAnAccessKeyOfTheirOwn) {
  user("alice", {{"authentication", {{"type", "AccessKey"}}}});
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "Served");
  const std::string id = secret("alice", "accessKeyId"), key = secret("alice", "secretAccessKey");
  EXPECT_EQ(id.size(), 20u);
  EXPECT_GE(key.size(), 32u);
  EXPECT_EQ(secret("alice", "password"), "");
  EXPECT_EQ(secret("alice", "endpoint"), "http://orders.apps.svc:4567");
  auto security = life_->security();
  ASSERT_EQ(security->users_size(), 1);
  EXPECT_EQ(security->users(0).scram_size(), 0);
  ASSERT_EQ(security->users(0).access_keys_size(), 1);
  EXPECT_EQ(security->users(0).access_keys(0).id(), id);
  EXPECT_EQ(security->users(0).access_keys(0).secret(), key);

  restart();
  life_->reconcile_user("alice");
  EXPECT_EQ(secret("alice", "accessKeyId"), id);
  EXPECT_EQ(secret("alice", "secretAccessKey"), key);
}

TEST_F(StreamUsers, OverwriteNobodysSecretWithAnAccessKey) {
  put("v1", "Secret", "alice", {{"data", {{"accessKeyId", kube::base64_encode("AKIAOTHER")}}}});
  user("alice", {{"authentication", {{"type", "AccessKey"}}}});
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "SecretTaken");
  EXPECT_EQ(secret("alice", "accessKeyId"), "AKIAOTHER");
  EXPECT_EQ(life_->security()->users_size(), 0);
}

TEST_F(StreamUsers, DeclareTheirQuotas) {
  user("alice", {{"quotas", {{"producerByteRate", 1048576}, {"requestPercentage", 12.5}}}});
  user("bob", {{"quotas", {{"controllerMutationRate", 0}}}});
  begin();
  life_->reconcile_user("alice");
  life_->reconcile_user("bob");
  EXPECT_EQ(reason("bob"), "Invalid");
  auto security = life_->security();
  ASSERT_EQ(security->users_size(), 1);
  const auto& quotas = security->users(0).quotas();
  EXPECT_EQ(quotas.size(), 2u);
  EXPECT_EQ(quotas.at("producer_byte_rate"), 1048576);
  EXPECT_EQ(quotas.at("request_percentage"), 12.5);
}

TEST_F(StreamUsers, HaveACertificateInsteadOfAPassword) {
  put("sluice.dev/v1alpha1", "StreamCluster", "orders",
      {{"spec", {{"brokers", 1},
                 {"listeners", {{{"name", "secure"}, {"port", 9094}, {"tls", true},
                                 {"authentication", "Tls"}}}}}}});
  user("alice", {{"authentication", {{"type", "Tls"}}},
                 {"acls", {{{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read"}}}}}});
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "Served");
  const std::string cert = secret("alice", "user.crt"), key = secret("alice", "user.key");
  const std::string clients_ca = secret("orders-clients-ca", "ca.crt");
  const int64_t now_s = broker::env::PosixClock().wall_ms() / 1000;
  EXPECT_FALSE(certs::needs_issue({cert, key}, clients_ca, certs::for_user("alice"), now_s));
  EXPECT_FALSE(certs::verifies(cert, secret("orders-tls", "ca.crt"), now_s))
      << "a user's certificate opens doors between brokers";
  EXPECT_TRUE(certs::verifies(secret("orders-client-tls", "tls.crt"), secret("alice", "ca.crt"), now_s));
  EXPECT_EQ(secret("alice", "password"), "");
  ASSERT_EQ(life_->security()->users_size(), 1);
  EXPECT_EQ(life_->security()->users(0).scram_size(), 0);
  EXPECT_EQ(life_->security()->users(0).acls_size(), 1);
  Json status = get("/apis/sluice.dev/v1alpha1/namespaces/apps/streamusers/alice")["status"];
  EXPECT_EQ(status["certificateIssuer"], broker::security::sha256_hex(clients_ca));

  restart();
  life_->reconcile_user("alice");
  EXPECT_EQ(secret("alice", "user.crt"), cert);
}

TEST_F(StreamUsers, HaveNoCertificateWithoutAListenerForIt) {
  user("alice", {{"authentication", {{"type", "Tls"}}}});
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "NoIssuer");
  EXPECT_EQ(get("/api/v1/namespaces/apps/secrets/alice")["kind"], "Status");
}

TEST_F(StreamUsers, AreNotGivenSomebodyElsesSecretForACertificate) {
  put("v1", "Secret", "alice", {{"data", {{"user.crt", kube::base64_encode("somebody else's")}}}});
  put("sluice.dev/v1alpha1", "StreamCluster", "orders",
      {{"spec", {{"brokers", 1}, {"listeners", {{{"name", "secure"}, {"port", 9094}, {"tls", true}}}}}}});
  user("alice", {{"authentication", {{"type", "Tls"}}}});
  begin();
  life_->reconcile_user("alice");
  EXPECT_EQ(reason("alice"), "SecretTaken");
  EXPECT_EQ(secret("alice", "user.crt"), "somebody else's");
}

// A Secret of cert-manager's shape for what clients see, and its renewal.
TEST_F(StreamUsers, TheListenersShowACertificateFromElsewhere) {
  const int64_t now_s = broker::env::PosixClock().wall_ms() / 1000;
  auto ca = certs::make_ca("theirs", now_s);
  auto give = [&](const certs::KeyPair& pair, const std::string& root) {
    put("v1", "Secret", "shop-tls", {{"data", {{"tls.crt", kube::base64_encode(pair.cert)},
                                               {"tls.key", kube::base64_encode(pair.key)},
                                               {"ca.crt", kube::base64_encode(root)}}}});
  };
  put("sluice.dev/v1alpha1", "StreamCluster", "orders",
      {{"spec", {{"brokers", 1},
                 {"tls", {{"certificateSecret", "shop-tls"}}},
                 {"listeners", {{{"name", "secure"}, {"port", 9094}, {"tls", true}}}}}}});
  user("alice");
  begin();
  auto valid = [&] {
    Json cluster = get("/apis/sluice.dev/v1alpha1/namespaces/apps/streamclusters/orders");
    for (const auto& condition : cluster["status"]["conditions"]) {
      if (condition["type"] == "CertificatesValid") return condition["reason"].get<std::string>();
    }
    return std::string();
  };
  EXPECT_EQ(valid(), "SecretMissing");
  EXPECT_FALSE(secret("orders-client-tls", "tls.crt").empty()) << "listeners need one to open";

  auto first = certs::issue(*ca, certs::for_hosts({"shop.example.com"}), now_s);
  give(*first, ca->cert);
  life_->reconcile();
  EXPECT_EQ(secret("orders-client-tls", "tls.crt"), first->cert);
  EXPECT_EQ(valid(), "Valid");
  life_->reconcile_user("alice");
  EXPECT_EQ(secret("alice", "ca.crt"), ca->cert);

  auto second = certs::issue(*ca, certs::for_hosts({"shop.example.com"}), now_s);
  give({second->cert, first->key}, ca->cert);
  life_->reconcile();
  EXPECT_EQ(valid(), "SecretInvalid");
  EXPECT_EQ(secret("orders-client-tls", "tls.crt"), first->cert) << "a bad one reaches no broker";
  give(*second, ca->cert);
  life_->reconcile();
  EXPECT_EQ(secret("orders-client-tls", "tls.crt"), second->cert);
}

TEST_F(StreamUsers, HaveANameOfTheirOwn) {
  user("a", {{"name", "same"}});
  user("b", {{"name", "same"}});
  begin();
  life_->reconcile_user("b");
  life_->reconcile_user("a");
  EXPECT_EQ(reason("b"), "NameTaken");
  EXPECT_EQ(life_->security()->users_size(), 1);
}

}  // namespace
}  // namespace sluice_tests
