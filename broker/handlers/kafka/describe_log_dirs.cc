// DescribeLogDirs: what this broker keeps, in its one data directory; AlterReplicaLogDirs, which for
// that reason has nowhere to move a replica to.
#include <algorithm>

#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::DescribeLogDirsRequest;
using Response = wire::DescribeLogDirsResponse;

bool wants(const Request& request, const std::string& topic, int32_t partition) {
  if (!request.topics) return true;
  return std::any_of(request.topics->begin(), request.topics->end(), [&](const auto& asked) {
    const auto& list = asked.partitions;
    return asked.topic == topic && std::find(list.begin(), list.end(), partition) != list.end();
  });
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  const Services& services = context.services;
  Response response;
  auto& dir = response.results.emplace_back();
  dir.log_dir = services.options.data_dir;
  uint64_t kept = 0;
  for (const auto& stream : services.metadata.streams()) {
    Response::Result::Topic topic;
    topic.name = stream->name();
    for (const v1::Shard& shard : stream->map.shards()) {
      partition::Partition* partition = services.find_partition({stream->id, shard.index()});
      if (!partition) continue;
      kept += partition->bytes();
      if (!wants(request, stream->name(), shard.index())) continue;
      auto& one = topic.partitions.emplace_back();
      one.partition_index = shard.index();
      one.partition_size = static_cast<int64_t>(partition->bytes());
      int64_t behind = partition->high_watermark().value - partition->log_end().value;
      one.offset_lag = std::max<int64_t>(behind, 0);
    }
    if (!topic.partitions.empty()) dir.topics.push_back(std::move(topic));
  }
  if (auto free = services.disk_free ? services.disk_free() : Result<uint64_t>(uint64_t{0});
      free.ok()) {
    dir.usable_bytes = static_cast<int64_t>(*free);
    dir.total_bytes = static_cast<int64_t>(*free + kept);
  }
  respond(*exchange, response);
}

void handle(Context& context, const ExchangePtr& exchange,
            wire::AlterReplicaLogDirsRequest request) {
  wire::AlterReplicaLogDirsResponse response;
  for (const auto& dir : request.dirs) {
    bool ours = dir.path == context.services.options.data_dir;
    for (const auto& asked : dir.topics) {
      auto& topic = response.results.emplace_back();
      topic.topic_name = asked.name;
      TopicRef ref = find_topic(context.services.metadata, asked.name, {}, false);
      for (int32_t index : asked.partitions) {
        Error error = ours ? Error::kNone : Error::kLogDirNotFound;
        if (!ref.stream || !context.services.find_partition({ref.stream->id, index})) {
          error = Error::kReplicaNotAvailable;
        }
        topic.partitions.push_back({index, exchange->fail(error), {}});
      }
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
