// KubeStore against an API server over HTTP. Its jobs run when the test says so.
#include "operator/metadata/kube_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <new>
#include <nlohmann/json.hpp>
#include <set>

#include "broker/env/posix/asio_executor.h"
#include "broker/security/scram.h"
#include "operator/api/json.h"
#include "operator/kube/client/base64.h"
#include "operator/metadata/user_scram.h"
#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"

namespace sluice_tests {
namespace {

using broker::Code;
using sluice_operator::metadata::ClusterRef;
using sluice_operator::metadata::KubeStore;

class HeldQueue : public broker::env::IoQueue {
 public:
  void submit(Work work, Done done) override {
    jobs_.emplace_back(std::move(work), std::move(done));
  }
  size_t size() const { return jobs_.size(); }
  void run() {
    while (!jobs_.empty()) {
      auto [work, done] = std::move(jobs_.front());
      jobs_.pop_front();
      done(work());
    }
  }

 private:
  std::deque<std::pair<Work, Done>> jobs_;
};

class KubeStoreTest : public testing::Test {
 protected:
  // Everything that a store can ask, with answers that must come only while it lives.
  void ask_everything(KubeStore& store) {
    auto expect_alive = [this](const auto&) { EXPECT_TRUE(alive_) << "answered after its end"; };
    sluice::v1::ShardMap map;
    map.set_stream("s");
    map.set_stream_id("4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11");
    store.load(expect_alive);
    store.read_map("", "s", expect_alive);
    store.write_map(map, "", expect_alive);
    store.remove_map("", "s", "1", expect_alive);
    store.create_stream({.name = "t"}, expect_alive);
    store.update_stream({.name = "t"}, expect_alive);
    store.delete_stream("t", expect_alive);
    store.alter_client_quotas({}, expect_alive);
    store.create_acls({}, expect_alive);
    store.delete_acls({}, expect_alive);
    store.alter_scram({}, expect_alive);
    store.allocate_producer_ids(1000, expect_alive);
    store.write_ledger({}, "", expect_alive);
    store.read_ledger(expect_alive);
  }

