#include "operator/coordinator/coordinator_command.h"

#include <boost/asio/signal_set.hpp>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>

#include "broker/base/log.h"
#include "broker/coordination/coordinator.h"
#include "broker/coordination/file_store.h"
#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"
#include "broker/metering/prices_file.h"
#include "operator/coordinator/metrics_observer.h"
#include "operator/coordinator/session_server.h"
#include "operator/runtime/http_pages.h"

namespace sluice_operator::coordinator {

namespace env = broker::env;
namespace coordination = broker::coordination;
using broker::Code;
using broker::Result;
using broker::Status;

const char kCoordinatorHelp[] =
    R"(Usage: sluice-operator coordinator --metadata file:DIR --listen HOST:PORT [flags]

Coordinates the brokers of one cluster without Kubernetes. Its metadata is kept in DIR, which one
coordinator at a time may use.

  --metadata file:DIR     where streams and shard maps are kept
  --listen HOST:PORT      where brokers dial in; port 0 takes a free one
  --cluster NAME          name that brokers must give (default: sluice)
  --brokers N             brokers 0 to N-1 are expected: until they are here nothing is taken
                          for lost, and streams get their replication from that number
  --prices FILE           YAML with currency, asOf and unit prices: what usage costs
  --metering-interval N   usage is written at most once in N seconds for each stream (default: 60)
  --http HOST:PORT        serve /metrics, /livez and /readyz
  --tls-ca FILE           PEM files: brokers must then show a certificate of this authority that
  --tls-cert FILE         carries the cluster's name
  --tls-key FILE
  --log-level LEVEL       debug, info, warn or error (default: info)
  --log-format FORMAT     text or json (default: text)
)";

Result<CoordinatorFlags> parse_coordinator_flags(const std::vector<std::string>& args) {
  auto bad = [](std::string what) { return Status(Code::kInvalidArgument, std::move(what)); };
  CoordinatorFlags flags;
  std::string metadata, brokers, interval;
  const std::map<std::string, std::string*> known = {
      {"--metadata", &metadata},         {"--listen", &flags.listen},
      {"--cluster", &flags.cluster},     {"--brokers", &brokers},
      {"--http", &flags.http},           {"--tls-ca", &flags.tls_ca},
      {"--prices", &flags.prices},       {"--metering-interval", &interval},
      {"--tls-cert", &flags.tls_cert},   {"--tls-key", &flags.tls_key},
      {"--log-level", &flags.log_level}, {"--log-format", &flags.log_format}};
  for (size_t i = 0; i < args.size(); ++i) {
    const size_t equals = args[i].find('=');
    const std::string name = args[i].substr(0, equals);
    auto flag = known.find(name);
    if (flag == known.end()) return bad("unknown flag " + name);
    if (equals != std::string::npos) {
      *flag->second = args[i].substr(equals + 1);
    } else if (i + 1 < args.size()) {
      *flag->second = args[++i];
    } else {
      return bad(name + " needs a value");
    }
  }
  if (!metadata.starts_with("file:") || metadata.size() == 5) {
    return bad("--metadata must be file:DIR");
  }
  flags.metadata_dir = metadata.substr(5);
  if (flags.listen.find(':') == std::string::npos) return bad("--listen must be HOST:PORT");
  if (!flags.http.empty() && flags.http.find(':') == std::string::npos) {
    return bad("--http must be HOST:PORT");
  }
  if (flags.cluster.empty()) return bad("--cluster must not be empty");
  if (!brokers.empty()) {
    auto [end, error] =
        std::from_chars(brokers.data(), brokers.data() + brokers.size(), flags.brokers);
    if (error != std::errc() || *end != '\0' || flags.brokers < 1 || flags.brokers > 500) {
      return bad("--brokers must be a number from 1 to 500");
    }
  }
  if (!interval.empty()) {
    int64_t seconds = 0;
    auto [end, error] =
        std::from_chars(interval.data(), interval.data() + interval.size(), seconds);
    if (error != std::errc() || *end != '\0' || seconds < 1 || seconds > 3600) {
      return bad("--metering-interval must be a number from 1 to 3600");
    }
    flags.metering_interval_ms = seconds * 1000;
  }
  int tls = !flags.tls_ca.empty() + !flags.tls_cert.empty() + !flags.tls_key.empty();
  if (tls != 0 && tls != 3) return bad("--tls-ca, --tls-cert and --tls-key go together");
  if (!broker::configure_log(flags.log_level, flags.log_format)) {
    return bad("--log-level must be debug, info, warn or error, --log-format text or json");
  }
  return flags;
}

namespace {

constexpr uint64_t kPemBytesMax = 1 << 20;
constexpr int64_t kMetricsMs = 1000;
constexpr int64_t kCertificatesLookMs = 10'000;

class Process {
 public:
  explicit Process(CoordinatorFlags flags) : flags_(std::move(flags)) {}

