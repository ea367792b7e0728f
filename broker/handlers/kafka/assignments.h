#pragma once
// Replicas that an administrator places by hand when a topic or partitions are made. Pure checks in
// Kafka's words, and the wish that the coordinator is then asked for, partition by partition: what was
// placed so stays there (ReassignShard). Used by CreateTopics and CreatePartitions on the reactor.
#include <cstdint>
#include <string>
#include <vector>

#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

struct Refusal {
  Error error = Error::kNone;
  std::string message;
};

// The brokers of partition first + i, the preferred leader before the others.
using Assignments = std::vector<std::vector<int32_t>>;

// Every broker is known and named once per partition; as many replicas everywhere as `copies` says
// (0: as the first partition has).
Refusal check_assignments(const cluster::Metadata& metadata, const Assignments& assignments,
                          int32_t copies);

// Asks for partitions first, first + 1, … of the stream. `fail` hears of one that could not be placed.
template <class Batch, class Fail>
void place(Batch& batch, const std::string& stream, int32_t first, const Assignments& assignments,
           Fail fail) {
  for (size_t i = 0; i < assignments.size(); ++i) {
    v1::AdminRequest ask;
    v1::ReassignShard& wish = *ask.mutable_reassign_shard();
    wish.set_stream(stream);
    wish.set_index(first + static_cast<int32_t>(i));
    wish.mutable_brokers()->Assign(assignments[i].begin(), assignments[i].end());
    batch.ask(std::move(ask), [fail](const Result<v1::AdminResponse>& answer) {
      if (answer.ok()) return;
      bool bad = answer.code() == Code::kInvalidArgument;
      fail(Refusal{bad ? Error::kInvalidReplicaAssignment : admin_error(answer.code()),
                   "made, but not placed as asked: " + answer.status().message()});
    });
  }
}

}  // namespace broker::handlers::kafka
