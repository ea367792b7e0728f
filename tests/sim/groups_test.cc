// Stories of consumer groups on a whole simulated cluster: coordinators that die under their groups.
// Each test is named after a bug, or after the promise that it shows.
#include <gtest/gtest.h>

#include <array>

#include "broker/base/log.h"
#include "broker/groups/groups.h"
#include "broker/model/internal_streams.h"
#include "tests/sim/cluster.h"

namespace broker::sim {
namespace {

using groups::CommitRequest;
using groups::CommitResult;
using groups::FetchOffsetsResult;
using groups::GroupError;

constexpr char kGroup[] = "g", kTopic[] = "t";
constexpr int64_t kClientRetryMs = 100;

// The coordinators of one broker's process, wired as handlers/kafka does.
class Coordinators {
 public:
  explicit Coordinators(BrokerProcess& broker, SimRandom& random, groups::Options options)
      : broker_(broker), incarnation_(broker.incarnation()) {
    groups::Parts parts{broker.clock(),
                        broker.executor(),
                        random,
                        metrics_,
                        broker.metadata(),
                        [&broker](const ShardId& id) { return broker.partitions().find(id); },
                        [](cluster::v1::AdminRequest, int64_t, auto) {}};
    groups_.emplace(std::move(parts), options);
  }
  // The process that they are part of still runs.
  bool alive() const { return broker_.running() && broker_.incarnation() == incarnation_; }
  groups::Groups& operator*() { return *groups_; }
  groups::Groups* operator->() { return &*groups_; }

 private:
  BrokerProcess& broker_;
  const uint64_t incarnation_;
  Metrics metrics_;
  std::optional<groups::Groups> groups_;
};

class GroupScenario : public testing::Test {
 protected:
  void SetUp() override {
    configure_log("off", "text");
    cluster_ = std::make_unique<Cluster>(42, 3);
    Status status = cluster_->create_stream_now(std::string(kConsumerOffsetsStream),
                                                cluster::v1::STREAM_MODE_PARTITIONED, 1, 3);
    ASSERT_TRUE(status.ok()) << status.to_string();
    rest();
    for (int id = 0; id < 3; id++) start_groups(id);
  }
  void TearDown() override {
    EXPECT_EQ(cluster_->oracle.violation(), "");
    for (auto& coordinators : coordinators_) coordinators.reset();
    cluster_.reset();
  }
  Cluster& cluster() { return *cluster_; }
  ShardId shard() { return cluster().shard_id(std::string(kConsumerOffsetsStream), 0); }
  int coordinator() { return cluster().leader(shard())->leader()->value; }