  Status run() {
    RETURN_IF_ERROR(fs_.make_dirs(flags_.metadata_dir));
    RETURN_IF_ERROR(env::lock_file(flags_.metadata_dir + "/lock"));
    SessionServerOptions options;
    options.listen = flags_.listen;
    if (!flags_.tls_ca.empty()) {
      ASSIGN_OR_RETURN(auto tls, read_tls());
      options.tls = std::make_unique<ServerTls>(std::move(tls));
    }
    server_ = std::make_unique<SessionServer>(executor_, std::move(options));
    coordination::CoordinatorOptions core;
    core.cluster = flags_.cluster;
    core.metering_interval_ms = flags_.metering_interval_ms;
    coordinator_ = std::make_unique<coordination::Coordinator>(core, clock_, random_, store_,
                                                               *server_, &observer_);
    std::vector<coordination::ExpectedBroker> expected;
    for (int id = 0; id < flags_.brokers; ++id) expected.push_back({id, ""});
    coordinator_->set_expected_brokers(expected);
    if (!flags_.prices.empty()) {
      ASSIGN_OR_RETURN(std::string yaml, env::read_file(fs_, flags_.prices, kPemBytesMax));
      auto prices = broker::metering::parse_prices(yaml);
      if (!prices.ok()) return prices.status().with_context("--prices " + flags_.prices);
      coordinator_->set_prices(&*prices);
    }
    if (!flags_.http.empty()) {
      ASSIGN_OR_RETURN(pages_, runtime::HttpPages::open(
                                   flags_.http, metrics_, [this] { return live(); },
                                   [this] { return ready(); }));
    }
    executor_.post([this] {
      coordinator_->start();
      wait_for_metadata();
    });
    boost::asio::signal_set signals(executor_.context(), SIGTERM, SIGINT);
    signals.async_wait([this](boost::system::error_code error, int) {
      if (!error) executor_.stop();
    });
    executor_.run();
    // Without sessions first: a coordinator that goes is no reason to elect anybody.
    server_->stop();
    pages_.reset();
    coordinator_.reset();
    if (failure_.ok()) broker::log_info("coordinator", "stopped");
    return failure_;
  }

 private:
  // A folder that is damaged or cannot be read ends the process: nobody would repair it meanwhile.
  void wait_for_metadata() {
    if (coordinator_->loaded()) return begin();
    if (!coordinator_->load_error().ok()) return fail(coordinator_->load_error());
    executor_.schedule_after(1, [this] { wait_for_metadata(); });
  }

  Result<ServerTls> read_tls() {
    ServerTls tls;
    ASSIGN_OR_RETURN(tls.ca, env::read_file(fs_, flags_.tls_ca, kPemBytesMax));
    ASSIGN_OR_RETURN(tls.cert, env::read_file(fs_, flags_.tls_cert, kPemBytesMax));
    ASSIGN_OR_RETURN(tls.key, env::read_file(fs_, flags_.tls_key, kPemBytesMax));
    return tls;
  }

  // Renewed files are taken without a restart.
  void watch_certificates() {
    if (flags_.tls_ca.empty()) return;
    executor_.schedule_after(kCertificatesLookMs, [this] {
      auto tls = read_tls();
      if (tls.ok()) {
        server_->renew(std::move(*tls));
      } else {
        broker::log_error("coordinator", "the new certificate cannot be used; the old one stays",
                          {{"error", tls.status().message()}});
      }
      watch_certificates();
    });
  }

  void begin() {
    server_->add_cluster(flags_.cluster, flags_.cluster, *coordinator_);
    Status status = server_->start();
    if (!status.ok()) return fail(status);
    const std::string host = flags_.listen.substr(0, flags_.listen.rfind(':'));
    std::printf("coordinator ready listen=%s:%d\n", host.c_str(), server_->port());
    std::fflush(stdout);
    ready_ = true;
    tick();
    refresh_metrics();
    watch_certificates();
  }

  void tick() {
    ticked_ms_ = clock_.mono_ms();
    coordinator_->tick();
    executor_.schedule_after(coordination::kTickMs, [this] { tick(); });
  }

  void refresh_metrics() {
    observer_.refresh(*coordinator_);
    observer_.meter(coordinator_->bill(clock_.wall_ms()));
    executor_.schedule_after(kMetricsMs, [this] { refresh_metrics(); });
  }

  void fail(const Status& status) {
    failure_ = status;
    executor_.stop();
  }

  // From the pages' threads.
  Status ready() const {
    return ready_ ? live() : Status(Code::kUnavailable, "the metadata is being loaded");
  }
  Status live() const {
    const int64_t last = ticked_ms_;
    if (last == 0 || clock_.mono_ms() - last < 10'000) return {};
    return Status(Code::kUnavailable, "the coordinator's thread stands still");
  }

  const CoordinatorFlags flags_;
  env::PosixClock clock_;
  env::PosixFileSystem fs_;
  env::SystemRandom random_;
  env::AsioExecutor executor_;
  coordination::FileStore store_{fs_, io_, random_, flags_.metadata_dir};
  env::ThreadIoQueue io_{executor_, "metadata-io"};  // ends before the store, which its jobs use
  broker::Metrics metrics_;
  MetricsObserver observer_{metrics_, flags_.cluster};
  std::unique_ptr<SessionServer> server_;
  std::unique_ptr<coordination::Coordinator> coordinator_;
  std::unique_ptr<runtime::HttpPages> pages_;
  std::atomic<bool> ready_ = false;
  std::atomic<int64_t> ticked_ms_ = 0;
  Status failure_;
};

}  // namespace

int run_coordinator(const std::vector<std::string>& args) {
  if (args.size() == 1 && (args[0] == "--help" || args[0] == "-h")) {
    std::fputs(kCoordinatorHelp, stdout);
    return 0;
  }
  auto flags = parse_coordinator_flags(args);
  if (!flags.ok()) {
    std::fprintf(stderr, "sluice-operator coordinator: %s (see --help)\n",
                 flags.status().message().c_str());
    return 2;
  }
  Status status = Process(std::move(*flags)).run();
  if (status.ok()) return 0;
  std::fprintf(stderr, "sluice-operator coordinator: %s\n", status.message().c_str());
  return 1;
}

}  // namespace sluice_operator::coordinator
