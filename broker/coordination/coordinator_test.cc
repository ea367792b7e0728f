// Stories of one cluster: brokers come, die, restart, lose disks, stop, drain; streams are made,
// split, merged and deleted. World (tests/support) checks safety after every step.
#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

int32_t other_than(int32_t a, int32_t b = -1) {
  for (int32_t id = 0;; ++id) {
    if (id != a && id != b) return id;
  }
}

TEST(Coordinator, CreatesAStreamAndSpreadsItsLeaders) {
  World w(3);
  w.run(100);
  auto answer = w.create("s", 12);
  EXPECT_EQ(answer.code(), "OK") << answer.message();
  EXPECT_EQ(answer.stream_id(), w.map("s")->stream_id());
  EXPECT_TRUE(w.all_led());
  for (int id = 0; id < 3; ++id) EXPECT_EQ(w.leaders_on(id), 4);
  // One write makes the stream, one records twelve leaders; each broker was asked once.
  EXPECT_EQ(w.store.writes(), 2);
  for (int id = 0; id < 3; ++id) EXPECT_EQ(w.brokers[id].new_terms_messages, 1);
}

TEST(Coordinator, RefusesWhatCannotBe) {
  World w(3);
  w.run(100);
  EXPECT_EQ(w.create("s", 1, 4).code(), "TOO_FEW_BROKERS");
  EXPECT_EQ(w.create("a b", 1).code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.create("s", 1).code(), "OK");
  EXPECT_EQ(w.create("s", 1).code(), "ALREADY_EXISTS");
  EXPECT_EQ(w.split("s", 0).code(), "POLICY_VIOLATION");
  EXPECT_EQ(w.split("x", 0).code(), "NOT_FOUND");
  EXPECT_EQ(w.ask(sluice::v1::AdminRequest()).code(), "UNSUPPORTED");
  sluice::v1::AdminRequest request;
  request.mutable_create_stream()->set_name("v");
  request.mutable_create_stream()->set_validate_only(true);
  EXPECT_EQ(w.ask(request).code(), "OK");
  w.run(500);
  EXPECT_EQ(w.map("v"), nullptr);
}

sluice::v1::AdminRequest quota_of(const std::string& user, const std::string& key, double value) {
  sluice::v1::AdminRequest request;
  auto* change = request.mutable_alter_client_quotas();
  auto* part = change->add_entity();
  part->set_type("user");
  part->set_name(user);
  change->add_ops()->set_key(key);
  change->mutable_ops(0)->set_value(value);
  return request;
}

TEST(Coordinator, KeepsClientQuotasAndTellsAllBrokers) {
  World w(3);
  w.run(100);
  EXPECT_EQ(w.ask(quota_of("bob", "producer_byte_rate", 1000)).code(), "OK");
  EXPECT_EQ(w.ask(quota_of("bob", "no_such_rate", 1000)).code(), "INVALID_ARGUMENT");
  auto only_checked = quota_of("carol", "producer_byte_rate", 1000);
  only_checked.mutable_alter_client_quotas()->set_validate_only(true);
  EXPECT_EQ(w.ask(only_checked).code(), "OK");
  w.run(100);
  for (const auto& [id, broker] : w.brokers) {
    ASSERT_TRUE(broker.client_quotas);
    ASSERT_EQ(broker.client_quotas->quotas_size(), 1);
    EXPECT_EQ(broker.client_quotas->quotas(0).values().at("producer_byte_rate"), 1000);
  }
  w.crash_coordinator();
  for (auto& [id, broker] : w.brokers) broker.client_quotas.reset();
  w.start_coordinator();
  w.run(2000);
  for (const auto& [id, broker] : w.brokers) {
    ASSERT_TRUE(broker.client_quotas);
    EXPECT_EQ(broker.client_quotas->quotas_size(), 1);
  }
}

