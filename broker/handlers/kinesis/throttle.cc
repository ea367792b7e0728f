#include "broker/handlers/kinesis/throttle.h"

#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

using quotas::Quota;
using wire::Operation;

quotas::Client client_of(const wire::Caller& caller) { return {caller.user, caller.access_key}; }

bool is_about_records(Operation operation) {
  return operation == Operation::kPutRecord || operation == Operation::kPutRecords ||
         operation == Operation::kGetRecords || operation == Operation::kGetShardIterator;
}

// Shards that a call makes, removes, splits or merges.
struct Mutations {
  const cluster::Metadata& metadata;
  template <class Request>
  int64_t operator()(const Request&) const {
    return 0;
  }
  int64_t operator()(const wire::CreateStreamRequest& request) const {
    return request.shard_count.value_or(1);
  }
  int64_t operator()(const wire::DeleteStreamRequest& request) const {
    auto stream = metadata.find(name_in(request));
    return stream ? stream->map.shards_size() : 0;
  }
  int64_t operator()(const wire::SplitShardRequest&) const { return 2; }
  int64_t operator()(const wire::MergeShardsRequest&) const { return 1; }
  int64_t operator()(const wire::UpdateShardCountRequest& request) const {
    return request.target_shard_count;
  }
};

}  // namespace

std::optional<wire::Error> Throttle::over(Quota quota, wire::Call& call) const {
  if (services_.quotas->refusal_ms(quota, client_of(call.caller())) == 0) return std::nullopt;
  const std::string user = call.caller().user.empty() ? "ANONYMOUS" : call.caller().user;
  const std::string message = "Rate exceeded: the quota " + std::string(to_string(quota)) +
                              " of user " + user + " under account " + call.caller().account +
                              " is used up.";
  return is_about_records(call.operation()) ? wire::provisioned_throughput_exceeded(message)
                                            : wire::limit_exceeded(message);
}

std::optional<wire::Error> Throttle::admit(wire::Call& call) const {
  if (!services_.quotas) return std::nullopt;
  if (auto error = over(Quota::kRequestPercentage, call)) return error;
  const Operation operation = call.operation();
  if (operation == Operation::kPutRecord || operation == Operation::kPutRecords) {
    return over(Quota::kProducerByteRate, call);
  }
  if (operation == Operation::kGetRecords) return over(Quota::kConsumerByteRate, call);
  if (!services_.quotas->any(Quota::kControllerMutationRate)) return std::nullopt;
  const int64_t shards = std::visit(Mutations{services_.metadata}, call.request());
  if (shards == 0) return std::nullopt;
  if (auto error = over(Quota::kControllerMutationRate, call)) return error;
  services_.quotas->record(Quota::kControllerMutationRate, client_of(call.caller()),
                           static_cast<double>(shards));
  return std::nullopt;
}

void Throttle::put(const wire::Caller& caller, size_t bytes) const {
  if (!services_.quotas) return;
  services_.quotas->record(Quota::kProducerByteRate, client_of(caller), static_cast<double>(bytes));
}

void Throttle::got(const wire::Caller& caller, size_t bytes) const {
  if (!services_.quotas) return;
  services_.quotas->record(Quota::kConsumerByteRate, client_of(caller), static_cast<double>(bytes));
}

bool Throttle::counts_work() const {
  return services_.quotas && services_.quotas->any(Quota::kRequestPercentage);
}

void Throttle::worked(const wire::Caller& caller, int64_t work_us) const {
  services_.quotas->record_work(client_of(caller), work_us);
}

}  // namespace broker::handlers::kinesis
