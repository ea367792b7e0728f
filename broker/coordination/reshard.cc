// Split, merge and retile (rule 13): intent written, leaders seal, one write closes the parents and
// opens the children.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {

void Core::step_sealing(Stream& stream, const Shard& shard) {
  auto family = reshard_family(stream.map, shard.index());
  if (family.empty() || family.front() != shard.index()) return;  // the first one acts for all
  std::vector<SealedShard> sealed;
  for (int32_t index : family) {
    const Live& live = stream.live[index];
    const Shard* parent = find_shard_by_index(stream.map, index);
    if (live.busy || !live.report || live.report->term() != parent->term() ||
        live.report->sealed_end_offset() <= 0) {
      return;
    }
    sealed.push_back({index, live.report->sealed_end_offset()});
  }
  for (int32_t index : family) stream.live[index].busy = true;
  const std::string id = stream.map.stream_id();
  Edit edit;
  edit.what = "open children";
  edit.apply = [sealed, time = clock_.wall_ms()](ShardMap& map) {
    return open_children(map, sealed, time);
  };
  edit.done = [this, id, family](const Status& status) {
    Stream* stream = find_stream_by_id(id);
    if (!stream) return;
    for (int32_t index : family) stream->live[index].busy = false;
    stream->dirty = true;
    const Shard* parent = find_shard_by_index(stream->map, family.front());
    if (!status.ok() || !parent) return;
    log_info("coordinator", "shards opened",
             {{"stream", stream->map.stream()},
              {"parent", family.front()},
              {"parents", family.size()},
              {"children", parent->reshard_into_size()},
              {"first_child", parent->children(0)}});
  };
  queue(stream, std::move(edit));
}

void Core::queue_reshard(Stream& stream, std::function<Status(ShardMap&)> intend,
                         PendingAdmin pending) {
  pending.kind = PendingAdmin::kReshard;
  pending.stream = stream.map.stream();
  pending.stream_id = stream.map.stream_id();
  Edit edit;
  edit.what = "intend to replace shards";
  edit.apply = std::move(intend);
  edit.done = [this, pending](const Status& status) {
    if (!status.ok()) return answer(pending, status);
    await(pending);
  };
  queue(stream, std::move(edit));
}

void Core::queue_split(Stream& stream, const sluice::v1::SplitShard& request,
                       PendingAdmin pending) {
  std::vector<std::string> at(request.at().begin(), request.at().end());
  auto ranges = ranges_of_split(stream.map, request.index(), at, request.into());
  if (!ranges.ok()) return answer(pending, ranges.status());
  pending.shards = {request.index()};
  queue_reshard(
      stream,
      [index = request.index(), into = *ranges](ShardMap& map) {
        return begin_split(map, index, into);
      },
      std::move(pending));
}

void Core::queue_merge(Stream& stream, const sluice::v1::MergeShards& request,
                       PendingAdmin pending) {
  pending.shards = {request.index(), request.adjacent()};
  queue_reshard(
      stream,
      [index = request.index(), other = request.adjacent()](ShardMap& map) {
        return begin_merge(map, index, other);
      },
      std::move(pending));
}

void Core::queue_retile(Stream& stream, const sluice::v1::RetileShards& request,
                        PendingAdmin pending) {
  const std::vector<int32_t> indexes(request.indexes().begin(), request.indexes().end());
  auto ranges =
      ranges_of_retile(stream.map, indexes, {request.at().begin(), request.at().end()});
  if (!ranges.ok()) return answer(pending, ranges.status());
  pending.shards = indexes;
  queue_reshard(
      stream,
      [indexes, into = *ranges](ShardMap& map) { return begin_retile(map, indexes, into); },
      std::move(pending));
}

}  // namespace broker::coordination