TEST(Coordinator, AUsersResourceDeclaresItsQuotas) {
  World w(1);
  w.run(100);
  EXPECT_EQ(w.ask(quota_of("alice", "producer_byte_rate", 9)).code(), "OK");
  sluice::v1::Security security;
  auto* alice = security.add_users();
  alice->set_name("alice");
  (*alice->mutable_quotas())["consumer_byte_rate"] = 500;
  w.coordinator->set_security(security);
  w.run(100);
  const auto& told = w.brokers.at(0).client_quotas;
  ASSERT_TRUE(told);
  ASSERT_EQ(told->quotas_size(), 1);
  EXPECT_EQ(told->quotas(0).values().size(), 1u);
  EXPECT_EQ(told->quotas(0).values().at("consumer_byte_rate"), 500);
  auto refused = w.ask(quota_of("alice", "producer_byte_rate", 10));
  EXPECT_EQ(refused.code(), "POLICY_VIOLATION");
  EXPECT_NE(refused.message().find("StreamUser"), std::string::npos) << refused.message();
  w.coordinator->set_security({});
  w.run(100);
  EXPECT_EQ(told->quotas(0).values().at("producer_byte_rate"), 9) << "what was stored holds again";
}

// What the operator knows of a load balancer reaches every broker, which tells its clients.
TEST(Coordinator, TellsBrokersWhereClientsReachEachOther) {
  World w(3);
  w.run(100);
  auto told = [&](int32_t by, int32_t of) {
    return w.brokers[by].brokers.at(of).listeners(0).endpoint();
  };
  EXPECT_EQ(told(1, 0).host(), "b0.inside");
  sluice::v1::Endpoint outside;
  outside.set_host("lb-0.example.com");
  outside.set_port(443);
  std::vector<ExpectedBroker> expected = {{0, "", {{"external", outside}, {"unknown", outside}}},
                                          {1, ""}, {2, ""}};
  w.coordinator->set_expected_brokers(expected);
  w.run(100);
  EXPECT_EQ(told(1, 0).host(), "lb-0.example.com");
  EXPECT_EQ(told(1, 0).port(), 443);
  EXPECT_EQ(told(0, 0).host(), "lb-0.example.com");
  EXPECT_EQ(told(2, 1).host(), "b1.inside");
  EXPECT_EQ(w.brokers[1].brokers.at(0).listeners_size(), 1) << "a listener that it does not have";
  expected[0].listeners["external"].set_host("moved.example.com");
  w.coordinator->set_expected_brokers(expected);
  w.run(100);
  EXPECT_EQ(told(2, 0).host(), "moved.example.com");
}

TEST(Coordinator, KnowsTheCertificatesOfABrokersProcess) {
  World w(2);
  w.brokers[0].certificates.emplace().set_ca("one");
  w.run(500);
  auto ca = [&](size_t broker) { return w.coordinator->brokers()[broker].certificates.ca(); };
  EXPECT_EQ(ca(0), "one");
  EXPECT_EQ(ca(1), "");
  w.kill(0);
  w.brokers[0].certificates.reset();
  w.revive(0);
  w.run(1000);
  EXPECT_EQ(ca(0), "") << "what another process had loaded";
}

TEST(Coordinator, KeepsAttributesOfStreams) {
  World w(3);
  w.run(100);
  sluice::v1::AdminRequest request;
  auto* create = request.mutable_create_stream();
  create->set_name("s");
  create->mutable_config()->set_mode(sluice::v1::STREAM_MODE_ELASTIC);
  (*create->mutable_attributes())["limits"] = "aws";
  EXPECT_EQ(w.ask(request).code(), "OK");
  EXPECT_EQ(w.map("s")->attributes().at("limits"), "aws");
  sluice::v1::AdminRequest change;
  change.mutable_set_attributes()->set_stream("s");
  (*change.mutable_set_attributes()->mutable_set())["limits"] = "none";
  (*change.mutable_set_attributes()->mutable_expected())["limits"] = "aws";
  EXPECT_EQ(w.ask(change).code(), "OK");
  EXPECT_EQ(w.ask(change).code(), "CONFLICT");
  change.mutable_set_attributes()->set_stream("x");
  EXPECT_EQ(w.ask(change).code(), "NOT_FOUND");
  w.crash_coordinator();
  w.start_coordinator();
  EXPECT_EQ(w.map("s")->attributes().at("limits"), "none");
  for (const auto& [id, broker] : w.brokers) {
    EXPECT_EQ(broker.maps.at(w.map("s")->stream_id()).attributes().at("limits"), "none");
  }
}

