#pragma once
// Producer ids for this broker's clients, from blocks that the coordinator hands out: unique in the
// cluster, never reused. Owned by Context; reactor only.
#include <deque>
#include <functional>

#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

class ProducerIds {
 public:
  explicit ProducerIds(const Services& services) : services_(services) {}
  using Done = std::function<void(Result<int64_t>)>;
  // Perhaps before this returns. One request for a block is in flight at a time.
  void next(Done done);

 private:
  void ask_for_block();
  void on_block(Result<v1::AdminResponse> answer);

  const Services& services_;
  int64_t next_ = 0;
  int64_t end_ = 0;
  bool asking_ = false;
  std::deque<Done> waiting_;
};

}  // namespace broker::handlers::kafka
