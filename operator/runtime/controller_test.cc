// A controller with real threads: every outcome leads where it says, exceptions do not end the
// process, stop() waits for what runs. And the pages, over a real socket.
#include "operator/runtime/controller.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <stdexcept>

#include "broker/env/posix/posix.h"
#include "operator/runtime/http_pages.h"

namespace sluice_operator::runtime {
namespace {

using broker::Code;
using broker::Status;

class Scripted : public Reconciler {
 public:
  std::function<Outcome(int call)> script;
  Outcome reconcile(const Key& key) override {
    EXPECT_EQ(running.fetch_add(1), 0);  // the tests use one key
    int call = ++calls;
    struct Leave {
      std::atomic<int>& running;
      ~Leave() { --running; }
    } leave{running};
    Outcome outcome = script(call);
    std::lock_guard lock(mutex);
    finished = call;
    changed.notify_all();
    return outcome;
  }
  bool wait_for_calls(int count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10), [&] { return finished >= count; });
  }
  std::atomic<int> running{0}, calls{0};
  std::mutex mutex;
  std::condition_variable changed;
  int finished = 0;
};

class ControllerTest : public testing::Test {
 protected:
  bool reports(const std::string& text) { return metrics.expose().find(text) != std::string::npos; }
  broker::env::PosixClock clock;
  broker::env::SystemRandom random;
  broker::Metrics metrics;
  Scripted reconciler;
  Controller controller{{"test", 3, {1, 10}, "Test"}, reconciler, clock, random, metrics};
};

TEST_F(ControllerTest, EveryOutcomeLeadsWhereItSays) {
  reconciler.script = [](int call) -> Outcome {
    switch (call) {
      case 1: return Outcome::retry(Status(Code::kUnavailable, "once"));
      case 2: return Outcome::retry(Status(Code::kConflict, "moved"));
      case 3: throw std::out_of_range("a field is missing");
      case 4: return Outcome::requeue_after(5);
      default: return Outcome::done();
    }
  };
  controller.enqueue({"ns", "a"});
  controller.start();
  ASSERT_TRUE(reconciler.wait_for_calls(5));
  controller.stop();
  EXPECT_EQ(reconciler.calls, 5);
  EXPECT_TRUE(reports(R"(sluice_operator_reconcile_total{controller="test",result="error"} 2)"));
  EXPECT_TRUE(reports(R"(sluice_operator_reconcile_total{controller="test",result="conflict"} 1)"));
  EXPECT_TRUE(reports(R"(sluice_operator_reconcile_total{controller="test",result="requeue"} 1)"));
  EXPECT_TRUE(reports(R"(sluice_operator_reconcile_total{controller="test",result="success"} 1)"));
  EXPECT_TRUE(reports(R"(sluice_operator_queue_depth{controller="test"} 0)"));
}

TEST_F(ControllerTest, ATerminalFailureWaitsForAChange) {
  reconciler.script = [](int) { return Outcome::terminal(Status(Code::kInvalidArgument, "bad")); };
  controller.start();
  controller.enqueue({"ns", "a"});
  ASSERT_TRUE(reconciler.wait_for_calls(1));
  kube::StopSignal never;
  never.wait_ms(30);
  EXPECT_EQ(reconciler.calls, 1);
  controller.enqueue({"ns", "a"});
  ASSERT_TRUE(reconciler.wait_for_calls(2));
}