// The stream's resource comes back from Kubernetes without what only the creator said.
TEST(Coordinator, ADeclarationThatComesBackKeepsTheAttributes) {
  World w(3);
  w.store.declares = true;
  w.run(100);
  w.kill(1);
  w.kill(2);
  w.run(3000);
  sluice::v1::AdminRequest request;
  auto* create = request.mutable_create_stream();
  create->set_name("s");
  create->mutable_config()->set_replication(3);
  (*create->mutable_attributes())["a"] = "1";
  w.coordinator->admin(request, [](const auto&) {});
  w.run(100);
  w.coordinator->stream_declared({"s", request.create_stream().config()});
  w.revive(1);
  w.revive(2);
  ASSERT_TRUE(w.run_until([&] { return w.map("s") && w.all_led(); }));
  EXPECT_EQ(w.map("s")->attributes().at("a"), "1");
}

// A test of the real cluster created a stream in the second after the operator's death, when one
// broker had not dialled the new one yet, and was told that two brokers are not three.
TEST(Coordinator, CreatesAStreamWhileABrokerIsAway) {
  World w(3);
  w.run(100);
  EXPECT_EQ(w.create("before", 3).code(), "OK");
  w.kill(2);
  w.run(3000);
  EXPECT_EQ(w.create("s", 6, 3).code(), "OK");
  for (const auto& shard : w.map("s")->shards()) {
    EXPECT_EQ(shard.replicas_size(), 3);
    EXPECT_NE(shard.leader(), 2);
  }
  w.kill(1);
  w.run(3000);
  // A majority is missing: it waits, and is there when the brokers are.
  EXPECT_EQ(w.create("later", 1, 3).code(), "TIMEOUT");
  EXPECT_EQ(w.map("later"), nullptr);
  w.revive(1);
  w.revive(2);
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_EQ(w.create("later", 1, 3).code(), "OK");
  EXPECT_EQ(w.create("too-much", 1, 4).code(), "TOO_FEW_BROKERS");
}

TEST(Coordinator, ReplacesADeadLeaderWithOneWriteEachForTermsAndLeaders) {
  World w(3);
  w.run(100);
  w.create("s", 30);
  w.producing = true;
  w.run(1000);
  const int writes = w.store.writes();
  for (auto& [id, broker] : w.brokers) broker.new_terms_messages = 0;
  w.kill(0);
  const int64_t killed = w.clock.time_ms;
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_LT(w.clock.time_ms - killed, 1000);
  EXPECT_EQ(w.store.writes() - writes, 2);
  EXPECT_EQ(w.brokers[1].new_terms_messages, 1);
  EXPECT_EQ(w.brokers[2].new_terms_messages, 1);
  EXPECT_EQ(w.leaders_on(1), 15);
}

// Questions about many maps still travel in one message per broker.
TEST(Coordinator, BatchesOverStreams) {
  World w(3);
  w.run(100);
  for (int i = 0; i < 8; ++i) w.create("s" + std::to_string(i), 3);
  for (auto& [id, broker] : w.brokers) broker.new_terms_messages = 0;
  w.kill(0);
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_EQ(w.brokers[1].new_terms_messages, 1);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(w.store.writes_of("s" + std::to_string(i)), 4);
}

