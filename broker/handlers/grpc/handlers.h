#pragma once
// The native API on the reactor, without gRPC itself: unary calls as functions, Publish and
// Subscribe as flows. Built by app, called by broker/server/grpc.
#include <functional>
#include <memory>

#include "broker/handlers/grpc/publish.h"
#include "broker/handlers/grpc/subscribe.h"
#include "broker/proto/sluice.pb.h"

namespace broker::handlers::grpc {

// Runs once, on the reactor, perhaps before the call returns.
template <class Response>
using Done = std::function<void(Result<Response>)>;

class Handlers {
 public:
  struct Parts {
    env::Clock& clock;
    env::Executor& executor;
    cluster::Metadata& metadata;
    Shards& shards;
    Metrics& metrics;
    AdminCall admin;  // Session::admin
    env::Random& random;
  };
  Handlers(BrokerId self, Parts parts);

  void create_stream(const v1::CreateStreamRequest& request, Done<v1::DescribeStreamResponse> done);
  void delete_stream(const v1::DeleteStreamRequest& request, Done<v1::DeleteStreamResponse> done);
  void update_stream(const v1::UpdateStreamRequest& request, Done<v1::DescribeStreamResponse> done);
  void list_streams(const v1::ListStreamsRequest& request, Done<v1::ListStreamsResponse> done);
  void describe_stream(const v1::DescribeStreamRequest& request,
                       Done<v1::DescribeStreamResponse> done);
  void split_shard(const v1::SplitShardRequest& request, Done<v1::ReshardResponse> done);
  void merge_shards(const v1::MergeShardsRequest& request, Done<v1::ReshardResponse> done);
  void place_shard(const v1::PlaceShardRequest& request, Done<v1::PlaceShardResponse> done);
  void describe_cluster(const v1::DescribeClusterRequest& request,
                        Done<v1::DescribeClusterResponse> done);
  void describe_bill(const v1::DescribeBillRequest& request, Done<v1::Bill> done);

  // Shards that a call makes, removes, splits or merges.
  template <class Request>
  int64_t mutations(const Request&) const {
    return 0;
  }
  int64_t mutations(const v1::CreateStreamRequest& request) const;
  int64_t mutations(const v1::DeleteStreamRequest& request) const;
  int64_t mutations(const v1::SplitShardRequest& request) const;
  int64_t mutations(const v1::MergeShardsRequest&) const { return 1; }

  std::shared_ptr<PublishFlow> publish(PublishFlow::Output output);
  std::shared_ptr<SubscribeFlow> subscribe(SubscribeFlow::Output output);

  env::Executor& executor() { return context_.executor; }

 private:
  void describe_when_known(std::string name, int64_t give_up_ms,
                           Done<v1::DescribeStreamResponse> done);
  void describe(const cluster::StreamPtr& stream, Done<v1::DescribeStreamResponse> done);
  void reshard(v1::AdminRequest request, Done<v1::ReshardResponse> done);
  void set_limits(const std::string& stream, const std::string& limits,
                  Done<v1::DescribeStreamResponse> done);

  FlowMetrics flow_metrics_;
  StreamWatch watch_;
  ProducerIds producer_ids_;
  Context context_;
};

}  // namespace broker::handlers::grpc
