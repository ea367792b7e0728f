#include "broker/cluster/zone_traffic.h"

#include <array>

#include "broker/base/bytes.h"
#include "broker/base/crc32c.h"
#include "broker/base/log.h"

namespace broker::cluster {
namespace {

// A file: u32 CRC of what follows, u64 sequence, u32 size, the counts as UsageReports. Bytes behind
// are left over from a longer state.
constexpr size_t kHeadBytes = 16;
constexpr uint64_t kFileBytesMax = 64 << 20;

}  // namespace

ZoneTraffic::ZoneTraffic(env::Executor& executor, env::FileSystem& fs, env::IoQueue& io,
                         Metadata& metadata, BrokerId self, Uuid directory)
    : executor_(executor),
      fs_(fs),
      io_(io),
      metadata_(metadata),
      self_(self),
      directory_(directory.to_string()),
      files_(std::make_shared<std::array<File, 3>>()) {
  metadata_.add_listener([this, alive = alive_](const Metadata::Change& change) {
    if (!*alive) return;
    for (const auto& stream : change.removed) counts_.erase(stream->id);
  });
}

ZoneTraffic::~ZoneTraffic() { *alive_ = false; }

Result<std::optional<std::pair<uint64_t, v1::UsageReports>>> ZoneTraffic::read(
    const std::string& path) {
  using Found = std::optional<std::pair<uint64_t, v1::UsageReports>>;
  ASSIGN_OR_RETURN(std::string bytes, env::read_file(fs_, path, kFileBytesMax));
  ByteReader in(bytes);
  const uint32_t crc = in.u32();
  const auto sequence = static_cast<uint64_t>(in.i64());
  const uint32_t size = in.u32();
  if (!in.ok() || size > in.remaining()) return Found();
  if (crc32c(std::string_view(bytes).substr(4, kHeadBytes - 4 + size)) != crc) return Found();
  v1::UsageReports counts;
  if (!counts.ParseFromString(bytes.substr(kHeadBytes, size))) return Found();
  return Found(std::pair(sequence, std::move(counts)));
}

Status ZoneTraffic::open(const std::string& dir) {
  const char* const names[] = {"/traffic-0", "/traffic-1", "/traffic-live"};
  for (size_t i = 0; i < files_->size(); ++i) {
    File& file = (*files_)[i];
    file.path = dir + names[i];
    const bool exists = fs_.exists(file.path);
    ASSIGN_OR_RETURN(file.file, fs_.open(file.path, env::OpenMode::kCreate));
    ASSIGN_OR_RETURN(uint64_t size, file.file->size());
    if (!exists || size == 0) continue;
    ASSIGN_OR_RETURN(auto found, read(file.path));
    if (!found) {
      log_warn("traffic", "a file was cut off while it was written", {{"file", file.path}});
      continue;
    }
    if (found->first < sequence_) continue;
    sequence_ = found->first;
    syncs_ = i == 1 ? 1 : 0;  // the next goes to the other one
    counts_.clear();
    for (const auto& entry : found->second.traffic()) {
      if (auto id = Uuid::parse(entry.stream_id())) counts_[*id] = entry.traffic();
    }
  }
  return fs_.sync_dir(dir);
}

void ZoneTraffic::to_broker(BrokerId to, const Uuid& stream, TrafficKind kind, size_t bytes) {
  const auto* peer = metadata_.find_broker(to);
  if (peer) to_zone(peer->zone(), stream, kind, bytes);
}

void ZoneTraffic::to_zone(const std::string& zone, const Uuid& stream, TrafficKind kind,
                          size_t bytes) {
  const auto* self = metadata_.find_broker(self_);
  if (zone.empty() || !self || self->zone().empty() || self->zone() == zone) return;
  const auto count = static_cast<int64_t>(bytes);
  auto& counts = counts_[stream];
  switch (kind) {
    case TrafficKind::kReplicated:
      counts.set_replicated_bytes(counts.replicated_bytes() + count);
      break;
    case TrafficKind::kForwarded:
      counts.set_forwarded_bytes(counts.forwarded_bytes() + count);
      break;
    case TrafficKind::kFetched:
      counts.set_fetched_bytes(counts.fetched_bytes() + count);
      break;
  }
  dirty_ = true;
  write_soon();
}

void ZoneTraffic::write_soon() {
  if (scheduled_) return;
  scheduled_ = true;
  executor_.schedule_after(kWriteMs, [this, alive = alive_] {
    if (!*alive) return;
    scheduled_ = false;
    write(false, [](Status) {});
  });
}

void ZoneTraffic::write(bool sync, std::function<void(Status)> done) {
  v1::UsageReports all;
  for (const auto& [id, traffic] : counts_) {
    auto* entry = all.add_traffic();
    entry->set_stream_id(id.to_string());
    *entry->mutable_traffic() = traffic;
    entry->mutable_traffic()->set_directory(directory_);
  }
  dirty_ = false;
  const std::string body = all.SerializeAsString();
  std::string rest;
  ByteWriter(rest).i64(static_cast<int64_t>(++sequence_));
  ByteWriter(rest).u32(static_cast<uint32_t>(body.size()));
  rest += body;
  auto bytes = std::make_shared<std::string>();
  ByteWriter(*bytes).u32(crc32c(rest));
  *bytes += rest;
  const size_t at = sync ? ++syncs_ % 2 : 2;
  io_.submit(
      [files = files_, bytes, sync, at] {
        env::File& file = *(*files)[at].file;
        const std::string_view pieces[] = {*bytes};
        RETURN_IF_ERROR(file.write_at(0, pieces));
        return sync ? file.sync() : Status();
      },
      [alive = alive_, done = std::move(done)](Status status) {
        if (!status.ok()) {
          log_warn("traffic", "the bytes between zones were not written",
                   {{"error", status.to_string()}});
        }
        if (*alive) done(status);
      });
}

void ZoneTraffic::report(std::function<void(v1::UsageReports)> done) {
  v1::UsageReports news;
  for (const auto& [id, traffic] : counts_) {
    auto stream = metadata_.find(id);
    if (!stream) continue;
    v1::ZoneTraffic known;
    for (const auto& entry : stream->map.metering().traffic()) {
      if (entry.directory() == directory_) known = entry;
    }
    if (traffic.replicated_bytes() <= known.replicated_bytes() &&
        traffic.forwarded_bytes() <= known.forwarded_bytes() &&
        traffic.fetched_bytes() <= known.fetched_bytes()) {
      continue;
    }
    auto* entry = news.add_traffic();
    entry->set_stream_id(id.to_string());
    *entry->mutable_traffic() = traffic;
    entry->mutable_traffic()->set_directory(directory_);
  }
  if (news.traffic().empty()) return;
  write(true, [news = std::move(news), done = std::move(done)](Status status) {
    if (status.ok()) done(news);
  });
}

void ZoneTraffic::flush(std::function<void()> done) {
  if (!dirty_) return done();
  write(true, [done = std::move(done)](Status) { done(); });
}

}  // namespace broker::cluster
