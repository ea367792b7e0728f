#pragma once
// What the cluster's metadata says of streams, as the group machine asks for it. On the reactor.
#include "broker/cluster/metadata.h"
#include "broker/groups/core/topics.h"

namespace broker::groups {

class MetadataTopics : public Topics {
 public:
  explicit MetadataTopics(const cluster::Metadata& metadata) : metadata_(metadata) {}
  std::optional<Topic> find(std::string_view name) const override;
  std::optional<std::string> name_of(const Uuid& id) const override;
  std::vector<std::string> names() const override;

 private:
  const cluster::Metadata& metadata_;
};

}  // namespace broker::groups