// A change that somebody waits for does not wait with what was to be looked at later.
TEST_F(ControllerTest, AChangeDoesNotWaitForCompany) {
  reconciler.script = [](int) { return Outcome::done(); };
  controller.start();
  controller.enqueue_after({"ns", "a"}, 60'000);
  controller.enqueue({"ns", "a"});
  EXPECT_TRUE(reconciler.wait_for_calls(1));
}

// As many at once as there are workers, each of another object.
TEST(Controller, WorksOnAsManyObjectsAsItHasWorkers) {
  constexpr int kWorkers = 4;
  struct Meeting : Reconciler {
    std::mutex mutex;
    std::condition_variable changed;
    int here = 0;
    bool met = false;
    Outcome reconcile(const Key&) override {
      std::unique_lock lock(mutex);
      if (++here == kWorkers) met = true;
      changed.notify_all();
      changed.wait_for(lock, std::chrono::seconds(10), [&] { return met; });
      return Outcome::done();
    }
  } meeting;
  broker::env::PosixClock clock;
  broker::env::SystemRandom random;
  broker::Metrics metrics;
  Controller controller({"test", kWorkers, {}, "Test"}, meeting, clock, random, metrics);
  controller.start();
  for (int i = 0; i < kWorkers; ++i) controller.enqueue({"ns", std::to_string(i)});
  std::unique_lock lock(meeting.mutex);
  EXPECT_TRUE(meeting.changed.wait_for(lock, std::chrono::seconds(10), [&] { return meeting.met; }));
  lock.unlock();
  controller.stop();
}

TEST_F(ControllerTest, StopWaitsForWhatRuns) {
  kube::StopSignal entered, leave;
  reconciler.script = [&](int) {
    entered.stop();
    leave.wait();
    return Outcome::done();
  };
  controller.start();
  controller.enqueue({"ns", "a"});
  entered.wait();
  EXPECT_FALSE(reports(R"(in_progress_start_seconds{controller="test"} 0)"));
  kube::Thread stopper("stopper", [&] { controller.stop(); });
  leave.stop();
  stopper.join();
  EXPECT_EQ(reconciler.finished, 1);
  EXPECT_EQ(controller.longest_running_ms(), 0);
}

int free_port() {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

std::string http_get(int port, const std::string& path) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_GT(write(fd, request.data(), request.size()), 0);
  std::string answer;
  char chunk[4096];
  for (ssize_t got; (got = read(fd, chunk, sizeof chunk)) > 0;) answer.append(chunk, got);
  close(fd);
  return answer;
}

TEST_F(ControllerTest, LinesOfAReconcileSayWhichObjectAndGeneration) {
  testing::internal::CaptureStderr();
  reconciler.script = [](int) -> Outcome {
    note_generation(7);
    return Outcome::terminal(Status(Code::kInvalidArgument, "no such image"));
  };
  controller.start();
  controller.enqueue({"ns", "a"});
  ASSERT_TRUE(reconciler.wait_for_calls(1));
  controller.stop();
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_NE(lines.find("kind=Test object=ns/a generation=7 error=\"INVALID_ARGUMENT: no such image\""),
            std::string::npos)
      << lines;
  EXPECT_TRUE(reports("sluice_operator_queue_wait_seconds_count{controller=\"test\"} 1"));
}

TEST_F(ControllerTest, AReconcileThatHangsIsNamed) {
  std::promise<void> release;
  auto released = release.get_future().share();
  std::promise<void> began;
  reconciler.script = [&](int) -> Outcome {
    began.set_value();
    released.wait();
    return Outcome::done();
  };
  controller.start();
  controller.enqueue({"ns", "slow"});
  began.get_future().wait();
  testing::internal::CaptureStderr();
  controller.tell_stuck(60'000);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  controller.tell_stuck(-1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("kind=Test object=ns/slow"),
            std::string::npos);
  EXPECT_FALSE(reports("sluice_operator_reconcile_in_progress_start_seconds{controller=\"test\"} 0"));
  release.set_value();
  controller.stop();
}

TEST(HttpPages, AnswerMetricsAndHealth) {
  broker::Metrics metrics;
  metrics.counter("sluice_operator_test_total", "Test.").Increment();
  std::atomic<bool> ready{false};
  const int port = free_port();
  auto pages = HttpPages::open(
      "127.0.0.1:" + std::to_string(port), metrics, [] { return Status(); },
      [&] { return ready ? Status() : Status(Code::kUnavailable, "no session yet"); });
  ASSERT_TRUE(pages.ok()) << pages.status().to_string();
  EXPECT_NE(http_get(port, "/metrics").find("sluice_operator_test_total 1"), std::string::npos);
  EXPECT_NE(http_get(port, "/livez").find("200 OK"), std::string::npos);
  EXPECT_NE(http_get(port, "/readyz").find("503"), std::string::npos);
  ready = true;
  EXPECT_NE(http_get(port, "/readyz").find("200 OK"), std::string::npos);
  EXPECT_NE(http_get(port, "/other").find("404"), std::string::npos);
  auto second = HttpPages::open("127.0.0.1:" + std::to_string(port), metrics,
                                [] { return Status(); }, [] { return Status(); });
  EXPECT_EQ(second.code(), Code::kUnavailable);
}

}  // namespace
}  // namespace sluice_operator::runtime
