// The link over real gRPC on loopback: how it ends.
#include "broker/cluster/grpc/grpc_link.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"
#include "broker/proto/coordination.grpc.pb.h"

namespace broker::cluster {
namespace {

// Looks again and again: it is gRPC's own threads that bring it about.
bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 10'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

// How many calls a client has that have not ended yet.
class Calls : public ::grpc::ClientContext::GlobalCallbacks {
 public:
  static std::atomic<int>& open() {
    static Calls* calls = [] {
      auto* made = new Calls;
      ::grpc::ClientContext::SetGlobalCallbacks(made);
      return made;
    }();
    return calls->open_;
  }
  void DefaultConstructor(::grpc::ClientContext*) override { ++open_; }
  void Destructor(::grpc::ClientContext*) override { --open_; }

 private:
  std::atomic<int> open_ = 0;
};

// A reactor that the test runs step by step, and that can have ended.
class Reactor : public env::Executor {
 public:
  void post(env::Task task) override {
    std::lock_guard lock(mutex_);
    if (ended_) return void(++late_);
    tasks_.push_back(std::move(task));
  }
  env::TimerId schedule_after(int64_t, env::Task) override { return 0; }
  void cancel(env::TimerId) override {}
  void run_what_is_there() {
    std::unique_lock lock(mutex_);
    while (!tasks_.empty()) {
      env::Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }
  void end() {
    std::deque<env::Task> dropped;
    std::lock_guard lock(mutex_);
    ended_ = true;
    dropped.swap(tasks_);
  }
  bool has_tasks() {
    std::lock_guard lock(mutex_);
    return !tasks_.empty();
  }
  int late() {
    std::lock_guard lock(mutex_);
    return late_;
  }

 private:
  std::mutex mutex_;
  std::deque<env::Task> tasks_;
  bool ended_ = false;
  int late_ = 0;
};

// A coordinator that says nothing and keeps its brokers' sessions until they end them.
class Silent : public v1::Coordinator::Service {
 public:
  ::grpc::Status Session(::grpc::ServerContext*,
                         ::grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::BrokerMessage>* stream)
      override {
    v1::BrokerMessage message;
    while (stream->Read(&message)) ++heard;
    return ::grpc::Status::OK;
  }
  std::atomic<int> heard = 0;
};

class GrpcLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    Calls::open();
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", ::grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&coordinator_);
    server_ = builder.BuildAndStart();
    ASSERT_TRUE(server_);
    GrpcLinkOptions options;
    options.target = "127.0.0.1:" + std::to_string(port_);
    session_ = std::make_unique<Session>(clock_, reactor_, metadata_, v1::Register());
    link_ = std::make_unique<GrpcLink>(reactor_, random_, fs_, std::move(options));
    session_->start(*link_, {});
    link_->start(*session_);
    ASSERT_TRUE(eventually([&] { return coordinator_.heard > 0; }));
  }

  Silent coordinator_;
  std::unique_ptr<::grpc::Server> server_;
  int port_ = 0;
  env::PosixClock clock_;
  env::PosixFileSystem fs_;
  env::SystemRandom random_;
  Metadata metadata_;
  Reactor reactor_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<GrpcLink> link_;
};

// Seen by reading: a stopped broker's stream ended on gRPC's threads later than the reactor that it
// posted its end to; and as its end was not heard, it never went.
TEST_F(GrpcLinkTest, AStreamThatEndsAfterTheReactorPostsNothing) {
  link_.reset();
  reactor_.end();
  EXPECT_TRUE(eventually([&] { return Calls::open() == 0 || reactor_.late() > 0; }));
  EXPECT_EQ(reactor_.late(), 0);
  EXPECT_EQ(Calls::open(), 0);
}

// The same with the stream's end posted before the link is stopped, and not yet run.
TEST_F(GrpcLinkTest, AStreamWhoseEndWasPostedGoesToo) {
  ASSERT_TRUE(eventually([&] { return reactor_.has_tasks(); }));
  reactor_.run_what_is_there();  // the write's end
  server_->Shutdown(std::chrono::system_clock::now());
  ASSERT_TRUE(eventually([&] { return reactor_.has_tasks(); }));
  link_.reset();
  reactor_.run_what_is_there();
  reactor_.end();
  EXPECT_TRUE(eventually([&] { return Calls::open() == 0; }));
  EXPECT_EQ(reactor_.late(), 0);
}

// A coordinator on a machine with much to do: it comes to each connection `delay_ms` after its begin.
class Slow {
 public:
  explicit Slow(int64_t delay_ms) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(::listen(listener_, 16) == 0);
    socklen_t size = sizeof address;
    CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    ::grpc::ServerBuilder builder;
    builder.RegisterService(&coordinator);
    server_ = builder.BuildAndStart();
    acceptor_ = std::thread([this, delay_ms] {
      for (int fd; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
        executor.post([this, fd, delay_ms] {
          executor.schedule_after(delay_ms, [this, fd] {
            ::grpc::AddInsecureChannelFromFd(server_.get(), fd);
          });
        });
      }
    });
    runner_ = std::thread([this] { executor.run(); });
  }
  ~Slow() { server_->Shutdown(std::chrono::system_clock::now()); }
  // On return nothing runs on the executor any more.
  void end() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    executor.stop();
    runner_.join();
  }

  Silent coordinator;
  env::AsioExecutor executor;
  int port = 0;

 private:
  int listener_;
  std::unique_ptr<::grpc::Server> server_;
  std::thread acceptor_, runner_;
};

// Seen on a real cluster, whose operators were restarted one after the other: a connection had 100 ms to be made in, a
// second at most, and a channel that had given one up in the middle of a handshake tried no other for good.
TEST(GrpcLink, ACoordinatorThatIsSlowToAnswerIsReached) {
  Slow slow(1500);
  env::PosixClock clock;
  env::PosixFileSystem fs;
  env::SystemRandom random;
  Metadata metadata;
  Session session(clock, slow.executor, metadata, v1::Register());
  GrpcLinkOptions options;
  options.target = "127.0.0.1:" + std::to_string(slow.port);
  GrpcLink link(slow.executor, random, fs, std::move(options));
  slow.executor.post([&] {
    session.start(link, {});
    link.start(session);
  });
  EXPECT_TRUE(eventually([&] { return slow.coordinator.heard > 0; }));
  std::atomic<bool> stopped = false;
  slow.executor.post([&] {
    link.stop();
    stopped = true;
  });
  EXPECT_TRUE(eventually([&] { return stopped.load(); }));
  slow.end();
}

}  // namespace
}  // namespace broker::cluster
