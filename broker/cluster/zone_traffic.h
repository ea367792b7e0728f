#pragma once
// Bytes that this broker sends to other zones, by stream, since its data directory was made. Counted
// in memory and written to DIR/traffic-live a moment later, so that a killed process loses at most
// that moment; what is reported is fsynced first, to DIR/traffic-0 and -1 in turn, so that no count
// which the coordinator has seen ever goes back. On the reactor, but for the I/O jobs.
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/cluster/metadata.h"
#include "broker/env/env.h"
#include "broker/proto/metering.pb.h"

namespace broker::cluster {

enum class TrafficKind { kReplicated, kForwarded, kFetched };

class ZoneTraffic {
 public:
  static constexpr int64_t kWriteMs = 100;

  ZoneTraffic(env::Executor& executor, env::FileSystem& fs, env::IoQueue& io, Metadata& metadata,
              BrokerId self, Uuid directory);
  ~ZoneTraffic();
  // Reads what was counted before this start; a damaged file is passed over.
  Status open(const std::string& dir);

  // Counts when both zones are known and differ.
  void to_broker(BrokerId to, const Uuid& stream, TrafficKind kind, size_t bytes);
  void to_zone(const std::string& zone, const Uuid& stream, TrafficKind kind, size_t bytes);
  // What the streams' maps do not have yet, once it is durable; `done` later, perhaps with nothing.
  void report(std::function<void(v1::UsageReports)> done);
  // Writes what was counted, for a clean stop.
  void flush(std::function<void()> done);

 private:
  struct File {
    std::string path;
    std::unique_ptr<env::File> file;
  };
  void write_soon();
  void write(bool sync, std::function<void(Status)> done);
  Result<std::optional<std::pair<uint64_t, v1::UsageReports>>> read(const std::string& path);

  env::Executor& executor_;
  env::FileSystem& fs_;
  env::IoQueue& io_;
  Metadata& metadata_;
  const BrokerId self_;
  const std::string directory_;
  std::map<Uuid, v1::ZoneTraffic> counts_;
  std::shared_ptr<std::array<File, 3>> files_;  // 0, 1, live
  uint64_t sequence_ = 0, syncs_ = 0;
  bool dirty_ = false, scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace broker::cluster
