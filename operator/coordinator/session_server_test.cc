// Real gRPC sessions on loopback: registration, several clusters, refusals, TLS identities, the end
// of a session.
#include "operator/coordinator/session_server.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "broker/coordination/file_store.h"
#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"
#include "broker/proto/coordination.grpc.pb.h"

namespace sluice_operator::coordinator {
namespace {

namespace v1 = sluice::v1;
namespace env = broker::env;
namespace coordination = broker::coordination;

struct TempDir {
  TempDir() {
    char name[] = "/tmp/sluice-test-XXXXXX";
    path = mkdtemp(name);
  }
  ~TempDir() { std::system(("rm -rf " + path).c_str()); }
  std::string read(const std::string& name) const {
    std::ostringstream out;
    out << std::ifstream(path + "/" + name).rdbuf();
    return out.str();
  }
  std::string path;
};

// A coordinator per cluster name behind one server, on a thread of its own.
class Coordinators {
 public:
  Coordinators(const std::vector<std::string>& clusters, std::unique_ptr<ServerTls> tls = nullptr) {
    SessionServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls = std::move(tls);
    server = std::make_unique<SessionServer>(executor, std::move(options));
    for (const auto& name : clusters) {
      stores.push_back(
          std::make_unique<coordination::FileStore>(fs, io, random, dir.path + "/" + name));
      coordination::CoordinatorOptions core;
      core.cluster = name;
      coordinators.push_back(std::make_unique<coordination::Coordinator>(core, clock, random,
                                                                         *stores.back(), *server));
      server->add_cluster(name, name + ".ns", *coordinators.back());
      coordinators.back()->start();
    }
    CHECK(server->start().ok());
    thread = std::thread([this] { executor.run(); });
    tick();
    while (!loaded()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  bool loaded() {
    std::promise<bool> answer;
    executor.post([&] {
      bool all = true;
      for (auto& coordinator : coordinators) all &= coordinator->loaded();
      answer.set_value(all);
    });
    return answer.get_future().get();
  }
  ~Coordinators() {
    executor.post([this] { executor.stop(); });
    thread.join();
    server->stop();
  }
  void tick() {
    executor.post([this] {
      for (auto& coordinator : coordinators) coordinator->tick();
      executor.schedule_after(coordination::kTickMs, [this] { tick(); });
    });
  }
  int sessions(size_t cluster) {
    std::promise<int> answer;
    executor.post([&] { answer.set_value(coordinators[cluster]->sessions()); });
    return answer.get_future().get();
  }
  bool wait_for_sessions(size_t cluster, int wanted) {
    for (int i = 0; i < 500; ++i) {
      if (sessions(cluster) == wanted) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  TempDir dir;
  env::PosixClock clock;
  env::PosixFileSystem fs;
  env::SystemRandom random;
  env::AsioExecutor executor;
  std::unique_ptr<SessionServer> server;
  std::vector<std::unique_ptr<coordination::FileStore>> stores;
  env::ThreadIoQueue io{executor, "test-io"};
  std::vector<std::unique_ptr<coordination::Coordinator>> coordinators;
  std::thread thread;
};

// A broker's end of a session.
struct Dialled {
  Dialled(int port, std::shared_ptr<grpc::ChannelCredentials> credentials) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetSslTargetNameOverride("localhost");  // as in the server's certificate
    stub = v1::Coordinator::NewStub(
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port), credentials, args));
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stream = stub->Session(&context);
  }
  explicit Dialled(int port) : Dialled(port, grpc::InsecureChannelCredentials()) {}
  v1::CoordinatorMessage say_hello(const std::string& cluster, int id) {
    v1::BrokerMessage message;
    message.mutable_register_()->set_cluster(cluster);
    message.mutable_register_()->set_process("p");
    message.mutable_register_()->mutable_broker()->set_id(id);
    message.mutable_register_()->mutable_broker()->set_directory(
        "4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a1" + std::to_string(id));
    stream->Write(message);
    return next();
  }
  v1::CoordinatorMessage next() {
    v1::CoordinatorMessage message;
    ended = !stream->Read(&message);
    return message;
  }
  grpc::ClientContext context;
  std::unique_ptr<v1::Coordinator::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<v1::BrokerMessage, v1::CoordinatorMessage>> stream;
  bool ended = false;
};

TEST(SessionServer, WelcomesAndSendsTheWholeMetadata) {
  Coordinators c({"a"});
  Dialled broker(c.server->port());
  auto welcome = broker.say_hello("a", 0);
  ASSERT_TRUE(welcome.has_welcome());
  EXPECT_FALSE(welcome.welcome().cluster_id().empty());
  auto metadata = broker.next();
  ASSERT_TRUE(metadata.has_metadata());
  EXPECT_TRUE(metadata.metadata().full());
  ASSERT_EQ(metadata.metadata().brokers_size(), 1);
  EXPECT_EQ(c.sessions(0), 1);
  broker.context.TryCancel();
  EXPECT_TRUE(c.wait_for_sessions(0, 0));
}

TEST(SessionServer, KeepsClustersApart) {
  Coordinators c({"a", "b"});
  Dialled one(c.server->port()), two(c.server->port()), lost(c.server->port());
  EXPECT_TRUE(one.say_hello("a", 0).has_welcome());
  EXPECT_TRUE(two.say_hello("b", 0).has_welcome());
  auto refused = lost.say_hello("c", 0);
  ASSERT_TRUE(refused.has_refused());
  EXPECT_NE(refused.refused().reason().find("'c'"), std::string::npos);
  lost.next();
  EXPECT_TRUE(lost.ended);
  EXPECT_EQ(c.sessions(0), 1);
  EXPECT_EQ(c.sessions(1), 1);
}

TEST(SessionServer, RefusesWhoeverDoesNotRegisterFirst) {
  Coordinators c({"a"});
  Dialled broker(c.server->port());
  v1::BrokerMessage message;
  message.mutable_heartbeat();
  broker.stream->Write(message);
  EXPECT_TRUE(broker.next().has_refused());
  broker.next();
  EXPECT_TRUE(broker.ended);
}

TEST(SessionServer, TheRefusalReachesABrokerThatTheCoordinatorClosesOn) {
  Coordinators c({"a"});
  Dialled broker(c.server->port());
  EXPECT_TRUE(broker.say_hello("a", -1).has_refused());
  broker.next();
  EXPECT_TRUE(broker.ended);
}

TEST(SessionServer, AnswersAdministration) {
  Coordinators c({"a"});
  Dialled broker(c.server->port());
  ASSERT_TRUE(broker.say_hello("a", 0).has_welcome());
  v1::BrokerMessage message;
  message.mutable_admin()->set_id(7);
  message.mutable_admin()->mutable_allocate_producer_ids()->set_count(10);
  broker.stream->Write(message);
  for (int i = 0; i < 5; ++i) {
    auto answer = broker.next();
    if (!answer.has_admin()) continue;
    EXPECT_EQ(answer.admin().id(), 7u);
    EXPECT_EQ(answer.admin().code(), "OK");
    return;
  }
  ADD_FAILURE() << "no answer";
}

TEST(SessionServer, RemovingAClusterEndsItsSessions) {
  Coordinators c({"a", "b"});
  Dialled one(c.server->port()), two(c.server->port());
  one.say_hello("a", 0), two.say_hello("b", 0);
  c.executor.post([&] { c.server->remove_cluster("a", "a.ns"); });
  while (!one.ended) one.next();
  EXPECT_TRUE(Dialled(c.server->port()).say_hello("a", 0).has_refused());
  EXPECT_EQ(c.sessions(1), 1);
}

TEST(SessionServer, TellsWhenTheAddressIsTaken) {
  Coordinators c({"a"});
  SessionServerOptions options;
  options.listen = "127.0.0.1:" + std::to_string(c.server->port());
  SessionServer second(c.executor, std::move(options));
  EXPECT_EQ(second.start().code(), broker::Code::kUnavailable);
}

// Certificates of two authorities, made with openssl's command.
struct Pki {
  Pki() {
    const std::string script = "cd " + dir.path + R"( && exec >/dev/null 2>&1 && set -e
ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
for ca in ca new-ca; do openssl req -x509 $ec -keyout $ca.key -out $ca.crt -days 2 -subj /CN=ca; done
issue() {
  openssl req -new $ec -keyout $2.key -out $2.csr -subj "/CN=$2"
  printf "subjectAltName=DNS:$3" >$2.ext
  openssl x509 -req -in $2.csr -CA $1.crt -CAkey $1.key -CAcreateserial -days 2 \
    -extfile $2.ext -out $2.crt
}
issue ca server localhost; issue ca broker a.ns; issue ca stranger b.other
issue new-ca new-server localhost; issue new-ca new-broker a.ns)";
    made = std::system(script.c_str()) == 0;
  }
  ServerTls server(const std::string& name, const std::string& trusted) const {
    return {trusted, dir.read(name + ".crt"), dir.read(name + ".key")};
  }
  std::shared_ptr<grpc::ChannelCredentials> as(const std::string& name,
                                               const std::string& trusted) const {
    return grpc::SslCredentials({trusted, dir.read(name + ".key"), dir.read(name + ".crt")});
  }
  TempDir dir;
  bool made = false;
};

// With TLS a broker needs a certificate of the cluster that it names.
TEST(SessionServer, ChecksCertificatesAndIdentities) {
  Pki pki;
  ASSERT_TRUE(pki.made) << "openssl's command is needed: deploy/deps test";
  const std::string ca = pki.dir.read("ca.crt");
  Coordinators c({"a"}, std::make_unique<ServerTls>(pki.server("server", ca)));
  EXPECT_TRUE(Dialled(c.server->port(), pki.as("broker", ca)).say_hello("a", 0).has_welcome());
  EXPECT_TRUE(Dialled(c.server->port(), pki.as("stranger", ca)).say_hello("a", 1).has_refused());
  Dialled anonymous(c.server->port(), grpc::SslCredentials({ca, "", ""}));
  anonymous.say_hello("a", 2);
  EXPECT_TRUE(anonymous.ended);
}

// The phases of a CA's rotation, one after the other: sessions stay, handshakes take what is new.
TEST(SessionServer, TakesNewCertificatesWithoutEndingASession) {
  Pki pki;
  ASSERT_TRUE(pki.made) << "openssl's command is needed: deploy/deps test";
  const std::string ca = pki.dir.read("ca.crt"), next = pki.dir.read("new-ca.crt");
  Coordinators c({"a"}, std::make_unique<ServerTls>(pki.server("server", ca)));
  Dialled first(c.server->port(), pki.as("broker", ca));
  ASSERT_TRUE(first.say_hello("a", 0).has_welcome());
  Dialled early(c.server->port(), pki.as("new-broker", ca));
  early.say_hello("a", 1);
  EXPECT_TRUE(early.ended) << "nobody knows the new CA yet";

  c.server->renew(pki.server("server", ca + next));
  EXPECT_TRUE(Dialled(c.server->port(), pki.as("new-broker", ca)).say_hello("a", 1).has_welcome());

  c.server->renew(pki.server("new-server", next + ca));
  EXPECT_TRUE(Dialled(c.server->port(), pki.as("broker", next)).say_hello("a", 2).has_welcome());
  Dialled behind(c.server->port(), pki.as("broker", ca));
  behind.say_hello("a", 3);
  EXPECT_TRUE(behind.ended) << "it does not know the new CA";

  c.server->renew(pki.server("new-server", next));
  Dialled late(c.server->port(), pki.as("broker", next));
  late.say_hello("a", 4);
  EXPECT_TRUE(late.ended) << "the old CA is dropped";

  v1::BrokerMessage message;
  message.mutable_admin()->set_id(7);
  message.mutable_admin()->mutable_allocate_producer_ids()->set_count(10);
  ASSERT_TRUE(first.stream->Write(message));
  v1::CoordinatorMessage answer;
  do {
    answer = first.next();
  } while (!first.ended && !answer.has_admin());
  EXPECT_EQ(answer.admin().code(), "OK") << "the session from before lives on";
}

}  // namespace
}  // namespace sluice_operator::coordinator
