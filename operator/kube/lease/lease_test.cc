// Who may take the lease, by the observer's own clock only.
#include "operator/kube/lease/lease.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::kube {
namespace {

LeaseOptions options(const std::string& identity) {
  LeaseOptions o;
  o.ns = "ns";
  o.name = "sluice-operator";
  o.identity = identity;
  return o;
}

Json with_version(Json lease, int version) {
  lease["metadata"]["resourceVersion"] = std::to_string(version);
  return lease;
}

TEST(LeaseView, AMissingLeaseIsFree) {
  auto mine = options("a");
  LeaseView view(mine);
  view.observe(Json(), 0);
  EXPECT_TRUE(view.may_acquire(0));
  Json lease = view.acquired(1'700'000'000'123);
  EXPECT_EQ(lease["spec"]["holderIdentity"], "a");
  EXPECT_EQ(lease["spec"]["renewTime"], "2023-11-14T22:13:20.123000Z");
  EXPECT_EQ(lease["spec"]["leaseTransitions"], 0);
  EXPECT_EQ(lease["spec"]["leaseDurationSeconds"], 15);
}

TEST(LeaseView, AHeldLeaseIsTakenOnlyAfterItStoodStillForItsDuration) {
  auto theirs = options("a"), mine = options("b");
  LeaseView holder(theirs), view(mine);
  Json lease = with_version(holder.acquired(0), 1);
  view.observe(lease, 1'000);
  EXPECT_FALSE(view.may_acquire(15'999));
  view.observe(lease, 15'000);  // unchanged: the wait goes on from the first sight
  EXPECT_TRUE(view.may_acquire(16'000));
  view.observe(with_version(lease, 2), 16'000);  // renewed after all
  EXPECT_FALSE(view.may_acquire(30'999));
  EXPECT_TRUE(view.may_acquire(31'000));
  EXPECT_EQ(view.acquired(0)["spec"]["leaseTransitions"], 1);
}

TEST(LeaseView, AReleasedLeaseIsFreeAtOnce) {
  auto theirs = options("a"), mine = options("b");
  LeaseView holder(theirs), view(mine);
  holder.observe(with_version(holder.acquired(0), 1), 0);
  view.observe(with_version(holder.released(5), 2), 10);
  EXPECT_TRUE(view.may_acquire(10));
}

TEST(LeaseView, OurOwnLeaseAfterARestartIsRenewedAtOnce) {
  auto mine = options("a");
  LeaseView before(mine), after(mine);
  after.observe(with_version(before.acquired(0), 1), 0);
  EXPECT_TRUE(after.held_by_us());
  EXPECT_TRUE(after.may_acquire(1));
  EXPECT_EQ(after.acquired(9)["spec"]["acquireTime"], before.acquired(0)["spec"]["acquireTime"]);
}

TEST(LeaseView, NonsenseInTheObjectIsNoCrash) {
  auto mine = options("a");
  LeaseView view(mine);
  view.observe(Json{{"metadata", 3}, {"spec", {{"holderIdentity", nullptr}}}}, 0);
  EXPECT_TRUE(view.may_acquire(0));
  view.observe(Json{{"metadata", Json::object()}, {"spec", "x"}}, 0);
  EXPECT_EQ(view.acquired(0)["spec"]["holderIdentity"], "a");
}

}  // namespace
}  // namespace sluice_operator::kube
