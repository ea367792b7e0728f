#pragma once
// One Publish stream: routes records to shards, appends them and answers requests in order. Made by
// the gRPC server's call; on the reactor.
// Invariant: of one stream, at most one batch per shard is on its way, and none to a shard while
// one is on its way to a shard it came from (split, merge). So what is retried is never overtaken
// by a later record of the same key. While a batch is on its way, records for that shard gather for
// the next. Batches carry a producer id and sequences of the flow's own, so that one that is sent
// again after a lost answer is stored once. Where its shard was closed meanwhile, the shard itself
// is asked again: it knows whether it has the batch, and only if not the records go to its children.
#include <deque>
#include <map>
#include <memory>

#include "broker/handlers/grpc/context.h"
#include "broker/handlers/grpc/partitioner.h"

namespace broker::handlers::grpc {

class PublishFlow : public std::enable_shared_from_this<PublishFlow> {
 public:
  struct Output {
    // Answers the oldest unanswered request, which had `request_bytes`.
    std::function<void(v1::PublishResponse, size_t request_bytes)> respond;
    // Ends the call, once; nothing else follows.
    std::function<void(const Status&)> finish;
  };
  PublishFlow(const Context& context, Output output);

  void on_request(v1::PublishRequest message, size_t request_bytes);
  // The client sends no more: the call ends once everything is answered.
  void on_half_close();
  // The client is gone: forgets all; appends on their way still happen.
  void cancel();

 private:
  struct Request {
    v1::PublishRequest message;
    v1::PublishResponse response;
    size_t bytes;
    int left;             // records without a result
    int64_t deadline_ms;  // mono; after it a record is not tried again
    int64_t began_us;
    bool routed = false;
    bool retried = false;  // what it waited for is not how long appending takes
  };
  struct Pending {
    Request* request;
    int index;
    coordination::HashKey hash;
  };
  // What is for one shard, in order.
  struct Lane {
    coordination::KeyRange keys;
    std::deque<Pending> waiting;
    std::vector<Pending> in_flight;  // one batch, kept until its outcome is known
    std::optional<env::TimerId> retry;  // the batch in flight is to be sent again
    bool uncertain = false;             // it may be stored: an answer was lost
    int64_t backoff_ms = 0;
    int64_t producer_id = -1;
    int32_t next_sequence = 0;
  };

  bool accept(const v1::PublishRequest& message);
  void find_stream(int64_t give_up_ms);
  void route_all();
  void route(Request& request);
  Lane& lane_for(int32_t shard);
  void on_stream_changed();
  void leave_closed_lanes();
  void pump();
  void pump(int32_t shard, Lane& lane);
  bool blocked(int32_t shard, const Lane& lane) const;
  void take_batch(Lane& lane);
  void send(int32_t shard, Lane& lane);
  void on_appended(int32_t shard, size_t bytes, const Result<partition::Appended>& result);
  void stored(int32_t shard, Lane& lane, Offset base);
  void retry_later(int32_t shard, Lane& lane, const Status& why);
  void send_again(int32_t shard);
  void expire(Lane& lane, const Status& why);
  void return_to_waiting(Lane& lane);
  void fail_in_flight(Lane& lane, const Status& why);
  // What a record that is given up is told: that it was refused, or that it may be stored.
  static Status outcome(const Lane& lane, const Status& why);
  void fail_record(const Pending& pending, const Status& why);
  void answer();
  void finish(const Status& status);

  const Context& context_;
  Output output_;
  std::string stream_name_;
  cluster::StreamPtr stream_;
  StreamWatch::Id watch_ = 0;
  Partitioner partitioner_;
  std::deque<std::unique_ptr<Request>> requests_;
  std::map<int32_t, Lane> lanes_;
  bool half_closed_ = false;
  bool ended_ = false;
};

}  // namespace broker::handlers::grpc