// Records of one stream come and go together: even counts over all streams are not enough.
TEST(Coordinator, LeadersOfEachStreamAreSpreadAfterRestarts) {
  World w(3);
  w.run(100);
  for (int i = 0; i < 7; ++i) w.create("s" + std::to_string(i), 3 + i % 4);
  for (int id : {0, 1, 2, 1}) {
    w.kill(id);
    w.run(3000);
    w.revive(id);
    w.run(500);
  }
  auto uneven = [&] {
    std::map<int, int> all;
    int worst = 0;
    for (const auto& [id, stored] : w.store.maps) {
      std::map<int, int> own;
      for (int broker = 0; broker < 3; ++broker) own[broker] += 0, all[broker] += 0;
      for (const auto& s : stored.map.shards()) ++own[s.leader()], ++all[s.leader()];
      for (int broker = 0; broker < 3; ++broker) {
        worst = std::max({worst, own[broker] - own[0], own[0] - own[broker], own[broker] - own[1],
                          own[1] - own[broker]});
      }
    }
    for (int a : {0, 1}) worst = std::max({worst, all[a] - all[a + 1], all[a + 1] - all[a]});
    return worst;
  };
  ASSERT_TRUE(w.run_until([&] { return w.all_led() && uneven() <= 1; }, 60'000)) << uneven();
  w.run(5000);
  const int writes = w.store.writes();
  w.run(20'000);
  EXPECT_EQ(w.store.writes(), writes) << "it goes on although nothing is left to even out";
}

TEST(Coordinator, AStoppingBrokerHandsOverAFewShardsAtATime) {
  World w(3);
  w.options.leave_moves_max = 4;
  w.crash_coordinator();
  w.start_coordinator();
  w.run(100);
  w.create("s", 36);
  ASSERT_EQ(w.leaders_on(0), 12);
  w.brokers[0].stopping = true;
  size_t most = 0;
  ASSERT_TRUE(w.run_until([&] {
    size_t held = 0;
    for (const auto& [key, replica] : w.brokers[0].replicas) held += replica.holds;
    most = std::max(most, held);
    return w.brokers[0].stop_allowed;
  }));
  EXPECT_EQ(w.leaders_on(0), 0);
  EXPECT_GE(most, 1u);
  EXPECT_LE(most, 4u);
}

// Rule 3: the leader lost its session but not its followers.
TEST(Coordinator, LeavesALeaderAloneThatItsFollowersHear) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  const int writes = w.store.writes();
  w.brokers[0].connected = false;
  w.run(10'000);
  EXPECT_EQ(w.store.writes(), writes);
  w.brokers[0].connected = true;
  w.run(2000);
  EXPECT_EQ(w.store.writes(), writes);
  // Cut off from the others too, it is replaced; the term fences it when it is back.
  w.brokers[0].connected = false;
  w.cut = {{0, 1}, {0, 2}};
  ASSERT_TRUE(w.run_until([&] { return w.leaders_on(0) == 0; }));
  w.producing = true;
  w.run(1000);
  w.cut.clear();
  w.brokers[0].connected = true;
  w.run(1000);
  EXPECT_TRUE(w.all_led());
}

// broker_sim --seed 20652: two brokers' disks were full when the stream was made.
TEST(Coordinator, AsksAgainWhoCouldNotVote) {
  World w(3);
  w.run(100);
  for (int id : {1, 2}) w.brokers[id].vote_error = "NO_SPACE: the disk is full";
  sluice::v1::AdminRequest request;
  request.mutable_create_stream()->set_name("s");
  request.mutable_create_stream()->mutable_config()->set_partitions(3);
  request.mutable_create_stream()->mutable_config()->set_replication(3);
  request.mutable_create_stream()->mutable_config()->set_mode(sluice::v1::STREAM_MODE_PARTITIONED);
  w.coordinator->admin(request, [](const auto&) {});
  w.run(3000);
  ASSERT_TRUE(w.map("s"));
  EXPECT_FALSE(w.all_led());
  for (int id : {1, 2}) w.brokers[id].vote_error.clear();
  EXPECT_TRUE(w.run_until([&] { return w.all_led(); }, 5000));
}

TEST(Coordinator, DoesNothingWithoutAMajority) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  w.kill(0);
  w.kill(1);
  w.run(500);
  const int writes = w.store.writes();
  w.run(20'000);
  EXPECT_EQ(w.store.writes(), writes);  // no new terms in vain
  w.revive(0);
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
}

// Rule 4: a restarted process leads nothing until a new term; a sole member goes on by itself.
TEST(Coordinator, GivesARestartedLeaderANewTerm) {
  World w(3);
  w.run(100);
  w.create("three", 3);
  w.create("one", 3, 1);
  w.producing = true;
  w.run(500);
  const auto before = *w.map("three");
  const int writes = w.store.writes_of("one");
  w.kill(0);
  w.revive(0);
  ASSERT_TRUE(w.run_until([&] { return w.all_led() && w.store.idle(); }));
  w.run(1000);
  for (const auto& shard : before.shards()) {
    EXPECT_EQ(w.shard("three", shard.index()).term(), shard.term() + (shard.leader() == 0 ? 1 : 0));
  }
  EXPECT_EQ(w.store.writes_of("one"), writes);
  EXPECT_TRUE(w.all_led());
}

// The restart happened while no coordinator was there to see it.
TEST(Coordinator, FindsALeaderThatRestartedUnseen) {
  World w(3);
  w.run(100);
  w.create("s", 1);
  const int32_t leader = w.shard("s", 0).leader();
  w.crash_coordinator();
  w.kill(leader);
  w.revive(leader);
  w.start_coordinator();
  w.run(1000);
  EXPECT_FALSE(w.all_led());
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }, 6000));
}

