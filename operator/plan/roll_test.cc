// Rolls played through: pods are restarted as the plan says and come back good or bad, until nothing
// is left to do. At no time do more brokers stop than their shards can do without.
#include "operator/plan/roll.h"

#include <gtest/gtest.h>

#include <map>

namespace sluice_operator::plan {
namespace {

using State = RollStep::State;

// Brokers with one copy of every shard a zone: a zone may stop, no two.
class Rolling {
 public:
  Rolling(int brokers, int zones) {
    for (int id = 0; id < brokers; ++id) {
      input.brokers.push_back(
          {id, "z" + std::to_string(id % zones), true, false, true, true, "a", ""});
    }
    input.good = input.wanted = template_ = "a";
    input.template_ready = true;
  }
  void edit(const std::string& hash) { input.wanted = hash; }

  RollStep plan() {
    input.template_ready = template_ == input.wanted;
    RollStep step = plan_roll(input, [this](const auto& ids) { return risk(ids); });
    template_ = step.wanted_template ? input.wanted : input.good;
    if (step.proven) input.good = input.wanted;
    for (int32_t id : step.restart) kill(id);
    return step;
  }
  // What the StatefulSet's controller and the kubelets do.
  void start_pods() {
    for (auto& broker : input.brokers) {
      if (broker.terminating) broker.exists = broker.terminating = false;
      else if (!broker.exists) broker.exists = true, broker.hash = template_;
      else if (!broker.ready && broker.hash == bad) broker.broken = "ImagePullBackOff";
      else if (!broker.alive) broker.alive = true;
      else broker.ready = true;
    }
  }
  void kill(int32_t id) {
    auto& broker = input.brokers[static_cast<size_t>(id)];
    const bool served = broker.ready;
    broker.terminating = true;
    broker.ready = broker.alive = false;
    broker.broken.clear();
    order.push_back(id);
    ASSERT_TRUE(!served || zones_down() <= 1) << "two zones are down";
  }
  size_t zones_down() const {
    std::set<std::string> zones;
    for (const auto& broker : input.brokers) {
      if (!broker.ready) zones.insert(broker.zone);
    }
    return zones.size();
  }
  std::string risk(const std::set<int32_t>& ids) const {
    std::set<std::string> zones;
    for (const auto& broker : input.brokers) {
      bool counts = ids.count(broker.id) && broker.alive;
      if (!broker.alive || counts) zones.insert(broker.zone);
    }
    bool concerned = false;
    for (int32_t id : ids) concerned |= input.brokers[static_cast<size_t>(id)].alive;
    return concerned && (zones.size() > 1 || unsafe) ? "shard 0 would lose its majority" : "";
  }
  // The steps until it is done, or 0 when it never is.
  int run(int max = 100) {
    for (int n = 1; n <= max; ++n) {
      last = plan();
      bool complete = true;  // the last pods may still be on their way
      for (const auto& broker : input.brokers) complete &= broker.exists && broker.ready;
      if (last.state == State::kDone && complete) return n;
      start_pods();
    }
    return 0;
  }

  RollInput input;
  RollStep last;
  std::string bad;
  bool unsafe = false;
  std::vector<int32_t> order;

