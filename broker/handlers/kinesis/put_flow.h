#pragma once
// Puts the records of one call: each to the shard that takes its hash key, a shard's records in
// one batch in the order of the call. Records of a shard that is being split or merged wait for
// its children, together, so that the records of a key keep their order. Made per call by
// PutRecord and PutRecords; on the reactor.
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "broker/handlers/kinesis/streams.h"

namespace broker::handlers::kinesis {

// Of one record: where it is, or why not.
struct PutOutcome {
  Status status;
  int32_t shard = -1;  // also when the shard refused it
  Offset offset;
};

class PutFlow : public std::enable_shared_from_this<PutFlow> {
 public:
  using Finished = std::function<void(const cluster::Stream&, const std::vector<PutOutcome>&)>;
  // The hash keys of the records are checked already.
  PutFlow(Services& services, KeyTables& tables, StreamPtr stream,
          std::vector<wire::PutRecordsRequestEntry> records, Finished finished);
  void start();

 private:
  using Indexes = std::vector<size_t>;  // into records_, ascending
  void route(const Indexes& indexes);
  // Sends as many of them as a batch takes, then the others.
  void send(int32_t shard, Indexes indexes);
  size_t bytes_of(const Indexes& indexes) const;
  Result<std::string> build_batch(const Indexes& indexes, size_t& taken) const;
  void on_answer(int32_t shard, const Indexes& sent, Indexes rest,
                 const Result<partition::Appended>& result);
  void wait_for_children(Indexes indexes);
  void fail(const Indexes& indexes, int32_t shard, const Status& why);
  void one_less(size_t count);

  Services& services_;
  KeyTables& tables_;
  StreamPtr stream_;
  std::vector<wire::PutRecordsRequestEntry> records_;
  std::vector<coordination::HashKey> keys_;
  std::vector<PutOutcome> outcomes_;
  Finished finished_;
  size_t left_;
  int64_t deadline_ms_;
};

// The name of the record header that keeps an explicit hash key: the record's key alone does not
// tell its shard then.
inline constexpr std::string_view kExplicitHashKeyHeader = "kinesis-explicit-hash-key";

}  // namespace broker::handlers::kinesis