TEST(Coordinator, ARestartedCoordinatorChangesNothing) {
  World w(3);
  w.run(100);
  w.create("s", 9);
  w.create("one", 3, 1);
  w.producing = true;
  w.run(500);
  const int writes = w.store.writes();
  for (int i = 0; i < 3; ++i) {
    w.crash_coordinator();
    w.start_coordinator();
    w.run(7000);
  }
  EXPECT_EQ(w.store.writes(), writes);
}

// Rule 3: right after the start absence means nothing yet.
TEST(Coordinator, WaitsForBrokersAfterItsStart) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  w.crash_coordinator();
  w.kill(0);
  const int64_t started = w.clock.time_ms;
  w.start_coordinator();
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_GE(w.clock.time_ms - started, w.options.grace_ms);
}

// A coordinator that stood still must not take everybody for silent.
TEST(Coordinator, ForgivesItsOwnPauses) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  const int writes = w.store.writes();
  w.clock.time_ms += 30'000;
  w.cut = {{0, 1}, {0, 2}, {1, 2}};  // nobody hears anybody: only silence is missing
  w.run(60);
  EXPECT_EQ(w.store.writes(), writes);
}

// A leader whose session lives but whose followers do not hear it is replaced, by one that is heard,
// though its own log is the longest.
TEST(Coordinator, ReplacesALeaderThatIsCutOffFromItsFollowers) {
  World w(3);
  w.run(100);
  w.create("s", 6);
  w.producing = true;
  w.run(500);
  w.cut = {{0, 1}, {0, 2}};
  ASSERT_TRUE(w.run_until([&] {
    for (const auto& shard : w.map("s")->shards()) {
      if (!shard.has_leader() || shard.leader() == 0) return false;
    }
    return true;
  }));
  const int writes = w.store.writes();
  w.run(10'000);
  EXPECT_EQ(w.store.writes(), writes) << "and it stays so";
  w.cut.clear();
  ASSERT_TRUE(w.run_until([&] { return w.settled(); }));
}

// Rule 6: an emptied directory is no member; it comes back as a learner, and never votes.
TEST(Coordinator, ReplacesALostDirectory) {
  World w(3);
  w.run(100);
  w.create("s", 4);
  w.producing = true;
  w.run(500);
  w.kill(1);
  w.run(1000);
  w.wipe(1);
  w.revive(1);
  ASSERT_TRUE(w.run_until([&] {
    for (const auto& shard : w.map("s")->shards()) {
      const Replica* r = find_replica(shard.replicas(), 1);
      if (!r || r->directory() != w.brokers[1].directory) return false;
    }
    return w.settled();
  }));
  for (const auto& shard : w.map("s")->shards()) EXPECT_EQ(shard.replicas_size(), 3);
}

TEST(Coordinator, ALostMajorityIsNotElectedAway) {
  World w(3);
  w.run(100);
  w.create("s", 2);
  w.create("one", 3, 1);
  w.producing = true;
  w.run(500);
  for (int id : {0, 1}) w.kill(id), w.wipe(id), w.revive(id);
  w.run(20'000);
  const int writes = w.store.writes();
  w.run(20'000);
  EXPECT_EQ(w.store.writes(), writes);
  for (const auto& shard : w.map("one")->shards()) {
    EXPECT_EQ(shard.has_leader(), shard.replicas(0).broker() == 2);
  }
  EXPECT_NE(w.coordinator->stream_problem("s").find("lost a majority"), std::string::npos);
  EXPECT_EQ(w.coordinator->planned_moves(), 0);
  // One full directory of three is no majority: nobody who lacks the data may lead.
  for (const auto& shard : w.map("s")->shards()) {
    for (int id : {0, 1}) {
      EXPECT_NE(find_replica(shard.replicas(), id)->directory(), w.brokers[id].directory);
      const ShardKey key{w.map("s")->stream_id(), shard.index()};
      EXPECT_FALSE(w.brokers[id].replicas[key].leads);
    }
  }
}

TEST(Coordinator, RefusesASecondBrokerOfTheSameId) {
  World w(3);
  w.run(100);
  WorldBroker twin = w.brokers[0];
  w.coordinator->on_connect(77);
  sluice::v1::BrokerMessage hello;
  hello.mutable_register_()->set_cluster("c");
  hello.mutable_register_()->set_process("other");
  hello.mutable_register_()->mutable_broker()->set_id(0);
  hello.mutable_register_()->mutable_broker()->set_directory(w.new_directory());
  w.coordinator->on_message(77, hello);
  EXPECT_EQ(w.coordinator->sessions(), 3);
  EXPECT_EQ(w.brokers[0].session, twin.session);
  hello.mutable_register_()->set_cluster("elsewhere");
  w.coordinator->on_connect(78);
  w.coordinator->on_message(78, hello);
  EXPECT_EQ(w.coordinator->sessions(), 3);
}

TEST(Coordinator, AStoppingBrokerHandsItsLeadershipOver) {
  World w(3);
  w.run(100);
  w.create("s", 9);
  w.create("one", 3, 1);
  w.producing = true;
  w.run(500);
  w.brokers[2].stopping = true;
  ASSERT_TRUE(w.run_until([&] { return w.brokers[2].stop_allowed; }, 5000));
  for (const auto& shard : w.map("s")->shards()) EXPECT_NE(shard.leader(), 2);
  EXPECT_EQ(w.leaders_on(0) + w.leaders_on(1), 9 + 2);
  w.kill(2);
  w.run(500);
  w.revive(2);
  // It gets its share back, a few at a time, once all is calm.
  ASSERT_TRUE(w.run_until([&] { return w.leaders_on(2) >= 3; }, 60'000));
  EXPECT_TRUE(w.run_until([&] { return w.all_led(); }));
}

TEST(Coordinator, AStoppingBrokerNeedNotWaitForever) {
  World w(2);
  w.run(100);
  w.create("s", 2, 2);
  w.kill(0);
  w.run(500);
  w.brokers[1].stopping = true;
  EXPECT_TRUE(w.run_until([&] { return w.brokers[1].stop_allowed; }, 5000));
}

TEST(Coordinator, DrainsABrokerCompletely) {
  World w(4, 1);
  w.run(100);
  w.create("s", 8);
  w.create("one", 4, 1);
  w.producing = true;
  w.run(500);
  const int32_t id = 3;
  EXPECT_EQ(w.coordinator->forget_broker(id).code(), Code::kConflict);
  w.coordinator->set_draining(id, true);
  EXPECT_GT(w.coordinator->drain_progress(id).replicas_left, 0);
  ASSERT_TRUE(
      w.run_until([&] { return w.coordinator->drain_progress(id).replicas_left == 0; }, 60'000));
  EXPECT_EQ(w.coordinator->drain_progress(id).leaders_left, 0);
  EXPECT_EQ(w.replicas_on(id), 0);
  EXPECT_EQ(w.coordinator->forget_broker(id).code(), Code::kConflict);  // connected
  w.kill(id);
  EXPECT_TRUE(w.coordinator->forget_broker(id).ok());
  EXPECT_EQ(w.coordinator->brokers().size(), 3u);
  w.run(200);
  EXPECT_FALSE(w.brokers[0].brokers.count(id));
}

TEST(Coordinator, SaysWhyADrainIsStuck) {
  World w(3);
  w.run(100);
  w.create("s", 2);
  w.coordinator->set_draining(0, true);
  w.run(5000);
  EXPECT_EQ(w.leaders_on(0), 0);
  EXPECT_NE(w.coordinator->drain_progress(0).blocked.find("no other broker"), std::string::npos);
  w.coordinator->set_draining(0, false);
  w.run(1000);
  EXPECT_EQ(w.coordinator->drain_progress(0).blocked, "");
}

TEST(Coordinator, MovesReplicasOnToANewBroker) {
  World w(3, 1);
  w.run(100);
  w.create("s", 12);
  w.producing = true;
  w.add_broker(3, "z0");
  ASSERT_TRUE(w.run_until([&] { return w.settled() && w.replicas_on(3) == 9; }, 60'000));
  ASSERT_TRUE(w.run_until([&] { return w.leaders_on(3) == 3; }, 60'000));
  const int writes = w.store.writes();
  w.run(30'000);
  EXPECT_EQ(w.store.writes(), writes);  // and then it is done
}

TEST(Coordinator, GivesUpALearnerThatStaysAway) {
  World w(4, 1);
  w.run(100);
  w.create("s", 1, 3);
  int32_t empty = 0;
  while (w.replicas_on(empty) > 0) ++empty;
  // Only a leader that can reach the newcomer can fill it.
  for (int32_t id = 0; id < 4; ++id) {
    if (id != empty) w.cut.insert({std::min(id, empty), std::max(id, empty)});
  }
  w.coordinator->set_draining(w.shard("s", 0).replicas(2).broker(), true);
  ASSERT_TRUE(w.run_until([&] { return !w.shard("s", 0).learners().empty(); }));
  w.kill(empty);
  ASSERT_TRUE(w.run_until([&] { return w.shard("s", 0).learners().empty(); }, 90'000));
  EXPECT_FALSE(is_joint(w.shard("s", 0)));
}

TEST(Coordinator, SplitsAndMergesUnderLoad) {
  World w(3);
  w.run(100);
  w.create("e", 2, 3, true);
  w.producing = true;
  w.run(500);
  auto answer = w.split("e", 0, 3);
  EXPECT_EQ(answer.code(), "OK") << answer.message();
  ASSERT_EQ(answer.shards_size(), 3);
  EXPECT_EQ(answer.shards(0), 2);
  EXPECT_TRUE(w.all_led());
  EXPECT_GT(w.shard("e", 0).end_offset(), 0);
  answer = w.merge("e", 4, 1);
  EXPECT_EQ(answer.code(), "OK") << answer.message();
  ASSERT_EQ(answer.shards_size(), 1);
  EXPECT_EQ(w.shard("e", 5).parents_size(), 2);
  EXPECT_EQ(w.split("e", 0).code(), "CONFLICT");
  EXPECT_EQ(w.merge("e", 2, 5).code(), "INVALID_ARGUMENT");
}

TEST(Coordinator, RetilesUnderLoadAndAnswersWithAllNewShards) {
  World w(3);
  w.run(100);
  w.create("e", 3, 3, true);
  w.producing = true;
  w.run(500);
  auto answer = w.retile("e", {1, 0, 2}, *split_equally({}, 4));
  EXPECT_EQ(answer.code(), "OK") << answer.message();
  EXPECT_EQ(std::vector<int32_t>(answer.shards().begin(), answer.shards().end()),
            (std::vector<int32_t>{3, 4, 5, 6}));
  EXPECT_TRUE(w.all_led());
  for (int32_t old : {0, 1, 2}) EXPECT_GT(w.shard("e", old).end_offset(), 0);
  EXPECT_EQ(w.retile("e", {0, 1}, {KeyRange{}}).code(), "CONFLICT");
  EXPECT_EQ(w.retile("e", {3, 5}, {KeyRange{}}).code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.retile("x", {0}, {KeyRange{}}).code(), "NOT_FOUND");
}

TEST(Coordinator, ASplitOutlivesItsLeader) {
  World w(3);
  w.run(100);
  w.create("e", 1, 3, true);
  w.producing = true;
  w.run(300);
  sluice::v1::AdminRequest request;
  request.mutable_split_shard()->set_stream("e");
  w.coordinator->admin(request, [](const auto&) {});
  ASSERT_TRUE(w.run_until([&] { return w.shard("e", 0).state() != sluice::v1::SHARD_STATE_OPEN; }));
  w.kill(w.shard("e", 0).leader());
  ASSERT_TRUE(w.run_until([&] { return w.settled() && w.map("e")->shards_size() == 3; }));
}

TEST(Coordinator, ChangesStreams) {
  World w(3);
  w.run(100);
  w.create("s", 2, 2);
  sluice::v1::AdminRequest request;
  auto* update = request.mutable_update_stream();
  update->set_name("s");
  update->mutable_config()->set_partitions(5);
  update->mutable_config()->set_replication(3);
  update->mutable_config()->set_retention_ms(1000);
  for (const char* field : {"partitions", "replication", "retention_ms"}) update->add_fields(field);
  EXPECT_EQ(w.ask(request).code(), "OK");
  EXPECT_EQ(w.map("s")->config().retention_ms(), 1000);
  ASSERT_TRUE(w.run_until([&] {
    int complete = 0;
    for (const auto& s : w.map("s")->shards()) complete += s.replicas_size() == 3;
    return w.settled() && complete == 5;
  }));
  update->mutable_config()->set_partitions(1);
  EXPECT_EQ(w.ask(request).code(), "INVALID_ARGUMENT");
  update->clear_fields();
  update->add_fields("colour");
  EXPECT_EQ(w.ask(request).code(), "INVALID_ARGUMENT");
}

// Retention is changed to free space, which is when brokers are missing.
TEST(Coordinator, ChangesAStreamThatCouldNotBePlacedNow) {
  World w(3);
  w.run(100);
  ASSERT_EQ(w.create("s", 1, 3).code(), "OK");
  w.kill(1);
  w.kill(2);
  w.run(3000);
  sluice::v1::AdminRequest request;
  auto* update = request.mutable_update_stream();
  update->set_name("s");
  update->mutable_config()->set_retention_ms(1000);
  update->add_fields("retention_ms");
  EXPECT_EQ(w.ask(request).code(), "OK");
  update->mutable_config()->set_replication(4);
  update->add_fields("replication");
  EXPECT_EQ(w.ask(request).code(), "TOO_FEW_BROKERS");
}

TEST(Coordinator, DeletesAStreamAndItsNameIsFree) {
  World w(3);
  w.run(100);
  const std::string id = w.create("s", 3).stream_id();
  sluice::v1::AdminRequest request;
  request.mutable_delete_stream()->set_name("s");
  EXPECT_EQ(w.ask(request).code(), "OK");
  EXPECT_EQ(w.map("s"), nullptr);
  for (auto& [broker, state] : w.brokers) EXPECT_TRUE(state.replicas.empty());
  EXPECT_EQ(w.ask(request).code(), "NOT_FOUND");
  auto again = w.create("s", 1);
  EXPECT_EQ(again.code(), "OK");
  EXPECT_NE(again.stream_id(), id);
}

TEST(Coordinator, GivesOutProducerIds) {
  World w(1);
  w.run(100);
  sluice::v1::AdminRequest request;
  request.mutable_allocate_producer_ids()->set_count(1000);
  EXPECT_EQ(w.ask(request).first_producer_id(), 0);
  EXPECT_EQ(w.ask(request).first_producer_id(), 1000);
}

TEST(Coordinator, FollowsDeclarations) {
  World w(3);
  w.crash_coordinator();
  w.store.declares = true;
  StreamDeclaration wanted{"s", {}};
  wanted.config.set_partitions(2);
  w.store.declarations = {wanted};
  w.start_coordinator();
  ASSERT_TRUE(w.run_until([&] { return w.map("s") && w.all_led(); }));
  EXPECT_EQ(w.coordinator->stream_problem("s"), "");
  EXPECT_EQ(w.map("s")->config().replication(), 3);
  wanted.config.set_partitions(4);
  w.coordinator->stream_declared(wanted);
  ASSERT_TRUE(w.run_until([&] { return w.map("s")->shards_size() == 4 && w.all_led(); }));
  wanted.config.set_partitions(1);
  w.coordinator->stream_declared(wanted);
  w.run(500);
  EXPECT_NE(w.coordinator->stream_problem("s").find("only grow"), std::string::npos);
  StreamDeclaration big{"big", {}};
  big.config.set_replication(5);
  w.coordinator->stream_declared(big);
  w.run(500);
  EXPECT_NE(w.coordinator->stream_problem("big").find("replication 5"), std::string::npos);
  w.coordinator->stream_withdrawn("s", true);
  ASSERT_TRUE(w.run_until([&] { return !w.map("s"); }));
}

TEST(Coordinator, WaitsForTheStore) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  w.store.down = true;
  w.kill(0);
  w.run(5000);
  EXPECT_FALSE(w.all_led());
  w.store.down = false;
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  w.crash_coordinator();
  w.store.down = true;
  w.start_coordinator();
  w.run(1000);
  EXPECT_FALSE(w.coordinator->loaded());
  w.store.down = false;
  ASSERT_TRUE(
      w.run_until([&] { return w.coordinator->loaded() && w.coordinator->sessions() == 2; }));
}

TEST(Coordinator, NeedsAMajorityOfVotesNotOfSessions) {
  World w(3);
  w.run(100);
  w.create("s", 1);
  const int32_t leader = w.shard("s", 0).leader();
  const int32_t mute = other_than(leader);
  w.brokers[mute].votes = false;
  w.kill(leader);
  w.run(5000);
  EXPECT_FALSE(w.shard("s", 0).has_leader());
  w.revive(leader);
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
}

}  // namespace
}  // namespace broker::coordination
