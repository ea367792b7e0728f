// Streams as declared against the maps there are: created, changed, deleted until they agree.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "broker/base/log.h"
#include "broker/base/uuid.h"
#include "broker/coordination/core.h"

namespace broker::coordination {
namespace {
constexpr int64_t kDropMs = 500;        // brokers that are here drop their replicas within that
constexpr int64_t kDropMsMax = 10'000;  // brokers that are not drop them when they come back
}  // namespace

void Core::stream_declared(const StreamDeclaration& declaration) {
  // A resource that a client had created comes back without the attributes that it was to get.
  StreamDeclaration& entry = declared_[declaration.name];
  auto attributes = std::move(entry.attributes);
  entry = declaration;
  if (entry.attributes.empty()) entry.attributes = std::move(attributes);
  streams_dirty_ = true;
  settle();
}

void Core::stream_withdrawn(const std::string& name, bool keep_data) {
  declared_.erase(name);
  problems_.erase(name);
  for (auto& [id, stream] : streams_) {
    if (stream.name != name || stream.map.deleting()) continue;
    stream.withdrawn = true;
    stream.keep_data = keep_data;
    stream.dirty = true;
  }
  settle();
}

// Whether the default replication can be told: soon after the start some brokers may be missing.
bool Core::brokers_known() const {
  if (defaults_.replication > 0 || now() - started_ms_ >= options_.grace_ms) return true;
  return std::any_of(peers_.begin(), peers_.end(), [](const auto& e) { return e.second.expected; });
}

StreamConfig Core::resolve(const StreamConfig& wanted, const ShardMap* existing) const {
  StreamConfig out = wanted;
  const StreamConfig* now = existing ? &existing->config() : nullptr;
  if (out.mode() == sluice::v1::STREAM_MODE_UNSPECIFIED) {
    out.set_mode(now ? now->mode() : sluice::v1::STREAM_MODE_PARTITIONED);
  }
  const bool elastic = out.mode() == sluice::v1::STREAM_MODE_ELASTIC;
  if (out.replication() == 0) {
    int brokers = 0;
    for (const auto& [id, peer] : peers_) brokers += peer.expected || peer.registered ? 1 : 0;
    int wished = defaults_.replication > 0 ? defaults_.replication : std::clamp(brokers, 1, 3);
    out.set_replication(now ? now->replication() : wished);
  }
  // What nobody has set follows the defaults, and says so.
  out.clear_defaulted();
  auto unset = [&](const char* field, bool is_zero) {
    const auto& names = wanted.defaulted();
    if (!is_zero && std::find(names.begin(), names.end(), field) == names.end()) return false;
    out.add_defaulted(field);
    return true;
  };
  if (unset("min_insync", out.min_insync() == 0)) {
    out.set_min_insync(std::min(defaults_.min_insync, out.replication()));
  }
  if (unset("retention_ms", out.retention_ms() == 0)) out.set_retention_ms(defaults_.retention_ms);
  if (unset("retention_bytes", out.retention_bytes() == 0)) out.set_retention_bytes(-1);
  if (unset("record_bytes_max", out.record_bytes_max() == 0)) {
    out.set_record_bytes_max(defaults_.record_bytes_max);
  }
  if (elastic) {
    if (out.shards_min() == 0) out.set_shards_min(1);
    if (out.shards_max() == 0) {
      out.set_shards_max(std::max({defaults_.shards_max, out.shards_min(), out.partitions()}));
    }
    // The number of shards at creation; afterwards splits and merges decide.
    if (out.partitions() == 0) out.set_partitions(out.shards_min());
    if (now) out.set_partitions(now->partitions());
  } else if (out.partitions() == 0) {
    out.set_partitions(now ? now->partitions() : 1);
  }
  return out;
}

void Core::reconcile_streams() {
  for (const auto& [name, declaration] : declared_) reconcile_stream(declaration);
}

void Core::reconcile_stream(const StreamDeclaration& declaration) {
  const std::string& name = declaration.name;
  auto set_problem = [&](const std::string& text, bool waits = false) {
    const Problem problem{text, waits && !text.empty()};
    auto it = problems_.find(name);
    if ((it == problems_.end() ? Problem() : it->second) == problem) return;
    if (text.empty()) {
      problems_.erase(it);
    } else {
      problems_[name] = problem;
    }
    something_changed_ = true;
  };
  auto set_outcome = [&](const Status& status) {
    set_problem(status.message(), status.code() == Code::kUnavailable);
  };
  Stream* stream = find_stream(name);
  if (!stream) {
    for (const auto& [id, other] : streams_) {
      if (other.name != name) continue;
      if (other.stored()) set_problem("the stream that had this name is still being deleted", true);
      return;  // or our creation is under way
    }
    if (declaration.config.replication() == 0 && !brokers_known()) {
      return set_problem("waiting for brokers, whose number decides the replication", true);
    }
    return set_outcome(create_map(declaration, resolve(declaration.config, nullptr)));
  }
  StreamConfig config = resolve(declaration.config, &stream->map);
  if (google::protobuf::util::MessageDifferencer::Equals(config, stream->map.config())) {
    return set_problem("");
  }
  if (stream->writing || !stream->queued.empty()) return;
  set_outcome(change_map(*stream, config));
}

Status Core::create_map(const StreamDeclaration& declaration, const StreamConfig& config) {
  const std::string& name = declaration.name;
  RETURN_IF_ERROR(check_stream_name(name));
  RETURN_IF_ERROR(check_config(config));
  ASSIGN_OR_RETURN(auto ensembles,
                   place_shards(maps(), broker_infos(), config.partitions(), config.replication()));
  const uint64_t high = random_.next();
  const std::string id = Uuid::from_random(high, random_.next()).to_string();
  ASSIGN_OR_RETURN(ShardMap map,
                   make_map({id, name, options_.cluster, config, clock_.wall_ms()}, ensembles));
  RETURN_IF_ERROR(change_attributes(map, {declaration.attributes, {}, {}}));
  Stream& stream = streams_[id];
  stream.name = name;
  disturbed();
  Edit edit;
  edit.what = "create stream";
  edit.apply = [map](ShardMap& out) {
    out = map;
    return Status();
  };
  edit.done = [this, map](const Status& status) {
    log_info("coordinator", "stream created",
             {{"stream", map.stream()},
              {"id", map.stream_id()},
              {"shards", map.shards_size()},
              {"status", status.to_string()}});
    streams_dirty_ = true;
  };
  queue(stream, std::move(edit));
  return {};
}

Status Core::change_map(Stream& stream, const StreamConfig& config) {
  ShardMap trial = stream.map;
  RETURN_IF_ERROR(update_config(trial, config));
  std::vector<std::vector<Replica>> ensembles;
  if (config.mode() == sluice::v1::STREAM_MODE_PARTITIONED) {
    int more = config.partitions() - stream.map.config().partitions();
    ASSIGN_OR_RETURN(ensembles,
                     place_shards(maps(), broker_infos(), std::max(more, 0), config.replication()));
  }
  Edit edit;
  edit.what = "change stream";
  edit.apply = [config, ensembles, time = clock_.wall_ms()](ShardMap& map) {
    int more = config.partitions() - map.config().partitions();
    if (!ensembles.empty() && more != static_cast<int>(ensembles.size())) {
      return Status(Code::kConflict, "the number of partitions has changed meanwhile");
    }
    RETURN_IF_ERROR(update_config(map, config));
    return ensembles.empty() ? Status() : add_partitions(map, ensembles, time);
  };
  queue(stream, std::move(edit));
  return {};
}

// deleting = true -> brokers drop what they have -> the map goes. Kept data: the map goes at once.
void Core::step_deletion(Stream& stream) {
  if (stream.writing || !stream.queued.empty() || stream.retry_ms >= 0) return;
  if (stream.keep_data && !stream.map.deleting()) return remove_map(stream);
  if (!stream.map.deleting()) {
    Edit edit;
    edit.what = "delete stream";
    edit.apply = [](ShardMap& map) {
      map.set_deleting(true);
      return Status();
    };
    return queue(stream, std::move(edit));
  }
  if (stream.deleting_since_ms < 0) stream.deleting_since_ms = now();
  bool everybody = true;
  for (const auto& shard : stream.map.shards()) {
    for (const auto& replica : voters_of(shard)) everybody &= live_session(replica) != nullptr;
  }
  if (now() - stream.deleting_since_ms >= (everybody ? kDropMs : kDropMsMax)) remove_map(stream);
}

void Core::remove_map(Stream& stream) {
  if (!fold_into_ledger(stream)) return;  // once more when that is durable
  stream.removing = stream.writing = true;
  store_.remove_map(
      stream.map.stream_id(), stream.map.stream(), stream.version,
      [this, id = stream.map.stream_id(), alive = alive_](Status status) {
        if (!*alive) return;
        observer_->metadata_written(status.ok() ? "ok" : "error");
        Stream* stream = find_stream_by_id(id);
        CHECK(stream);
        stream->removing = stream->writing = false;
        if (status.ok() || status.code() == Code::kNotFound) {
          log_info("coordinator", "stream removed", {{"stream", stream->name}, {"id", id}});
          forget_stream(id);
        } else {
          read_again(*stream);
        }
        settle();
      });
}

void Core::forget_stream(const std::string& id) {
  streams_.erase(id);
  if (metering::forget_folded(ledger_, id)) ledger_dirty_ = true;
  push_removed(id);
  disturbed();
  streams_dirty_ = true;
  something_changed_ = true;
}

}  // namespace broker::coordination
