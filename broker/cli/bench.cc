// `sluice bench …`: load at a given rate, and what became of it.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <random>

#include <nlohmann/json.hpp>

#include "broker/cli/commands.h"
#include "broker/cli/output.h"
#include "broker/cli/publisher.h"
#include "broker/cli/reading.h"
#include "broker/cli/units.h"

namespace broker::cli {

namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kTickMs = 10;
constexpr int64_t kRequestBytesMax = 256 * 1024;

// Counts, and latencies to three digits. Thread-safe.
class Tally {
 public:
  void add(int64_t records, int64_t bytes, int64_t latency_ms) {
    std::lock_guard lock(mutex_);
    records_ += records;
    bytes_ += bytes;
    latencies_ms_.push_back({static_cast<int32_t>(std::clamp<int64_t>(latency_ms, 0, INT32_MAX)),
                             static_cast<int32_t>(records)});
  }
  void fail(int64_t records, const std::string& why) {
    std::lock_guard lock(mutex_);
    if (failed_ == 0) first_error_ = why;
    failed_ += records;
  }
  int64_t failed() { std::lock_guard lock(mutex_); return failed_; }
  std::string first_error() { std::lock_guard lock(mutex_); return first_error_; }

  void show(int64_t began_ms) {
    if (!stderr_is_terminal()) return;
    std::lock_guard lock(mutex_);
    double seconds = static_cast<double>(mono_ms() - began_ms) / 1000;
    std::fprintf(stderr, "\r%5.0f s  %lld records  %s/s  %lld failed ", seconds,
                 static_cast<long long>(records_),
                 format_bytes(static_cast<double>(bytes_) / std::max(seconds, 0.001)).c_str(),
                 static_cast<long long>(failed_));
  }
  void print_summary(bool json, int64_t began_ms) {
    std::lock_guard lock(mutex_);
    if (stderr_is_terminal()) std::fprintf(stderr, "\r\033[K");
    std::sort(latencies_ms_.begin(), latencies_ms_.end());
    double seconds = std::max(static_cast<double>(mono_ms() - began_ms) / 1000, 0.001);
    double rate = static_cast<double>(bytes_) / seconds;
    auto round = [](double value) { return std::round(value * 100) / 100; };
    if (json) {
      print_json({{"records", records_}, {"failed", failed_}, {"bytes", bytes_},
                  {"seconds", round(seconds)},
                  {"recordsPerSecond", round(static_cast<double>(records_) / seconds)},
                  {"megabytesPerSecond", round(rate / 1e6)},
                  {"latencyMs", {{"p50", quantile(0.5)}, {"p99", quantile(0.99)},
                                 {"max", quantile(1)}}}});
      return;
    }
    char text[256];
    std::snprintf(text, sizeof text,
                  "%lld records (%lld failed) in %.1f s: %.2f MB/s, %.0f records/s; "
                  "latency p50 %d ms, p99 %d ms, max %d ms\n",
                  static_cast<long long>(records_), static_cast<long long>(failed_), seconds,
                  rate / 1e6, static_cast<double>(records_) / seconds, quantile(0.5),
                  quantile(0.99), quantile(1));
    print(text);
  }

 private:
  // Of sorted latencies, each of which counts for its records.
  int quantile(double share) const {
    int64_t before = 0;
    auto wanted = static_cast<int64_t>(share * static_cast<double>(records_));
    for (auto [ms, records] : latencies_ms_) {
      before += records;
      if (before >= wanted) return ms;
    }
    return latencies_ms_.empty() ? 0 : latencies_ms_.back().first;
  }

  std::mutex mutex_;
  int64_t records_ = 0, bytes_ = 0, failed_ = 0;
  std::string first_error_;
  std::vector<std::pair<int32_t, int32_t>> latencies_ms_;  // with how many records it was
};

// Printable bytes that compress about as badly as they come.
class Values {
 public:
  explicit Values(size_t bytes) : bytes_(bytes) {
    std::mt19937 random(1);
    for (size_t i = 0; i < bytes + 4096; ++i) {
      pool_ += static_cast<char>('!' + random() % 94);
    }
  }
  std::string next() { return pool_.substr(next_++ % 4096, bytes_); }

