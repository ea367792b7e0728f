#pragma once
// The operations of the Kinesis API: one overload of handle() each, in files by kind. A call is
// checked for its shape before it comes here (broker/protocol/kinesis); what needs to know streams
// is checked here, in AWS's words. Built by app, called by broker/server/kinesis; on the reactor.
#include <memory>
#include <variant>

#include "broker/handlers/kinesis/access.h"
#include "broker/handlers/kinesis/cluster_state.h"
#include "broker/handlers/kinesis/operation_rates.h"
#include "broker/handlers/kinesis/rescaler.h"
#include "broker/handlers/kinesis/streams.h"
#include "broker/handlers/kinesis/throttle.h"
#include "broker/handlers/kinesis/tokens.h"

namespace broker::handlers::kinesis {

class Handlers : public wire::Service {
 public:
  explicit Handlers(Services services);
  void handle(wire::CallPtr call) override;

  using Call = wire::CallPtr;
  template <class T>
  using Done = wire::Done<T>;

#define SLUICE_KINESIS_OPERATION(NAME) \
  void handle(const Call&, wire::NAME##Request&, Done<wire::NAME##Response>);
  // create_delete.cc
  SLUICE_KINESIS_OPERATION(CreateStream)
  SLUICE_KINESIS_OPERATION(DeleteStream)
  // describe.cc
  SLUICE_KINESIS_OPERATION(DescribeStream)
  SLUICE_KINESIS_OPERATION(DescribeStreamSummary)
  SLUICE_KINESIS_OPERATION(DescribeLimits)
  SLUICE_KINESIS_OPERATION(ListStreams)
  SLUICE_KINESIS_OPERATION(ListShards)
  // put.cc
  SLUICE_KINESIS_OPERATION(PutRecord)
  SLUICE_KINESIS_OPERATION(PutRecords)
  // get.cc
  SLUICE_KINESIS_OPERATION(GetShardIterator)
  SLUICE_KINESIS_OPERATION(GetRecords)
  // reshard.cc
  SLUICE_KINESIS_OPERATION(SplitShard)
  SLUICE_KINESIS_OPERATION(MergeShards)
  SLUICE_KINESIS_OPERATION(UpdateShardCount)
  // settings.cc
  SLUICE_KINESIS_OPERATION(IncreaseStreamRetentionPeriod)
  SLUICE_KINESIS_OPERATION(DecreaseStreamRetentionPeriod)
  SLUICE_KINESIS_OPERATION(StartStreamEncryption)
  SLUICE_KINESIS_OPERATION(StopStreamEncryption)
  SLUICE_KINESIS_OPERATION(EnableEnhancedMonitoring)
  SLUICE_KINESIS_OPERATION(DisableEnhancedMonitoring)
  SLUICE_KINESIS_OPERATION(UpdateStreamMode)
  SLUICE_KINESIS_OPERATION(UpdateStreamWarmThroughput)
  SLUICE_KINESIS_OPERATION(UpdateMaxRecordSize)
  SLUICE_KINESIS_OPERATION(DescribeAccountSettings)
  SLUICE_KINESIS_OPERATION(UpdateAccountSettings)
  // tags.cc
  SLUICE_KINESIS_OPERATION(AddTagsToStream)
  SLUICE_KINESIS_OPERATION(RemoveTagsFromStream)
  SLUICE_KINESIS_OPERATION(ListTagsForStream)
  SLUICE_KINESIS_OPERATION(TagResource)
  SLUICE_KINESIS_OPERATION(UntagResource)
  SLUICE_KINESIS_OPERATION(ListTagsForResource)
  // consumers.cc
  SLUICE_KINESIS_OPERATION(RegisterStreamConsumer)
  SLUICE_KINESIS_OPERATION(DeregisterStreamConsumer)
  SLUICE_KINESIS_OPERATION(DescribeStreamConsumer)
  SLUICE_KINESIS_OPERATION(ListStreamConsumers)
  SLUICE_KINESIS_OPERATION(SubscribeToShard)
  // policies.cc
  SLUICE_KINESIS_OPERATION(PutResourcePolicy)
  SLUICE_KINESIS_OPERATION(GetResourcePolicy)
  SLUICE_KINESIS_OPERATION(DeleteResourcePolicy)
#undef SLUICE_KINESIS_OPERATION

 private:
  // How a change went.
  using Changed = std::function<void(const std::optional<wire::Error>&)>;

  // ---- finding (find.cc) ----
  template <class T>
  using OrError = std::variant<T, wire::Error>;
  OrError<std::string> stream_name_of(const wire::Caller& caller, const std::string& name,
                                      const std::string& arn) const;
  // By name or ARN, and by id where one is given; empty: not given.
  void find_stream(const wire::Caller& caller, const std::string& name, const std::string& arn,
                   const std::string& id, std::function<void(OrError<StreamPtr>)> found);
  struct Search {
    wire::Caller caller;
    std::string name, id;
    int64_t give_up_ms;
    std::function<void(OrError<StreamPtr>)> found;
  };
  // Waits a moment for a stream that another broker may have just made.
  void find_by_name(Search search);
  template <class Request, class Response>
  void with_stream(const Request& request, const Done<Response>& done,
                   std::function<void(const StreamPtr&)> then);
  template <class Request, class Response>
  void with_active_stream(const Request& request, const Done<Response>& done,
                          std::function<void(const StreamPtr&)> then);
  struct Resource {
    StreamPtr stream;
    std::string consumer;  // empty: the stream itself
  };
  template <class Response>
  void with_resource(const std::string& arn, const Done<Response>& done,
                     std::function<void(const Resource&)> then);
  // Why the stream has no such consumer, or nothing.
  std::optional<wire::Error> check_consumer(const Resource& resource, const std::string& arn,
                                            int64_t created_s) const;

  template <class Request, class Response>
  void with_consumer(const Request& request, const Done<Response>& done,
                     std::function<void(const Resource&)> then);

  // ---- tags (tags.cc) ----
  void add_tags(const wire::Caller& caller, const Resource& resource,
                const std::map<std::string, std::string>& tags, Changed changed);
  void remove_tags(const wire::Caller& caller, const Resource& resource,
                   const std::vector<std::string>& keys, Changed changed);

  // ---- settings (settings.cc) ----
  void change_retention(const StreamPtr& stream, int32_t hours, Changed changed);
  template <class Request, class Response>
  void change_monitoring(const Request& request, bool enable, const Done<Response>& done);

  // ---- the account (create_delete.cc) ----
  struct Totals {
    int32_t shards = 0, provisioned_shards = 0, on_demand_streams = 0;
  };
  Totals totals() const;
  std::optional<wire::Error> check_shard_limit(int32_t more, const wire::Caller& caller) const;
  std::optional<wire::Error> check_create(const wire::CreateStreamRequest& request, bool on_demand,
                                          const wire::Caller& caller) const;

  // ---- resharding (reshard.cc) ----
  // Bounds within which the autoscaler may move; equal ones are a provisioned stream's.
  void set_bounds(const StreamPtr& stream, int32_t shards_min, int32_t shards_max, Changed changed);
  // Of an on-demand stream: as many shards as take so much, at once.
  void set_warm_throughput(const wire::Caller& caller, const std::string& name, int32_t mibps,
                           Changed changed);
  // Lets the stream have `open` shards, does it, and fixes the bounds there if they were fixed.
  void reshard(const StreamPtr& stream, int32_t open, v1::AdminRequest request, Changed changed);

  // ---- changing (change.cc) ----
  struct Change {
    std::map<std::string, std::string> set;
    std::vector<std::string> remove;
    // What the change was decided on: it is decided again when any of these has changed.
    std::vector<std::string> decided_on;
  };
  using Decide = std::function<OrError<Change>(const cluster::Stream&)>;
  // Changes attributes by compare-and-swap. `decide` sees the stream as it is now.
  void change_attributes(const wire::Caller& caller, const std::string& stream, Decide decide,
                         Changed changed);
  void try_change(const wire::Caller& caller, const std::string& stream, Decide decide, int attempt,
                  Changed changed);
  void update_config(const std::string& stream, const v1::StreamConfig& config,
                     std::vector<std::string> fields, Changed changed);
  void admin(v1::AdminRequest request, std::function<void(const Result<v1::AdminResponse>&)> done);
  template <class Response>
  static Changed respond_or_fail(const Done<Response>& done, Response response = {});

  // ---- reading (get.cc) ----
  struct Read;
  void resolve_iterator(const std::shared_ptr<Read>& read);
  void read_records(const std::shared_ptr<Read>& read);
  void on_fetched(const std::shared_ptr<Read>& read, const Result<partition::Fetched>& fetched);
  void on_out_of_range(const std::shared_ptr<Read>& read);
  void answer_records(const std::shared_ptr<Read>& read, const partition::Fetched* fetched);

  // ---- pages of lists (describe.cc) ----
  // Runs `then` with where to go on: an empty token when the call has none. Fails the call for a
  // token that is not ours, is another operation's, or has expired.
  template <class Response>
  void with_page(wire::Operation operation, const std::optional<std::string>& text,
                 const Done<Response>& done, std::function<void(const PageToken&)> then);
  // Answers with a token for the next page.
  template <class Response>
  void respond_with_page(const Done<Response>& done, Response response, PageToken next);
  void list_shards(const StreamPtr& stream, const wire::ListShardsRequest& request,
                   const PageToken& page, const Done<wire::ListShardsResponse>& done);

  Services services_;
  Access access_;
  Throttle throttle_;
  ClusterState state_;
  OperationRates rates_;
  KeyTables key_tables_;
  Rescaler rescaler_;
  uint32_t iterators_made_ = 0;
};

}  // namespace broker::handlers::kinesis