  void rest() {
    std::string why;
    ASSERT_TRUE(cluster().run_until([&] { return cluster().at_rest(&why); }, 60'000)) << why;
  }
  void start_groups(int id) {
    auto& slot = coordinators_.at(static_cast<size_t>(id));
    slot.reset();
    slot = std::make_unique<Coordinators>(cluster().broker(id), cluster().world.random(), options_);
  }
  // kill -9, and the process is back after a while.
  void kill(int id, int64_t back_after_ms) {
    coordinators_.at(static_cast<size_t>(id)).reset();
    cluster().kill(id, false, back_after_ms);
  }
  // A client's request: asked of every broker that runs until one answers as the coordinator.
  template <class T>
  std::optional<T> ask(const std::function<void(groups::Groups&, groups::Reply<T>)>& request,
                       int64_t ms = 20'000) {
    std::optional<T> answered;
    const int64_t until_us = cluster().world.now_us() + ms * 1000;
    while (!answered && cluster().world.now_us() < until_us && !cluster().oracle.broken()) {
      for (int id = 0; id < 3 && !answered; id++) {
        auto& slot = coordinators_.at(static_cast<size_t>(id));
        if (!cluster().broker(id).running()) continue;
        if (!slot || !slot->alive()) start_groups(id);
        auto got = std::make_shared<std::optional<T>>();
        request(**slot, [got](T result) { *got = std::move(result); });
        // What waits for a majority is waited for as long as a client would.
        cluster().run_until([&] { return got->has_value() || !slot || !slot->alive(); }, 5'000);
        if (!*got || retriable((*got)->error)) continue;
        answered = std::move(**got);
      }
      if (!answered) cluster().run_for_ms(kClientRetryMs);
    }
    return answered;
  }
  static bool retriable(GroupError error) {
    return error == GroupError::kNotCoordinator || error == GroupError::kCoordinatorNotAvailable ||
           error == GroupError::kCoordinatorLoadInProgress;
  }
  GroupError commit(int64_t offset) {
    auto result = ask<CommitResult>([&](groups::Groups& groups, const auto& reply) {
      CommitRequest request;
      request.group = kGroup;
      groups::CommitItem& item = request.items.emplace_back();
      item.topic = kTopic;
      item.offset = offset;
      groups.run(kGroup, reply,
                 [&](groups::Machine& machine, groups::Now now, const auto& to, auto& fx) {
                   machine.commit(std::move(request), now, to, fx);
                 });
    });
    if (!result) return GroupError::kCoordinatorNotAvailable;
    return result->error == GroupError::kNone ? result->items.at(0) : result->error;
  }
  // -1: none; -2: nobody answers.
  int64_t committed() {
    auto result = ask<FetchOffsetsResult>([&](groups::Groups& groups, const auto& reply) {
      groups::FetchOffsetsRequest request;
      request.group = kGroup;
      groups.run(kGroup, reply,
                 [&](groups::Machine& machine, groups::Now, const auto& to, auto& fx) {
                   machine.fetch(request, to, fx);
                 });
    });
    if (!result) return -2;
    return result->offsets.empty() ? -1 : result->offsets.at(0).committed->offset;
  }
  void delete_records(Offset before) {
    bool deleted = false;
    cluster().oracle.deletion_asked(shard(), before);
    cluster().leader(shard())->delete_records(before,
                                              [&](const Result<Offset>& r) { deleted = r.ok(); });
    ASSERT_TRUE(cluster().run_until([&] { return deleted; }, 5'000));
  }

  groups::Options options_;
  std::unique_ptr<Cluster> cluster_;
  std::array<std::unique_ptr<Coordinators>, 3> coordinators_;
};

TEST_F(GroupScenario, CommitsGoOnAndAreKeptWhileCoordinatorsDie) {
  int64_t offset = 0;
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < 5; i++) ASSERT_EQ(commit(++offset), GroupError::kNone) << offset;
    kill(coordinator(), 3'000);
    for (int i = 0; i < 5; i++) ASSERT_EQ(commit(++offset), GroupError::kNone) << offset;
    ASSERT_EQ(committed(), offset);
    rest();
  }
}

// A leader that came back to its old log start while it was cut off asked its log for what the
// others had deleted, for ever: COORDINATOR_LOAD_IN_PROGRESS until somebody restarted it.
TEST_F(GroupScenario, ACoordinatorLoadsThoughTheLogStartMovesMeanwhile) {
  for (int64_t offset = 1; offset <= 10; offset++) ASSERT_EQ(commit(offset), GroupError::kNone);
  rest();
  const int old = coordinator();
  // Among equals the first one is elected.
  const int late = old == 0 ? 1 : 0;
  cluster().network.block(old, late, true);
  kill(late, 50);
  ASSERT_TRUE(cluster().run_until([&] { return cluster().broker(late).running(); }, 1'000));
  auto replica = [&] { return cluster().broker(late).partitions().find(shard()); };
  ASSERT_TRUE(cluster().run_until([&] { return replica() != nullptr; }, 5'000));
  // The last commit stays: all that is live.
  delete_records(cluster().leader(shard())->log_end() - 1);
  ASSERT_EQ(replica()->log_start(), Offset{0});
  start_groups(late);
  kill(old, 60'000);
  ASSERT_TRUE(cluster().run_until([&] { return cluster().leader(shard()) != nullptr; }, 20'000));
  ASSERT_EQ(coordinator(), late);
  EXPECT_EQ(committed(), 10);
}

}  // namespace
}  // namespace broker::sim