 private:
  size_t bytes_;
  size_t next_ = 0;
  std::string pool_;
};

struct Load {
  int64_t rate_bytes, record_bytes, seconds, keys;
};

Result<Load> load_of(const Arguments& arguments) {
  Load load;
  ASSIGN_OR_RETURN(load.rate_bytes, arguments.bytes("rate-bytes", 1 << 20));
  ASSIGN_OR_RETURN(load.record_bytes, arguments.bytes("record-bytes", 1024));
  ASSIGN_OR_RETURN(load.seconds, arguments.number("seconds", 60, 1, 1'000'000));
  ASSIGN_OR_RETURN(load.keys, arguments.number("keys", 1000, 0, 1'000'000'000));
  if (load.rate_bytes < 1) return Status(Code::kInvalidArgument, "--rate-bytes is at least 1");
  if (load.record_bytes < 1 || load.record_bytes > (16 << 20)) {
    return Status(Code::kInvalidArgument, "--record-bytes is between 1 and 16MiB");
  }
  return load;
}

// Sends `load` in ticks; what a slow cluster has delayed is not made up for.
Status send_load(const Load& load, int64_t began_ms, Publisher& publisher, Tally& tally) {
  Values values(static_cast<size_t>(load.record_bytes));
  std::mt19937_64 random(static_cast<uint64_t>(wall_ms()));
  double owed = 0;
  int64_t at_ms = began_ms, shown_ms = began_ms;
  const int64_t end_ms = began_ms + load.seconds * 1000;
  while (at_ms < end_ms) {
    sleep_ms(kTickMs);
    int64_t now_ms = mono_ms();
    owed += static_cast<double>(load.rate_bytes) * static_cast<double>(now_ms - at_ms) / 1000;
    owed = std::min(owed, std::max(static_cast<double>(load.rate_bytes),
                                   static_cast<double>(load.record_bytes)));
    at_ms = now_ms;
    while (owed >= static_cast<double>(load.record_bytes)) {
      v1::PublishRequest request;
      int64_t bytes = 0;
      while (owed >= static_cast<double>(load.record_bytes) && bytes < kRequestBytesMax) {
        auto* record = request.add_records();
        if (load.keys > 0) {
          record->set_key("key-" + std::to_string(random() % static_cast<uint64_t>(load.keys)));
        }
        record->set_value(values.next());
        record->set_timestamp_ms(wall_ms());
        bytes += load.record_bytes;
        owed -= static_cast<double>(load.record_bytes);
      }
      RETURN_IF_ERROR(publisher.send(std::move(request)));
    }
    if (now_ms - shown_ms >= 500) {
      shown_ms = now_ms;
      tally.show(began_ms);
    }
  }
  return {};
}

Result<int> bench_produce(const Arguments& arguments) {
  ASSIGN_OR_RETURN(Load load, load_of(arguments));
  Client client(arguments);
  PublisherOptions options;
  options.stream = arguments.word(0);
  options.unanswered_bytes_max = 16 << 20;
  Tally tally;
  auto answered = [&](const v1::PublishRequest& request, const v1::PublishResponse& response,
                      int64_t sent_ms) {
    int64_t stored = 0, bytes = 0;
    for (int i = 0; i < response.results_size(); ++i) {
      const auto& result = response.results(i);
      if (!result.code().empty()) {
        tally.fail(1, result.code() + ": " + result.message());
        continue;
      }
      ++stored;
      bytes += static_cast<int64_t>(request.records(i).value().size());
    }
    tally.add(stored, bytes, mono_ms() - sent_ms);
  };
  Publisher publisher(client, options, answered);
  const int64_t began_ms = mono_ms();
  Status status = send_load(load, began_ms, publisher, tally);
  Status finished = publisher.finish();
  if (status.ok()) status = finished;
  tally.print_summary(arguments.json(), began_ms);
  if (!status.ok()) return status;
  if (tally.failed() > 0) {
    return Status(Code::kInternal, std::to_string(tally.failed()) +
                                       " records were not stored; the first: " +
                                       tally.first_error());
  }
  return 0;
}

Result<int> bench_consume(const Arguments& arguments) {
  ASSIGN_OR_RETURN(int64_t seconds, arguments.number("seconds", 60, 1, 1'000'000));
  ReadingOptions options;
  options.stream = arguments.word(0);
  if (arguments.has("from-beginning")) options.from.set_earliest(true);
  else options.from.set_latest(true);
  options.until_end = arguments.has("until-end");
  Client client(arguments);
  Tally tally;
  const int64_t began_ms = mono_ms();
  int64_t shown_ms = began_ms;
  Reading reading(client, options, [&](const v1::ShardRecords& records) {
    int64_t bytes = 0;
    for (const auto& record : records.records()) {
      bytes += static_cast<int64_t>(record.value().size());
    }
    int64_t newest_ms = records.records(records.records_size() - 1).timestamp_ms();
    tally.add(records.records_size(), bytes, wall_ms() - newest_ms);
    if (mono_ms() - shown_ms >= 500) {
      shown_ms = mono_ms();
      tally.show(began_ms);
    }
    return mono_ms() - began_ms < seconds * 1000;
  });
  Status status = reading.run(began_ms + seconds * 1000);
  tally.print_summary(arguments.json(), began_ms);
  if (!status.ok()) return status;
  return 0;
}

}  // namespace

std::vector<Command> bench_commands() {
  return {
      {"bench produce",
       {"STREAM"},
       "Publish at a steady rate and measure acknowledgements",
       {{"rate-bytes", "SIZE", "bytes of values each second (default 1MiB)"},
        {"record-bytes", "SIZE", "bytes of each value (default 1024)"},
        {"seconds", "N", "how long (default 60)"},
        {"keys", "N", "number of different keys (default 1000; 0: records have none)"}},
       {"sluice bench produce clicks --rate-bytes 4MiB --record-bytes 1024 --seconds 60"},
       bench_produce},
      {"bench consume",
       {"STREAM"},
       "Read and measure; latency counts from the records' timestamps",
       {{"seconds", "N", "how long at most (default 60)"},
        {"from-beginning", "", "from the earliest record, not from now on"},
        {"until-end", "", "stop at what is the end now"}},
       {"sluice bench consume clicks --seconds 60"},
       bench_consume},
  };
}

}  // namespace broker::cli
