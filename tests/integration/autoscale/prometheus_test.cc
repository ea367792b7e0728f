// The autoscaler's figures from a real Prometheus that scrapes a page over real HTTP, and every way in
// which it lets one down: each ends in a stated reason, no figures, and no decision. Takes
// `prometheus` from PATH. What is waited for is a condition; its deadline only ends a hung test.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "broker/env/posix/posix.h"
#include "operator/reconcile/load_source.h"
#include "operator/reconcile/scaling_input.h"
#include "tests/support/page_server.h"

namespace sluice_operator::reconcile {
namespace {

namespace fs = std::filesystem;
constexpr double kBytesPerSecond = 3 << 20;  // three shards' worth

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string free_address() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

// A broker's page whose counters grow with the time, as a steady load makes them.
class Broker {
 public:
  const std::string& address() const { return server_->address(); }
  void reset_counters() { began_ms_ = now_ms(); }
  void say_nan() { nan_ = true; }
  void go_away() { server_.reset(); }

 private:
  std::string page() {
    double seconds = static_cast<double>(now_ms() - began_ms_) / 1000;
    const std::string shard = R"({stream="clicks",shard="0"} )";
    auto line = [&](const char* name, double per_second) {
      return name + shard + (nan_ ? "NaN" : std::to_string(seconds * per_second)) + "\n";
    };
    return "sluice_broker_leaders 1\n" + line("sluice_shard_bytes_in_total", kBytesPerSecond) +
           line("sluice_shard_records_in_total", 100) +
           "sluice_shard_heat_bytes_total{stream=\"clicks\",shard=\"0\",part=\"7\"} " +
           std::to_string(seconds * kBytesPerSecond) + "\n";
  }
  std::atomic<int64_t> began_ms_ = now_ms();
  std::atomic<bool> nan_ = false;
  std::unique_ptr<sluice_tests::PageServer> server_ = std::make_unique<sluice_tests::PageServer>(
      [this](const std::string&) { return page(); });
};

// The process, in a directory of its own.
class Prometheus {
 public:
  explicit Prometheus(const std::string& target, bool tls = false) : address_(free_address()) {
    char name[] = "/tmp/sluice-prometheus-XXXXXX";
    folder_ = mkdtemp(name);
    std::ofstream(folder_ / "prometheus.yml")
        << "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
           "scrape_configs:\n"
           "- job_name: brokers\n"
           "  static_configs:\n"
           "  - targets: ['" << target << "']\n"
           "    labels: {namespace: ns, app_kubernetes_io_instance: c}\n";
    std::ofstream web(folder_ / "web.yml");
    if (tls) {
      std::string command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=prometheus"
                            " -addext subjectAltName=IP:127.0.0.1 -keyout " +
                            (folder_ / "key.pem").string() + " -out " +
                            (folder_ / "cert.pem").string() + " 2>/dev/null";
      EXPECT_EQ(std::system(command.c_str()), 0);
      web << "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";
    }
    web.close();
    start();
  }
  ~Prometheus() {
    stop();
    fs::remove_all(folder_);
  }
  void start() {
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ > 0) return;
    int log = open((folder_ / "log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
    dup2(log, 1);
    dup2(log, 2);
    execlp("prometheus", "prometheus", ("--config.file=" + (folder_ / "prometheus.yml").string()).c_str(),
           ("--storage.tsdb.path=" + (folder_ / "data").string()).c_str(),
           ("--web.config.file=" + (folder_ / "web.yml").string()).c_str(),
           ("--web.listen-address=" + address_).c_str(), nullptr);
    _exit(127);
  }
  void stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGCONT);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void send(int signal) { kill(pid_, signal); }
  const std::string& address() const { return address_; }
  std::string certificate() const {
    std::ifstream file(folder_ / "cert.pem");
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  fs::path folder_;
  std::string address_;
  pid_t pid_ = -1;
};

// A wall clock that is off.
class SkewedClock : public broker::env::PosixClock {
 public:
  int64_t wall_ms() const override { return broker::env::PosixClock::wall_ms() + off_ms; }
  std::atomic<int64_t> off_ms = 0;
};

class WithPrometheus : public testing::Test {
 protected:
  LoadAnswer look() { return source_.look(settings_, {"ns", "c"}, {{"c-0", broker_.address()}}); }
  // Looks until the reason is this one ("": there are figures).
  LoadAnswer wait_for(const std::string& reason) {
    for (int64_t deadline = now_ms() + 120'000; now_ms() < deadline;) {
      auto answer = look();
      if (answer.reason == reason && (!reason.empty() || answer.rates.contains("clicks"))) {
        return answer;
      }
      last_ = answer.reason + ": " + answer.problem;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    ADD_FAILURE() << "no '" << reason << "', but '" << last_ << "'";
    return {};
  }
  // What the planner makes of an answer, for a stream of one shard that three times its limit loads.
  autoscale::Decision decide(const LoadAnswer& answer) {
    sluice::v1::ShardMap map;
    auto* shard = map.add_shards();
    shard->set_state(sluice::v1::SHARD_STATE_OPEN);
    shard->set_leader(0);
    broker::env::PosixClock clock;
    autoscale::Memory memory;
    return autoscale::decide({}, snapshot_of(map, "clicks", answer, clock.mono_ms(), clock.wall_ms()),
                             memory);
  }
  void expect_no_decision(const LoadAnswer& answer, const std::string& reason) {
    EXPECT_TRUE(answer.rates.empty());
    EXPECT_NE(answer.problem, "");
    auto decision = decide(answer);
    EXPECT_EQ(decision.action, autoscale::Action::kNone);
    EXPECT_EQ(decision.reason, reason);
  }
  void use(const Prometheus& prometheus) { settings_.prometheus_url = "http://" + prometheus.address(); }

  SkewedClock clock_;
  LoadSource source_{clock_};
  LoadSettings settings_;
  Broker broker_;
  std::string last_;
};

TEST_F(WithPrometheus, RatesAndHeatAreThoseOfThePage) {
  Prometheus prometheus(broker_.address());
  use(prometheus);
  LoadAnswer answer;
  do {  // a window that is not full yet gives less
    answer = wait_for("");
    if (HasFailure()) return;
  } while (answer.rates["clicks"][0].bytes_per_s < 0.9 * kBytesPerSecond);
  const auto& shard = answer.rates["clicks"][0];
  EXPECT_LT(shard.bytes_per_s, 1.5 * kBytesPerSecond);
  EXPECT_GT(shard.heat[7], 0);
  auto decision = decide(answer);
  EXPECT_EQ(decision.action, autoscale::Action::kSplit) << decision.message;
}

TEST_F(WithPrometheus, ACounterThatBeginsAgainGivesNoAbsurdRate) {
  Prometheus prometheus(broker_.address());
  use(prometheus);
  wait_for("");
  broker_.reset_counters();
  for (int looks = 0; looks < 60; looks++) {
    auto answer = look();
    if (!answer.problem.empty()) continue;
    EXPECT_GE(answer.rates["clicks"][0].bytes_per_s, 0);
    EXPECT_LT(answer.rates["clicks"][0].bytes_per_s, 3 * kBytesPerSecond);
  }
}

TEST_F(WithPrometheus, ABrokerThatItCannotScrapeStopsDecisions) {
  Prometheus prometheus(broker_.address());
  use(prometheus);
  wait_for("");
  const std::string address = broker_.address();
  broker_.go_away();
  LoadAnswer answer;
  do {
    answer = source_.look(settings_, {"ns", "c"}, {{"c-0", address}});
  } while (answer.problem.empty());
  EXPECT_EQ(answer.reason, "BrokerMetricsMissing");
  expect_no_decision(answer, "BrokerMetricsMissing");
}

TEST_F(WithPrometheus, AClockThatIsOffStopsDecisionsAndTheyGoOnAfterwards) {
  Prometheus prometheus(broker_.address());
  use(prometheus);
  wait_for("");
  for (int64_t off_ms : {-120'000, 120'000}) {
    clock_.off_ms = off_ms;
    expect_no_decision(look(), "ClockSkew");
  }
  clock_.off_ms = 0;
  wait_for("");
}

TEST_F(WithPrometheus, NaNStopsDecisions) {
  Prometheus prometheus(broker_.address());
  use(prometheus);
  wait_for("");
  broker_.say_nan();
  expect_no_decision(wait_for("PrometheusAnswer"), "PrometheusAnswer");
}

TEST_F(WithPrometheus, OneThatHangsOrIsGoneStopsDecisionsAndTheyGoOnAfterwards) {
  Prometheus prometheus(broker_.address());
  use(prometheus);
  wait_for("");
  prometheus.send(SIGSTOP);
  expect_no_decision(wait_for("PrometheusUnreachable"), "PrometheusUnreachable");
  prometheus.send(SIGCONT);
  wait_for("");
  prometheus.stop();
  expect_no_decision(wait_for("PrometheusUnreachable"), "PrometheusUnreachable");
  prometheus.start();
  wait_for("");
}

TEST_F(WithPrometheus, ItsCertificateIsChecked) {
  Prometheus prometheus(broker_.address(), true), other(broker_.address(), true);
  settings_.prometheus_url = "https://" + prometheus.address();
  settings_.ca_pem = prometheus.certificate();
  wait_for("");
  settings_.ca_pem = other.certificate();  // a bundle that is replaced counts at once
  expect_no_decision(look(), "PrometheusUnreachable");
  settings_.ca_pem = prometheus.certificate();
  EXPECT_EQ(look().reason, "");
}

}  // namespace
}  // namespace sluice_operator::reconcile
