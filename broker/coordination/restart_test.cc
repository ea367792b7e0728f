// The coordinator is crashed, or its write answered badly, at the n-th metadata write for every n
// in turn; a new one over the same store must bring the same story to its end.
#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

void ask_split(World& w, const std::string& stream, int32_t index) {
  if (!w.coordinator || !w.coordinator->loaded()) return;
  sluice::v1::AdminRequest request;
  request.mutable_split_shard()->set_stream(stream);
  request.mutable_split_shard()->set_index(index);
  w.coordinator->admin(request, [](const auto&) {});
}

void ask_retile(World& w, const std::string& stream, const std::vector<int32_t>& indexes, int parts) {
  if (!w.coordinator || !w.coordinator->loaded()) return;
  sluice::v1::AdminRequest request;
  auto* retile = request.mutable_retile_shards();
  retile->set_stream(stream);
  retile->mutable_indexes()->Assign(indexes.begin(), indexes.end());
  const auto into = *split_equally({}, parts);
  for (size_t i = 1; i < into.size(); ++i) retile->add_at(format_hash_key(into[i].first));
  w.coordinator->admin(request, [](const auto&) {});
}

void ask_create(World& w, const std::string& name, int partitions, bool elastic) {
  if (!w.coordinator || !w.coordinator->loaded() || w.map(name)) return;
  sluice::v1::AdminRequest request;
  auto* create = request.mutable_create_stream();
  create->set_name(name);
  create->mutable_config()->set_mode(elastic ? sluice::v1::STREAM_MODE_ELASTIC
                                             : sluice::v1::STREAM_MODE_PARTITIONED);
  create->mutable_config()->set_partitions(partitions);
  create->mutable_config()->set_replication(3);
  w.coordinator->admin(request, [](const auto&) {});
}

// Asks again until it is so: what a client would do.
template <class Ask, class Done>
void insist(World& w, Ask ask, Done done) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    if (w.run_until(done, 100)) return;
    ask();
    if (w.run_until(done, 12'000)) return;
  }
  ADD_FAILURE() << "never happened";
}

// Create, fail over, lose a directory, split, retile, drain.
void story(World& w) {
  w.run(100);
  w.producing = true;
  insist(
      w, [&] { ask_create(w, "e", 1, true); }, [&] { return w.map("e") && w.settled(); });
  w.kill(w.shard("e", 0).leader());
  ASSERT_TRUE(w.run_until([&] { return w.settled(); })) << "fail over";
  for (auto& [id, broker] : w.brokers) {
    if (!broker.up) w.wipe(id), w.revive(id);
  }
  ASSERT_TRUE(w.run_until(
      [&] {
        for (const auto& r : w.shard("e", 0).replicas()) {
          if (w.brokers[r.broker()].directory != r.directory()) return false;
        }
        return w.settled();
      },
      60'000))
      << "lost directory";
  insist(
      w, [&] { ask_split(w, "e", 0); },
      [&] { return w.map("e")->shards_size() == 3 && w.settled(); });
  insist(
      w, [&] { ask_retile(w, "e", {1, 2}, 3); },
      [&] { return w.map("e")->shards_size() == 6 && w.settled(); });
  ASSERT_TRUE(w.run_until(
      [&] {
        w.coordinator->set_draining(3, true);  // as the operator says again and again
        return w.settled() && w.replicas_on(3) == 0;
      },
      120'000))
      << "drain";
  w.coordinator->set_draining(3, false);
  w.run(300);
  ASSERT_TRUE(w.run_until([&] { return w.settled(); })) << "end";
}

int writes_of_the_story() {
  World w(4, 1);
  story(w);
  return w.store.writes();
}

TEST(Restart, TheStoryHasWritesToCrashAt) {
  EXPECT_GT(writes_of_the_story(), 10);
}

TEST(Restart, CrashAfterEveryWrite) {
  const int last = writes_of_the_story();
  for (int n = 1; n <= last; ++n) {
    SCOPED_TRACE("crash after write " + std::to_string(n));
    World w(4, 1);
    w.store.after_write = [&](int number) { w.crash_wanted |= number == n; };
    story(w);
    if (HasFatalFailure()) return;
  }
}

TEST(Restart, CrashBeforeEveryWrite) {
  const int last = writes_of_the_story();
  for (int n = 1; n <= last; ++n) {
    SCOPED_TRACE("crash before write " + std::to_string(n));
    World w(4, 1);
    w.store.fault = [&](int number) {
      w.crash_wanted |= number == n;
      return number == n ? WriteFault::kTimeoutLost : WriteFault::kNone;
    };
    story(w);
    if (HasFatalFailure()) return;
  }
}

TEST(Restart, EveryWriteAnsweredBadly) {
  const int last = writes_of_the_story();
  for (WriteFault fault : {WriteFault::kConflict, WriteFault::kTimeoutDone,
                           WriteFault::kTimeoutLost, WriteFault::kUnavailable}) {
    for (int n = 1; n <= last; ++n) {
      SCOPED_TRACE("fault " + std::to_string(static_cast<int>(fault)) + " at write " +
                   std::to_string(n));
      World w(4, 1);
      w.store.fault = [&](int number) { return number == n ? fault : WriteFault::kNone; };
      story(w);
      if (HasFatalFailure()) return;
    }
  }
}

// Every third write conflicts or times out, for the whole story.
TEST(Restart, AWeakStoreAllTheWay) {
  World w(4, 1);
  w.store.fault = [](int number) {
    return number % 3 ? WriteFault::kNone : static_cast<WriteFault>(1 + number / 3 % 4);
  };
  story(w);
}

// broker_sim --seed 20652: nobody led that stream, and its name could not be used.
TEST(Restart, FindsAStreamWhoseCreationWasCarriedOutLate) {
  World before(3), w(3);
  before.run(100);
  before.create("s", 3);
  ASSERT_TRUE(before.map("s"));
  w.run(100);
  auto late = *before.map("s");
  for (auto& shard : *late.mutable_shards()) {
    shard.set_term(-1);
    shard.clear_leader();
    for (auto& replica : *shard.mutable_replicas()) {
      replica.set_directory(w.brokers[replica.broker()].directory);
    }
  }
  late.set_generation(1);
  w.store.maps[late.stream_id()] = {late, "v0"};
  auto answer = w.create("s", 3);
  EXPECT_TRUE(answer.code() == "OK" || answer.code() == "ALREADY_EXISTS") << answer.code();
  EXPECT_EQ(w.store.maps.size(), 1u);
  EXPECT_EQ(w.map("s")->stream_id(), late.stream_id());
  EXPECT_TRUE(w.run_until([&] { return w.all_led(); }));
}

}  // namespace
}  // namespace broker::coordination