 private:
  std::string template_;
};

TEST(Roll, NothingToDo) {
  Rolling r(3, 3);
  EXPECT_EQ(r.plan().state, State::kDone);
  EXPECT_TRUE(r.order.empty());
}

TEST(Roll, OneFirstThenZoneByZone) {
  Rolling r(9, 3);
  r.edit("b");
  ASSERT_GT(r.run(), 0);
  EXPECT_EQ(r.order, (std::vector<int32_t>{0, 3, 6, 1, 4, 7, 2, 5, 8}));
  for (const auto& broker : r.input.brokers) EXPECT_EQ(broker.hash, "b");
}

TEST(Roll, SeveralOfAZoneAtOnce) {
  Rolling r(9, 3);
  r.edit("b");
  std::vector<size_t> sizes;
  for (int i = 0; i < 30; ++i) {
    auto step = r.plan();
    if (!step.restart.empty()) sizes.push_back(step.restart.size());
    if (step.state == State::kDone) break;
    r.start_pods();
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{1, 2, 3, 3}));
}

TEST(Roll, WaitsRatherThanGivesUp) {
  Rolling r(3, 3);
  r.edit("b");
  r.unsafe = true;
  EXPECT_EQ(r.run(200), 0);
  EXPECT_EQ(r.last.state, State::kWaiting);
  EXPECT_NE(r.last.message.find("shard 0 would lose its majority"), std::string::npos);
  EXPECT_TRUE(r.order.empty());
  r.unsafe = false;
  EXPECT_GT(r.run(), 0);
}

TEST(Roll, ABadImageStopsAtTheFirstBrokerAndIsMended) {
  Rolling r(3, 3);
  r.edit("bad");
  r.bad = "bad";
  EXPECT_EQ(r.run(), 0);
  EXPECT_EQ(r.order, (std::vector<int32_t>{0}));
  EXPECT_EQ(r.last.state, State::kStuck);
  EXPECT_NE(r.last.message.find("ImagePullBackOff"), std::string::npos);
  // A pod that somebody deletes meanwhile comes back as it was.
  r.kill(0);
  r.start_pods();
  EXPECT_EQ(r.run(5), 0);
  r.edit("c");
  auto step = r.plan();
  step = step.restart.empty() ? r.plan() : step;
  EXPECT_EQ(step.restart, (std::vector<int32_t>{0}));  // the broken one, at once
  ASSERT_GT(r.run(), 0);
  for (const auto& broker : r.input.brokers) EXPECT_EQ(broker.hash, "c");
}

TEST(Roll, APodDeletedWhileStuckComesBackWithTheGoodSettings) {
  Rolling r(3, 3);
  r.edit("bad");
  r.bad = "bad";
  EXPECT_EQ(r.run(), 0);
  auto& other = r.input.brokers[2];
  other.exists = other.ready = other.alive = false;  // its node was drained
  EXPECT_FALSE(r.plan().wanted_template);
  for (int i = 0; i < 3; ++i) r.start_pods();
  EXPECT_EQ(r.input.brokers[2].hash, "a");
  EXPECT_TRUE(r.input.brokers[2].ready);
}

TEST(Roll, GoingBackReplacesTheBrokenPodOnly) {
  Rolling r(3, 3);
  r.edit("bad");
  r.bad = "bad";
  EXPECT_EQ(r.run(), 0);
  r.order.clear();
  r.edit("a");
  ASSERT_GT(r.run(), 0);
  EXPECT_EQ(r.order, (std::vector<int32_t>{0}));
}

TEST(Roll, ABrokerThatIsDownTriesFirst) {
  Rolling r(3, 3);
  r.input.brokers[1].ready = r.input.brokers[1].alive = false;
  r.edit("b");
  r.plan();
  EXPECT_EQ(r.plan().restart, (std::vector<int32_t>{1}));
}

TEST(Roll, OfAClusterThatNeverCameUpOneIsTriedFirst) {
  Rolling r(3, 3);
  r.edit("bad");
  r.input.good.clear();
  for (auto& broker : r.input.brokers) {
    broker.hash = "bad", broker.ready = broker.alive = false, broker.broken = "ImagePullBackOff";
  }
  r.edit("b");
  r.plan();
  EXPECT_EQ(r.plan().restart, (std::vector<int32_t>{0}));
}

// An operator that ends at any step is followed by one that knows nothing but the objects; the plan
// has no memory, so that playing it through is the same thing. What remains: the same plan twice.
TEST(Roll, ThePlanAskedTwiceRestartsNobodyTwice) {
  Rolling r(9, 3);
  r.edit("b");
  std::map<int32_t, int> restarts;
  for (int i = 0; i < 60; ++i) {
    r.plan();
    r.plan();
    if (r.plan().state == State::kDone) break;
    r.start_pods();
  }
  for (int32_t id : r.order) ++restarts[id];
  for (int32_t id = 0; id < 9; ++id) EXPECT_EQ(restarts[id], 1) << id;
}

}  // namespace
}  // namespace sluice_operator::plan