  ClientHarness harness_;
  FakeApiServer server_;
  std::unique_ptr<sluice_operator::kube::Client> client_ =
      harness_.connect(server_.client_config());
  broker::env::AsioExecutor executor_;
  HeldQueue io_;
  const ClusterRef cluster_{"default", "c", "4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a12"};
  bool alive_ = true;
};

// A cluster that was deleted while requests waited took its store away under them.
TEST_F(KubeStoreTest, RequestsOutliveTheStore) {
  alignas(KubeStore) std::byte memory[sizeof(KubeStore)];
  auto* store = new (memory) KubeStore(*client_, executor_, io_, cluster_);
  ask_everything(*store);
  ASSERT_EQ(io_.size(), 14u);
  store->~KubeStore();
  std::memset(memory, 0xdd, sizeof memory);
  alive_ = false;
  io_.run();
  EXPECT_EQ(server_.count([](const ApiCall& call) {
    return call.method == "POST" && call.path.find("/default/") != std::string::npos;
  }),
            5)
      << "the map, the stream, quotas, ids and the ledger are written all the same";
}

TEST_F(KubeStoreTest, MapsAreSwappedByTheVersionThatWasRead) {
  KubeStore store(*client_, executor_, io_, cluster_);
  sluice::v1::ShardMap map;
  map.set_stream("s");
  map.set_stream_id("4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11");
  std::string version;
  auto write = [&](const std::string& expected) {
    Code code = Code::kInternal;
    map.mutable_config()->set_retention_ms(map.config().retention_ms() + 1);
    store.write_map(map, expected, [&](broker::Result<std::string> written) {
      code = written.code();
      if (written.ok()) version = *written;
    });
    io_.run();
    return code;
  };
  EXPECT_EQ(write(""), Code::kOk);
  const std::string first = version;
  EXPECT_EQ(write(""), Code::kConflict) << "it is there";
  EXPECT_EQ(write(first), Code::kOk);
  EXPECT_NE(version, first);
  EXPECT_EQ(write(first), Code::kConflict) << "it has moved";
  std::optional<broker::coordination::StoreContents> contents;
  store.load([&](broker::Result<broker::coordination::StoreContents> loaded) {
    ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
    contents = std::move(*loaded);
  });
  io_.run();
  ASSERT_EQ(contents->maps.size(), 1u);
  EXPECT_EQ(contents->maps[0].version, version);
  EXPECT_EQ(contents->cluster_id, cluster_.uid);
}

// What the API server has under a map's name; null: nothing.
class KubeStoreLoadTest : public KubeStoreTest {
 protected:
  KubeStoreLoadTest() {
    sluice::v1::ShardMap map;
    map.set_stream("s");
    map.set_stream_id("4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11");
    store_.write_map(map, "", [](const auto& written) { ASSERT_TRUE(written.ok()); });
    io_.run();
  }
  void put_stream(const std::string& cluster) {
    server_.apply("/apis/sluice.dev/v1alpha1/namespaces/default/streams/s",
                  {{"apiVersion", "sluice.dev/v1alpha1"},
                   {"kind", "Stream"},
                   {"metadata", {{"name", "s"}, {"namespace", "default"}}},
                   {"spec", {{"cluster", cluster}, {"mode", "Partitioned"}, {"partitions", 1}}}});
  }
  std::set<std::string> declared() {
    std::set<std::string> names;
    store_.load([&](broker::Result<broker::coordination::StoreContents> loaded) {
      ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
      ASSERT_TRUE(loaded->declarations);
      for (const auto& one : *loaded->declarations) names.insert(one.name);
    });
    io_.run();
    return names;
  }
  int reads_of(const std::string& what) {
    return server_.count([&](const ApiCall& call) {
      return call.method == "GET" && call.path.ends_with(what);
    });
  }
  KubeStore store_{*client_, executor_, io_, cluster_};
};

// Seen: each of 1,000 coordinators listed all 10,000 streams of the namespace.
TEST_F(KubeStoreLoadTest, StreamsComeFromTheWatch) {
  auto stream = std::make_shared<sluice_operator::api::Stream>();
  stream->metadata.name = stream->spec.name = "s";
  store_.stream_seen("s", stream);
  EXPECT_EQ(declared(), std::set<std::string>{"s"});
  EXPECT_EQ(reads_of("/streams") + reads_of("/streams/s"), 0);
}

// Each look at a stream woke its coordinator, which then looked at everything it has.
TEST_F(KubeStoreLoadTest, AStreamThatIsAsItWasIsNotDeclaredAgain) {
  struct Counts : broker::coordination::MetadataStore::Listener {
    int declared = 0, withdrawn = 0;
    void stream_declared(const broker::coordination::StreamDeclaration&) override { ++declared; }
    void stream_withdrawn(const std::string&, bool) override { ++withdrawn; }
  } counts;
  store_.set_listener(&counts);
  auto seen = [&](const std::string& uid, const std::string& version, bool deleting = false) {
    auto stream = std::make_shared<sluice_operator::api::Stream>();
    stream->metadata.name = stream->spec.name = "s";
    stream->metadata.uid = uid;
    stream->metadata.resource_version = version;
    stream->metadata.deleting = deleting;
    store_.stream_seen("s", stream);
    return std::weak_ptr<const sluice_operator::api::Stream>(stream);
  };
  std::weak_ptr<const sluice_operator::api::Stream> first = seen("u", "1");
  seen("u", "1");
  EXPECT_EQ(counts.declared, 1);
  EXPECT_TRUE(first.expired());  // its caller keeps the newer one: not one each
  seen("u", "2");
  EXPECT_EQ(counts.declared, 2);
  seen("v", "2");
  EXPECT_EQ(counts.declared, 3);
  // That it is to go is said until it has gone.
  seen("v", "3", true);
  seen("v", "3", true);
  EXPECT_EQ(counts.withdrawn, 2);
  store_.set_listener(nullptr);
}

// A watch may lag behind: the records of a stream that it has not shown yet must stay.
TEST_F(KubeStoreLoadTest, AStreamWithAMapThatTheWatchHasNotShownIsAskedFor) {
  put_stream("c");
  EXPECT_EQ(declared(), std::set<std::string>{"s"});
  EXPECT_EQ(reads_of("/streams/s"), 1);
}

// What a client changes is in the resource, the number of copies too; a watch that lags behind does
// not take it back.
TEST_F(KubeStoreLoadTest, AnOlderStreamIsNotToldAfterItsUpdate) {
  struct Listener : KubeStore::Listener {
    void stream_declared(const broker::coordination::StreamDeclaration& declaration) override {
      told.push_back(declaration.config.replication());
    }
    void stream_withdrawn(const std::string&, bool) override {}
    std::vector<int> told;
  } listener;
  store_.set_listener(&listener);
  put_stream("c");
  auto read = [&] {
    auto object = client_->get(sluice_operator::metadata::streams(), "default", "s");
    auto stream = sluice_operator::api::read_stream(*object);
    return std::make_shared<const sluice_operator::api::Stream>(std::move(*stream));
  };
  auto before = read();
  store_.stream_seen("s", before);
  broker::coordination::StreamDeclaration declaration{.name = "s"};
  declaration.config.set_mode(sluice::v1::STREAM_MODE_PARTITIONED);
  declaration.config.set_replication(2);
  Code code = Code::kInternal;
  store_.update_stream(declaration, [&](broker::Status status) { code = status.code(); });
  io_.run();
  EXPECT_EQ(code, Code::kOk);
  store_.stream_seen("s", before);
  store_.stream_seen("s", read());
  EXPECT_EQ(listener.told, (std::vector<int>{0, 2}));
  store_.stream_seen("s", before);  // shown since: not held back any more
  EXPECT_EQ(listener.told.size(), 3u);
  store_.set_listener(nullptr);
}

TEST_F(KubeStoreLoadTest, AMapWithoutItsStreamIsNobodys) {
  EXPECT_TRUE(declared().empty());
  put_stream("another");
  EXPECT_TRUE(declared().empty());
}

// They were written over; one without data ended the operator.
TEST_F(KubeStoreTest, ConfigMapsOfSomebodyElseAreLeftAlone) {
  KubeStore store(*client_, executor_, io_, cluster_);
  const std::vector<std::string> names = {"c-metering", "c-client-quotas", "c-producer-ids"};
  auto path = [](const std::string& name) { return "/api/v1/namespaces/default/configmaps/" + name; };
  for (const auto& name : names) {
    server_.apply(path(name), {{"apiVersion", "v1"},
                               {"kind", "ConfigMap"},
                               {"metadata", {{"name", name}, {"namespace", "default"}}}});
  }
  std::map<std::string, std::string> version;
  for (const auto& name : names) {
    version[name] = server_.get(path(name)).body["metadata"]["resourceVersion"].dump();
  }
  broker::Status loaded, quotas, ids, ledger;
  store.load([&](auto contents) { loaded = contents.status(); });
  sluice::v1::AlterClientQuotas change;
  store.alter_client_quotas(change, [&](auto changed) { quotas = changed.status(); });
  store.allocate_producer_ids(10, [&](auto first) { ids = first.status(); });
  store.write_ledger({}, "", [&](auto written) { ledger = written.status(); });
  io_.run();
  EXPECT_TRUE(loaded.ok()) << loaded.to_string();
  EXPECT_EQ(quotas.message(), "ConfigMap c-client-quotas belongs to something else, and is left "
                              "alone; rename the StreamCluster or remove it");
  EXPECT_EQ(ids.code(), Code::kAlreadyExists) << ids.to_string();
  EXPECT_FALSE(ledger.ok());
  store.read_ledger([&](auto stored) { ledger = stored.status(); });
  io_.run();
  EXPECT_EQ(ledger.code(), Code::kAlreadyExists);
  for (const auto& name : names) {
    EXPECT_EQ(server_.get(path(name)).body["metadata"]["resourceVersion"].dump(), version[name]);
  }
}

TEST_F(KubeStoreTest, ProducerIdsAreGivenOutOnceWhateverBecomesOfTheAnswer) {
  KubeStore store(*client_, executor_, io_, cluster_);
  std::vector<int64_t> firsts;
  auto allocate = [&] {
    store.allocate_producer_ids(10, [&](broker::Result<int64_t> first) {
      ASSERT_TRUE(first.ok()) << first.status().to_string();
      firsts.push_back(*first);
    });
    io_.run();
  };
  allocate();
  bool lost = false;
  server_.set_fault([&](const ApiCall& call) {
    if (call.method != "PUT" || lost) return Fault::none();
    lost = true;
    return Fault::close_after();
  });
  allocate();
  server_.set_fault(nullptr);
  allocate();
  EXPECT_EQ(firsts, (std::vector<int64_t>{0, 20, 30})) << "10 to 19 may have been given out";
}

class KubeStoreAclsTest : public KubeStoreTest {
 protected:
  using Json = nlohmann::json;
  KubeStoreAclsTest() {
    user("alice", "c",
         Json::array({{{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read"}}}}));
    user("robert", "c",
         Json::array({{{"resource", "Topic"}, {"name", "*"}, {"operations", {"Read", "Write"}}}}),
         "bob");
    user("carol", "another",
         Json::array({{{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read"}}}}));
  }
  void user(const std::string& resource, const std::string& cluster, Json acls,
            const std::string& name = "") {
    Json spec{{"cluster", cluster}, {"acls", std::move(acls)}};
    if (!name.empty()) spec["name"] = name;
    server_.apply(path_of(resource), {{"apiVersion", "sluice.dev/v1alpha1"},
                                      {"kind", "StreamUser"},
                                      {"metadata", {{"name", resource}, {"namespace", "default"}}},
                                      {"spec", spec}});
  }
  static std::string path_of(const std::string& resource) {
    return "/apis/sluice.dev/v1alpha1/namespaces/default/streamusers/" + resource;
  }
  Json acls_of(const std::string& resource) {
    return server_.get(path_of(resource)).body["spec"].value("acls", Json::array());
  }
  broker::Status create(const std::string& name, const std::string& topic,
                        const std::string& operation) {
    sluice::v1::CreateAcls change;
    change.set_user(name);
    auto& acl = *change.add_acls();
    acl.set_resource("Topic");
    acl.set_name(topic);
    acl.set_operation(operation);
    acl.set_host("*");
    broker::Status status(Code::kInternal, "no answer");
    store_.create_acls(change, [&](const broker::Status& got) { status = got; });
    io_.run();
    return status;
  }
  // "alice Read OK, bob ...", for each filter
  std::vector<std::string> remove(const std::vector<sluice::v1::AclFilter>& filters) {
    sluice::v1::DeleteAcls change;
    change.mutable_filters()->Add(filters.begin(), filters.end());
    std::vector<std::string> out;
    store_.delete_acls(change, [&](broker::Result<std::vector<sluice::v1::DeletedAcls>> found) {
      ASSERT_TRUE(found.ok()) << found.status().to_string();
      for (const auto& of_filter : *found) {
        std::string& line = out.emplace_back();
        for (const auto& deleted : of_filter.acls()) {
          line += (line.empty() ? "" : ", ") + deleted.user() + " " + deleted.acl().operation() +
                  " " + deleted.code();
        }
      }
    });
    io_.run();
    return out;
  }
  static sluice::v1::AclFilter of_operation(const std::string& operation) {
    sluice::v1::AclFilter filter;
    filter.set_operation(operation);
    return filter;
  }
  int puts() {
    return server_.count([](const ApiCall& call) { return call.method == "PUT"; });
  }
  // What happens to the first write, before it is carried out.
  void at_first_write(std::function<Fault(const ApiCall&)> fault) {
    server_.set_fault([fault, done = std::make_shared<bool>(false)](const ApiCall& call) {
      if (call.method != "PUT" || *done) return Fault::none();
      *done = true;
      return fault(call);
    });
  }
  KubeStore store_{*client_, executor_, io_, cluster_};
};

TEST_F(KubeStoreAclsTest, AreAddedToTheUsersResourceOnce) {
  EXPECT_TRUE(create("alice", "t", "Write").ok());
  EXPECT_EQ(
      acls_of("alice"),
      Json::array({{{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read", "Write"}}}}));
  EXPECT_EQ(puts(), 1);
  EXPECT_TRUE(create("alice", "t", "Write").ok());
  EXPECT_EQ(puts(), 1) << "what is there is not written again";
  EXPECT_TRUE(create("bob", "t", "Alter").ok()) << "by the name that he logs in with";
  EXPECT_EQ(acls_of("robert").size(), 2u);
}

TEST_F(KubeStoreAclsTest, NeedAStreamUserOfTheCluster) {
  for (const char* name : {"nobody", "robert", "carol"}) {
    auto status = create(name, "t", "Write");
    EXPECT_EQ(status.code(), Code::kNotFound) << name;
    EXPECT_NE(status.message().find("StreamUser"), std::string::npos) << status.message();
  }
  EXPECT_EQ(puts(), 0);
}

TEST_F(KubeStoreAclsTest, AreAddedToWhatSomebodyElseWroteMeanwhile) {
  at_first_write([this](const ApiCall&) {
    server_.merge_patch(
        path_of("alice"),
        {{"spec",
          {{"acls",
            Json::array({{{"resource", "Group"}, {"name", "g"}, {"operations", {"Read"}}}})}}}});
    return Fault::none();
  });
  EXPECT_TRUE(create("alice", "t", "Write").ok());
  ASSERT_EQ(acls_of("alice").size(), 2u);
  EXPECT_EQ(acls_of("alice")[0]["resource"], "Group");
  EXPECT_EQ(acls_of("alice")[1]["operations"], Json::array({"Write"}));
}

TEST_F(KubeStoreAclsTest, AreAddedOnceWhateverBecomesOfTheAnswer) {
  at_first_write([](const ApiCall&) { return Fault::close_after(); });
  EXPECT_TRUE(create("alice", "t", "Write").ok());
  EXPECT_EQ(acls_of("alice")[0]["operations"], Json::array({"Read", "Write"}));
}

TEST_F(KubeStoreAclsTest, AreTakenAwayByFiltersThatMayOverlap) {
  EXPECT_EQ(remove({of_operation("Read"), of_operation("Alter"), {}}),
            (std::vector<std::string>{"alice Read OK, bob Read OK", "",
                                      "alice Read OK, bob Read OK, bob Write OK"}));
  EXPECT_TRUE(acls_of("alice").empty());
  EXPECT_TRUE(acls_of("robert").empty());
  EXPECT_EQ(acls_of("carol").size(), 1u) << "of another cluster";
  EXPECT_EQ(puts(), 2) << "one for each user";
  EXPECT_EQ(remove({{}}), (std::vector<std::string>{""}));
  EXPECT_EQ(puts(), 2);
}

TEST_F(KubeStoreAclsTest, AreToldAsTakenAwayWhateverBecomesOfTheAnswer) {
  at_first_write([](const ApiCall&) { return Fault::close_after(); });
  EXPECT_EQ(remove({of_operation("Write")}), (std::vector<std::string>{"bob Write OK"}));
  EXPECT_EQ(acls_of("robert")[0]["operations"], Json::array({"Read"}));
}

TEST_F(KubeStoreAclsTest, AFailureIsThatOfOneUser) {
  server_.set_fault([](const ApiCall& call) {
    const bool bobs = call.path.ends_with("/robert");
    return call.method == "PUT" && bobs ? Fault::refuse(403) : Fault::none();
  });
  EXPECT_EQ(remove({of_operation("Read")}),
            (std::vector<std::string>{"alice Read OK, bob Read PERMISSION_DENIED"}));
  EXPECT_TRUE(acls_of("alice").empty());
  EXPECT_EQ(acls_of("robert")[0]["operations"].size(), 2u);
}

class KubeStoreScramTest : public KubeStoreAclsTest {
 protected:
  KubeStoreScramTest() {
    secret("alice", uid_of("alice"));
    user("dora", "c", Json::array());  // her Secret is still to be made
  }
  static std::string secret_path(const std::string& name) {
    return "/api/v1/namespaces/default/secrets/" + name;
  }
  std::string uid_of(const std::string& resource) {
    return server_.get(path_of(resource)).body["metadata"]["uid"];
  }
  void secret(const std::string& name, const std::string& owner) {
    server_.apply(secret_path(name),
                  {{"apiVersion", "v1"},
                   {"kind", "Secret"},
                   {"metadata",
                    {{"name", name},
                     {"namespace", "default"},
                     {"ownerReferences", Json::array({{{"apiVersion", "sluice.dev/v1alpha1"},
                                                       {"kind", "StreamUser"},
                                                       {"name", name},
                                                       {"uid", owner}}})}}},
                   {"data", {{"password", sluice_operator::kube::base64_encode("made")}}}});
  }
  static sluice::v1::AlterScram set(const std::string& name, const std::string& password) {
    sluice::v1::AlterScram change;
    change.set_user(name);
    *change.mutable_set() =
        broker::security::make_credential(broker::security::kScramSha256, password, "salt");
    return change;
  }
  static sluice::v1::AlterScram remove(const std::string& name) {
    sluice::v1::AlterScram change;
    change.set_user(name);
    change.set_remove(broker::security::kScramSha256);
    return change;
  }
  broker::Status alter(const sluice::v1::AlterScram& change) {
    broker::Status status(Code::kInternal, "no answer");
    store_.alter_scram(change, [&](const broker::Status& got) { status = got; });
    io_.run();
    return status;
  }
  // Whether the client's credentials of alice let somebody in with this password.
  bool lets_in(const std::string& password) {
    auto kept =
        sluice_operator::metadata::client_credentials(server_.get(secret_path("alice")).body);
    if (!kept.ok() || !*kept) return false;
    return std::any_of((*kept)->begin(), (*kept)->end(), [&](const auto& one) {
      return one.mechanism() == broker::security::kScramSha256 &&
             broker::security::is_password(one, password);
    });
  }
  int writes(const std::string& method) {
    return server_.count([&](const ApiCall& call) { return call.method == method; });
  }
  void at_first_patch(std::function<Fault(const ApiCall&)> fault) {
    server_.set_fault([fault, done = std::make_shared<bool>(false)](const ApiCall& call) {
      if (call.method != "PATCH" || *done) return Fault::none();
      *done = true;
      return fault(call);
    });
  }
};

TEST_F(KubeStoreScramTest, CredentialsAreKeptInTheUsersSecretAndNotedOnTheResource) {
  const int before = writes("PATCH");
  EXPECT_TRUE(alter(set("alice", "chosen")).ok());
  EXPECT_TRUE(lets_in("chosen"));
  Json kept = server_.get(secret_path("alice")).body;
  EXPECT_FALSE(kept["data"].contains("password")) << "it lets nobody in any more";
  EXPECT_EQ(server_.get(path_of("alice")).body["metadata"]["annotations"]["sluice.dev/secret-version"],
            kept["metadata"]["resourceVersion"]);
  EXPECT_EQ(acls_of("alice").size(), 1u);
  EXPECT_TRUE(alter(set("alice", "chosen")).ok());
  EXPECT_EQ(writes("PATCH"), before + 1) << "what is there is not written again";
  EXPECT_EQ(puts(), 1);

  EXPECT_TRUE(alter(remove("alice")).ok());
  EXPECT_FALSE(lets_in("chosen"));
  EXPECT_EQ(alter(remove("alice")).code(), Code::kNotFound);
}

TEST_F(KubeStoreScramTest, NobodyElsesPasswordIsWritten) {
  EXPECT_EQ(alter(set("nobody", "chosen")).code(), Code::kNotFound);
  EXPECT_EQ(alter(set("dora", "chosen")).code(), Code::kUnavailable) << "no Secret yet";
  auto refused = [&](const Json& spec, const char* why) {
    server_.merge_patch(path_of("alice"), {{"spec", spec}});
    auto status = alter(set("alice", "chosen"));
    EXPECT_EQ(status.code(), Code::kPolicyViolation) << status.to_string();
    EXPECT_NE(status.message().find(why), std::string::npos) << status.message();
  };
  refused({{"authentication", {{"type", "AccessKey"}}}}, "spec.authentication.type");
  refused({{"authentication", nullptr}, {"passwordFrom", {{"secret", "mine"}, {"key", "pw"}}}},
          "Secret 'mine'");
  secret("other", "4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a13");
  refused({{"passwordFrom", nullptr}, {"secretName", "other"}}, "belongs to something else");
  EXPECT_FALSE(lets_in("chosen"));
  EXPECT_TRUE(server_.get(secret_path("other")).body["data"].contains("password"));
}

TEST_F(KubeStoreScramTest, CredentialsAreWrittenOverWhatTheOperatorWroteMeanwhile) {
  at_first_patch([this](const ApiCall&) {
    server_.merge_patch(secret_path("alice"), {{"data", {{"ca.crt", "bmV3"}}}});
    return Fault::none();
  });
  EXPECT_TRUE(alter(set("alice", "chosen")).ok());
  EXPECT_TRUE(lets_in("chosen"));
  EXPECT_EQ(server_.get(secret_path("alice")).body["data"]["ca.crt"], "bmV3");
}

TEST_F(KubeStoreScramTest, AChangeIsMadeWhateverBecomesOfTheAnswer) {
  EXPECT_TRUE(alter(set("alice", "chosen")).ok());
  at_first_patch([](const ApiCall&) { return Fault::close_after(); });
  EXPECT_TRUE(alter(remove("alice")).ok());
  EXPECT_FALSE(lets_in("chosen"));
  at_first_patch([](const ApiCall&) { return Fault::close_after(); });
  EXPECT_TRUE(alter(set("alice", "again")).ok());
  EXPECT_TRUE(lets_in("again"));
}

}  // namespace
}  // namespace sluice_tests
