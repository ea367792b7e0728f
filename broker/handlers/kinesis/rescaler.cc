#include "broker/handlers/kinesis/rescaler.h"

#include <algorithm>

#include "broker/base/log.h"
#include "broker/handlers/kinesis/attributes.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int64_t kAgainMs = 500;
constexpr size_t kStepsMax = 16;  // at a time

struct Piece {
  coordination::KeyRange range;
  int32_t shard;
};

std::vector<Piece> open_pieces(const cluster::Stream& stream) {
  std::vector<Piece> pieces;
  for (const auto& shard : stream.map.shards()) {
    if (shard.state() == v1::SHARD_STATE_OPEN) {
      pieces.push_back({range_of(stream, shard), shard.index()});
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.range.first < b.range.first; });
  return pieces;
}

bool is_resharding(const cluster::Stream& stream) {
  return std::any_of(stream.map.shards().begin(), stream.map.shards().end(),
                     [](const v1::Shard& s) { return s.state() == v1::SHARD_STATE_SEALING; });
}

int32_t target_of(const cluster::Stream& stream) {
  return static_cast<int32_t>(attributes::get_number(stream, attributes::kTargetShards, 0));
}

}  // namespace

std::vector<ReshardStep> next_steps(const cluster::Stream& stream, int32_t target) {
  auto ranges = coordination::split_equally({}, std::max(1, target));
  CHECK(ranges.ok());
  const auto pieces = open_pieces(stream);
  std::vector<ReshardStep> splits, merges;
  // First every shard is cut where the wanted ranges begin, then what lies in one is joined.
  for (const Piece& piece : pieces) {
    ReshardStep step{piece.shard, {}, -1};
    auto it = std::upper_bound(
        ranges->begin(), ranges->end(), piece.range.first,
        [](coordination::HashKey key, const auto& range) { return key < range.first; });
    for (; it != ranges->end() && it->first <= piece.range.last; ++it) {
      step.cut_at.push_back(coordination::format_hash_key(it->first));
    }
    if (!step.cut_at.empty()) splits.push_back(std::move(step));
  }
  if (!splits.empty()) return splits;
  size_t i = 0;
  for (const auto& range : *ranges) {
    std::vector<int32_t> inside;
    for (; i < pieces.size() && pieces[i].range.first <= range.last; ++i) {
      inside.push_back(pieces[i].shard);
    }
    for (size_t k = 0; k + 1 < inside.size(); k += 2) {
      merges.push_back({inside[k], {}, inside[k + 1]});
    }
  }
  return merges;
}

Rescaler::Rescaler(Services& services) : services_(services) {
  services_.metadata.add_listener([this](const cluster::Metadata::Change& change) {
    for (const auto& stream : change.changed) look(stream);
  });
  // A broker alone goes on leading after a restart: its maps do not change then.
  services_.executor.post([this] {
    for (const auto& stream : services_.metadata.streams()) look(stream);
  });
}

// Of all brokers one works: the leader of the first open shard.
bool Rescaler::is_ours(const cluster::Stream& stream) const {
  for (const auto& shard : stream.map.shards()) {
    if (shard.state() != v1::SHARD_STATE_OPEN) continue;
    return shard.has_leader() && shard.leader() == services_.self.value;
  }
  return false;
}

void Rescaler::look(const StreamPtr& stream) {
  if (stream->map.deleting() || target_of(*stream) <= 0 || !is_ours(*stream)) return;
  if (busy_.contains(stream->name())) return;
  later(stream->name(), 0);
}

void Rescaler::later(const std::string& name, int64_t delay_ms) {
  busy_.insert(name);
  services_.executor.schedule_after(delay_ms, [this, name] {
    busy_.erase(name);
    work(name);
  });
}

void Rescaler::work(const std::string& name) {
  auto stream = services_.metadata.find(name);
  if (!stream || !stream->elastic() || !is_ours(*stream)) return;
  const int32_t target = target_of(*stream);
  if (target <= 0) return;
  if (is_resharding(*stream)) return later(name, kAgainMs);
  auto steps = next_steps(*stream, target);
  if (steps.empty()) return finish(*stream, target);
  if (steps.size() > kStepsMax) steps.resize(kStepsMax);
  // The steps need room on the way.
  int32_t most = open_shards(*stream) + target;
  const auto& config = stream->map.config();
  busy_.insert(name);
  if (config.shards_min() == 1 && config.shards_max() >= most) return run(*stream, steps);
  v1::AdminRequest request;
  auto* update = request.mutable_update_stream();
  update->set_name(name);
  update->mutable_config()->set_shards_min(1);
  update->mutable_config()->set_shards_max(std::max(most, config.shards_max()));
  update->add_fields("shards_min");
  update->add_fields("shards_max");
  services_.admin(
      std::move(request), kAdminTimeoutMs,
      [this, name](Result<v1::AdminResponse> answer) { later(name, answer.ok() ? 0 : kAgainMs); });
}

void Rescaler::run(const cluster::Stream& stream, std::vector<ReshardStep> steps) {
  struct Round {
    size_t left;
    bool failed = false;
  };
  auto round = std::make_shared<Round>(Round{steps.size()});
  for (const ReshardStep& step : steps) {
    v1::AdminRequest request;
    if (step.cut_at.empty()) {
      auto* merge = request.mutable_merge_shards();
      merge->set_stream(stream.name());
      merge->set_index(step.shard);
      merge->set_adjacent(step.adjacent);
    } else {
      auto* split = request.mutable_split_shard();
      split->set_stream(stream.name());
      split->set_index(step.shard);
      for (const auto& key : step.cut_at) split->add_at(key);
    }
    services_.admin(std::move(request), kAdminTimeoutMs,
                    [this, round, name = stream.name()](Result<v1::AdminResponse> answer) {
                      if (!answer.ok()) {
                        round->failed = true;
                        log_warn("kinesis", "a step towards the wanted shard count failed",
                                 {{"stream", name}, {"error", answer.status().to_string()}});
                      }
                      if (--round->left == 0) later(name, round->failed ? kAgainMs : 0);
                    });
  }
}

// Bounds first: the attribute is what brings us back here.
void Rescaler::finish(const cluster::Stream& stream, int32_t target) {
  const std::string name = stream.name();
  const auto& config = stream.map.config();
  busy_.insert(name);
  auto done = [this, name](Result<v1::AdminResponse> answer) {
    later(name, answer.ok() ? 0 : kAgainMs);
  };
  v1::AdminRequest request;
  const int32_t most = is_on_demand(stream) ? std::max(target, config.shards_max()) : target;
  if (config.shards_min() != target || config.shards_max() != most) {
    auto* update = request.mutable_update_stream();
    update->set_name(name);
    update->mutable_config()->set_shards_min(target);
    update->mutable_config()->set_shards_max(most);
    update->add_fields("shards_min");
    update->add_fields("shards_max");
    return services_.admin(std::move(request), kAdminTimeoutMs, done);
  }
  auto* change = request.mutable_set_attributes();
  change->set_stream(name);
  change->add_remove(attributes::kTargetShards);
  (*change->mutable_expected())[attributes::kTargetShards] = std::to_string(target);
  services_.admin(std::move(request), kAdminTimeoutMs, done);
}

}  // namespace broker::handlers::kinesis
