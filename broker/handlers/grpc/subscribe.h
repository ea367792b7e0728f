#pragma once
// One Subscribe stream: a read loop per shard, records out as credit allows, children after their
// parents. Made by the gRPC server's call; on the reactor.
// Invariants: a shard's records go out in offset order, once; a child begins only after every one
// of its ancestors in this subscription was read to its end; nothing is sent without credit, except
// that what was begun with credit left may exceed it by one batch.
#include <deque>
#include <map>
#include <memory>

#include "broker/handlers/grpc/context.h"
#include "broker/proto/sluice.pb.h"

namespace broker::handlers::grpc {

class SubscribeFlow : public std::enable_shared_from_this<SubscribeFlow> {
 public:
  struct Output {
    // `bytes` come back through on_sent() once the transport has taken them.
    std::function<void(v1::SubscribeResponse, size_t bytes)> send;
    // Ends the call, once, after what was sent; nothing else follows.
    std::function<void(const Status&)> finish;
  };
  SubscribeFlow(const Context& context, Output output);

  void on_request(const v1::SubscribeRequest& request);
  void on_sent(size_t bytes);
  // The client sends no more credit: the call ends when it has none left.
  void on_half_close();
  // The client is gone.
  void cancel();

 private:
  enum class Stage {
    kWaiting,    // for its parents
    kResolving,  // its first offset is being asked for
    kReading,
    kEnded,
  };
  struct Reader {
    int32_t index = 0;
    Stage stage = Stage::kWaiting;
    v1::ShardPosition from;
    Offset position;
    Offset high_watermark;
    bool caught_up = false;
    bool reading = false;
    bool ready = false;  // in ready_
    bool sent_any = false;
    std::deque<Batch> batches;
    int64_t backoff_ms = 0;
    int64_t read_began_ms = 0;
  };

  void begin(int64_t give_up_ms);
  bool add_readers();
  bool add_reader(const v1::ShardPosition& from);
  void on_stream_changed();
  void start_waiting();
  bool may_start(int32_t index) const;
  void resolve(Reader& reader);
  void on_offsets(int32_t index, Result<routing::ShardOffsets> offsets);
  // Of the record that the reader's sequence number names.
  Result<Offset> offset_of(const Reader& reader) const;
  void refuse_offset(const Reader& reader, Offset wanted, const routing::ShardOffsets& offsets);
  void ask_timestamp(Reader& reader);
  void on_offset_at(int32_t index, Result<Offset> offset);
  void begin_at(Reader& reader, Offset position);
  void advance(Reader& reader);
  void read(Reader& reader);
  void on_read(int32_t index, Result<partition::Fetched> fetched);
  void out_of_range(Reader& reader);
  bool at_end(const Reader& reader) const;
  void end_shard(Reader& reader);
  void send_ready();
  Status send_records(Reader& reader);
  Status take_records(Reader& reader, v1::ShardRecords& out);
  void send(v1::SubscribeResponse event, size_t bytes);
  // Runs `next` on the reader after a growing delay.
  void later(Reader& reader, void (SubscribeFlow::*next)(Reader&));
  template <class T>
  std::function<void(Result<T>)> on_reactor(int32_t index,
                                            void (SubscribeFlow::*then)(int32_t, Result<T>));
  ShardId id_of(const Reader& reader) const { return ShardId{stream_->id, reader.index}; }
  std::string name_of(const Reader& reader) const;
  void finish(const Status& status);

  const Context& context_;
  Output output_;
  v1::SubscribeRequest request_;
  bool started_ = false;
  cluster::StreamPtr stream_;
  StreamWatch::Id watch_ = 0;
  std::map<int32_t, Reader> readers_;
  std::deque<int32_t> ready_;  // shards with batches to send, in turn
  int64_t credit_ = 0;
  size_t unsent_bytes_ = 0;
  bool half_closed_ = false;
  bool ended_ = false;
};

}  // namespace broker::handlers::grpc
