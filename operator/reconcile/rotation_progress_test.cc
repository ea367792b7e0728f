// A rotation waits for every broker and every user, and says for whom.
#include "operator/reconcile/rotation_progress.h"

#include <gtest/gtest.h>

#include "broker/security/tls.h"

namespace sluice_operator::reconcile {
namespace {

const BrokerFiles kWanted{"ca", "cert", "client-ca", "client-cert"};

struct World {
  void add(int32_t id, const BrokerFiles& has) {
    PodView pod;
    pod.broker = id;
    pods.push_back(pod);
    broker::coordination::BrokerView seen;
    seen.broker.set_id(id);
    seen.broker.set_alive(true);
    seen.certificates.set_ca(has.ca);
    seen.certificates.set_cert(has.cert);
    seen.certificates.set_client_ca(has.client_ca);
    seen.certificates.set_client_cert(has.client_cert);
    view.brokers.push_back(seen);
  }
  LoadedFiles look(int32_t brokers) const { return loaded_files(kWanted, brokers, pods, view); }
  std::vector<PodView> pods;
  ClusterView view;
};

TEST(RotationProgress, EveryBrokerCounts) {
  World w;
  w.add(0, kWanted);
  EXPECT_TRUE(w.look(1).ca);
  EXPECT_EQ(w.look(1).waits_for, "");
  w.add(1, {"ca", "old", "client-ca", "client-cert"});
  EXPECT_TRUE(w.look(2).ca);
  EXPECT_FALSE(w.look(2).cert);
  EXPECT_TRUE(w.look(2).client_ca);
  EXPECT_EQ(w.look(2).waits_for, "broker 1: it has not loaded the new files yet");
}

TEST(RotationProgress, ABrokerThatCannotBeAskedIsWaitedFor) {
  World w;
  w.add(0, kWanted);
  EXPECT_FALSE(w.look(2).ca);
  EXPECT_EQ(w.look(2).waits_for, "broker 1: it is not here to ask");
  w.add(1, kWanted);
  w.view.brokers[1].broker.set_alive(false);
  EXPECT_FALSE(w.look(2).cert);
  w.view.brokers[1].broker.set_alive(true);
  w.pods[1].terminating = true;
  EXPECT_FALSE(w.look(2).ca) << "its successor may start from an old copy of the Secret";
}

TEST(RotationProgress, AnOlderBrokerIsNamed) {
  World w;
  w.add(0, {});
  EXPECT_FALSE(w.look(1).ca);
  EXPECT_EQ(w.look(1).waits_for, "broker 0: it does not tell which certificates it has");
}

TEST(RotationProgress, UsersWhoAreServedByACertificateCount) {
  api::StreamUser user;
  user.spec.authentication = api::StreamUserSpec::Authentication::kTls;
  EXPECT_TRUE(users_reissued({user}, "new")) << "not served";
  api::set_condition(user.status.conditions, {"Ready", "True", "Served", "", "", 1}, "");
  user.status.certificate_issuer = broker::security::sha256_hex("old");
  EXPECT_FALSE(users_reissued({user}, "new"));
  user.status.certificate_issuer = broker::security::sha256_hex("new");
  EXPECT_TRUE(users_reissued({user}, "new"));
  user.spec.authentication = api::StreamUserSpec::Authentication::kScram;
  user.status.certificate_issuer = "";
  EXPECT_TRUE(users_reissued({user}, "new")) << "a password";
}

}  // namespace
}  // namespace sluice_operator::reconcile
