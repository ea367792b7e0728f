#include "broker/groups/metadata_topics.h"

#include "broker/model/internal_streams.h"

namespace broker::groups {

std::optional<Topic> MetadataTopics::find(std::string_view name) const {
  cluster::StreamPtr stream = metadata_.find(name);
  if (!stream) return std::nullopt;
  Topic topic;
  topic.id = stream->id;
  topic.name = stream->name();
  topic.elastic = stream->elastic();
  for (const auto& shard : stream->map.shards()) {
    TopicShard& s = topic.shards.emplace_back();
    s.index = shard.index();
    s.parents.assign(shard.parents().begin(), shard.parents().end());
    if (shard.state() == cluster::v1::SHARD_STATE_CLOSED) s.closed_end = shard.end_offset();
  }
  return topic;
}

std::optional<std::string> MetadataTopics::name_of(const Uuid& id) const {
  cluster::StreamPtr stream = metadata_.find(id);
  if (!stream) return std::nullopt;
  return stream->name();
}

std::vector<std::string> MetadataTopics::names() const {
  std::vector<std::string> out;
  for (const auto& stream : metadata_.streams()) {
    if (is_internal_stream(stream->name()) && stream->name() != kConsumerOffsetsStream) continue;
    out.push_back(stream->name());
  }
  return out;
}

}  // namespace broker::groups
