// The operator's CA and the clients' CA of a cluster are replaced while brokers take up new files one
// after the other, with the operator killed at its n-th API call for every n: it always gets there, no
// handshake is refused at any moment, and no broker is restarted.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/certs/certs.h"
#include "operator/kube/client/base64.h"
#include "tests/support/fake_api/lifecycle_world.h"

namespace sluice_tests {
namespace {

using kube::Json;

const kube::ObjectKey kOperatorCa{"sluice-system", "sluice-ca"};
const kube::ObjectKey kClientsCa{"apps", "orders-clients-ca"};

Json spec() {
  return {{"brokers", 2},
          {"resources", {{"requests", {{"memory", "128Mi"}}}}},
          {"storage", {{"size", "1Gi"}}},
          {"listeners",
           {{{"name", "secure"}, {"port", 9094}, {"tls", true}, {"authentication", "Tls"}}}}};
}

std::string ca_of(const LifecycleWorld& w, const kube::ObjectKey& key) {
  return reconcile::data_of(w.secret(key), "ca.crt");
}

std::string phase_of(const LifecycleWorld& w, const kube::ObjectKey& key) {
  return w.secret(key)["metadata"].value("annotations", Json::object()).value(
      reconcile::kPhaseAnnotation, std::string());
}

// The cluster is up, and alice has her certificate.
void begin(LifecycleWorld& w) {
  w.keep_certificates();
  w.create(spec());
  ASSERT_TRUE(w.run_until([&] {
    return w.ready(2) && !reconcile::data_of(w.secret({"apps", "alice"}), "user.crt").empty();
  })) << "creation";
}

void rotate(LifecycleWorld& w) {
  const std::string operator_ca = ca_of(w, kOperatorCa), clients_ca = ca_of(w, kClientsCa);
  const std::string alice = reconcile::data_of(w.secret({"apps", "alice"}), "user.crt");
  const int restarts = w.restarts();
  w.rotate(kOperatorCa);
  w.rotate(kClientsCa);
  ASSERT_TRUE(w.run_until([&] {
    const std::string now = ca_of(w, kOperatorCa), clients_now = ca_of(w, kClientsCa);
    if (now == operator_ca || clients_now == clients_ca) return false;
    for (const auto& [id, files] : w.files()) {
      if (files.ca != now || files.client_ca != clients_now) return false;
    }
    return phase_of(w, kOperatorCa) == "Stable" && phase_of(w, kClientsCa) == "Stable";
  })) << phase_of(w, kOperatorCa) << ", " << phase_of(w, kClientsCa);
  EXPECT_EQ(w.refusals(), std::set<std::string>());
  EXPECT_EQ(w.restarts(), restarts);
  EXPECT_NE(reconcile::data_of(w.secret({"apps", "alice"}), "user.crt"), alice);
  // An operator that has just begun again looks at its brokers first.
  EXPECT_TRUE(w.run_until([&] { return w.ready(2); }));
}

TEST(CaRotation, WithoutARefusalARestartOrANeedlessWrite) {
  LifecycleWorld w;
  begin(w);
  if (HasFatalFailure()) return;
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
  rotate(w);
  if (HasFatalFailure()) return;
  EXPECT_EQ(w.lives(), 1);
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
}

// A CA of the user's own (cert-manager's shape), renewed with another key: brokers trust both until
// nobody has a certificate of the first.
TEST(CaRotation, ACaFromElsewhereIsFollowed) {
  LifecycleWorld w;
  const int64_t now_s = broker::env::PosixClock().wall_ms() / 1000;
  auto give = [&](const certs::KeyPair& ca) {
    w.apply("/api/v1/namespaces/apps/secrets/shop-ca",
            {{"apiVersion", "v1"},
             {"kind", "Secret"},
             {"metadata", {{"namespace", "apps"}, {"name", "shop-ca"}}},
             {"data", {{"tls.crt", kube::base64_encode(ca.cert)},
                       {"tls.key", kube::base64_encode(ca.key)},
                       {"ca.crt", kube::base64_encode(ca.cert)}}}});
  };
  auto text = [&](const char* secret, const char* key) {
    return reconcile::data_of(w.secret({"apps", secret}), key);
  };
  const auto one = *certs::make_ca("one", now_s), two = *certs::make_ca("two", now_s);
  give(one);
  w.keep_certificates();
  Json with = spec();
  with["tls"] = {{"caSecret", "shop-ca"}};
  w.create(with);
  ASSERT_TRUE(w.run_until([&] { return w.ready(2) && !text("alice", "user.crt").empty(); }));
  EXPECT_TRUE(certs::issued_by(text("alice", "user.crt"), one.cert));
  EXPECT_TRUE(certs::issued_by(text("orders-client-tls", "tls.crt"), one.cert));
  EXPECT_EQ(text("orders-client-tls", "clients-ca.crt"), one.cert);
  EXPECT_EQ(text("alice", "ca.crt"), one.cert);
  EXPECT_EQ(w.secret(kClientsCa)["kind"], "Status") << "none is made beside it";

  give(two);
  bool both = false;
  ASSERT_TRUE(w.run_until([&] {
    const std::string trusted = text("orders-client-tls", "clients-ca.crt");
    both |= trusted == two.cert + one.cert;
    return trusted == two.cert;
  }));
  EXPECT_TRUE(both);
  EXPECT_TRUE(certs::issued_by(text("alice", "user.crt"), two.cert));
  EXPECT_TRUE(certs::issued_by(text("orders-client-tls", "tls.crt"), two.cert));
  EXPECT_EQ(w.refusals(), std::set<std::string>());
  EXPECT_EQ(w.restarts(), 0);
  EXPECT_EQ(w.writes_when_settled(), std::vector<std::string>());
}

class CrashInRotation : public testing::TestWithParam<bool> {};

TEST_P(CrashInRotation, AtEveryCallItGetsThere) {
  for (int n = 1;; n++) {
    SCOPED_TRACE("at call " + std::to_string(n));
    LifecycleWorld w;
    begin(w);
    w.crash_at(w.calls() + n, GetParam());
    rotate(w);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
    if (w.lives() == 1) {  // it was over before
      EXPECT_GT(n, 30);
      return;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(CaRotation, CrashInRotation, testing::Bool(), [](const auto& info) {
  return info.param ? "AfterTheCall" : "BeforeTheCall";
});

}  // namespace
}  // namespace sluice_tests
