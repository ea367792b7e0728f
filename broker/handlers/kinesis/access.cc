#include "broker/handlers/kinesis/access.h"

#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

using wire::Operation;
using Asked = security::Operation;
using security::Resource;

// AWS's words. `resource`: what stands after the account in the ARN.
wire::Error denied(const wire::Caller& caller, Operation operation, const std::string& resource) {
  const std::string action = "kinesis:" + std::string(wire::to_string(operation));
  const std::string user = caller.user.empty() ? "ANONYMOUS" : caller.user;
  return wire::access_denied("User: arn:aws:iam::" + caller.account + ":user/" + user +
                             " is not authorized to perform: " + action + " on resource: arn:aws:kinesis:" +
                             caller.region + ":" + caller.account + ":" + resource +
                             " because no identity-based policy allows the " + action + " action");
}

}  // namespace

// Every operation has its row: one without does not compile.
Right right_of(Operation operation) {
  switch (operation) {
    case Operation::kPutRecord:
    case Operation::kPutRecords:
      return {Asked::kWrite, Subject::kStream};
    case Operation::kGetRecords:
      return {Asked::kRead, Subject::kToken};
    case Operation::kGetShardIterator:
    case Operation::kSubscribeToShard:
    case Operation::kRegisterStreamConsumer:
      return {Asked::kRead, Subject::kStream};
    case Operation::kCreateStream:
      return {Asked::kCreate, Subject::kNewStream};
    case Operation::kDeleteStream:
      return {Asked::kDelete, Subject::kStream};
    case Operation::kSplitShard:
    case Operation::kMergeShards:
    case Operation::kUpdateShardCount:
      return {Asked::kAlter, Subject::kStream};
    case Operation::kListShards:
      return {Asked::kDescribe, Subject::kToken};
    case Operation::kDescribeStream:
    case Operation::kDescribeStreamSummary:
    case Operation::kDescribeStreamConsumer:
    case Operation::kListStreamConsumers:
    case Operation::kListTagsForStream:
    case Operation::kListTagsForResource:
    case Operation::kGetResourcePolicy:
      return {Asked::kDescribe, Subject::kStream};
    case Operation::kListStreams:
      return {Asked::kDescribe, Subject::kListed};
    case Operation::kDescribeLimits:
    case Operation::kDescribeAccountSettings:
      return {Asked::kDescribe, Subject::kCluster};
    case Operation::kUpdateAccountSettings:
      return {Asked::kAlterConfigs, Subject::kCluster};
    case Operation::kIncreaseStreamRetentionPeriod:
    case Operation::kDecreaseStreamRetentionPeriod:
    case Operation::kStartStreamEncryption:
    case Operation::kStopStreamEncryption:
    case Operation::kEnableEnhancedMonitoring:
    case Operation::kDisableEnhancedMonitoring:
    case Operation::kUpdateStreamMode:
    case Operation::kUpdateStreamWarmThroughput:
    case Operation::kUpdateMaxRecordSize:
    case Operation::kAddTagsToStream:
    case Operation::kRemoveTagsFromStream:
    case Operation::kTagResource:
    case Operation::kUntagResource:
    case Operation::kDeregisterStreamConsumer:
    case Operation::kPutResourcePolicy:
    case Operation::kDeleteResourcePolicy:
      return {Asked::kAlterConfigs, Subject::kStream};
  }
  return {Asked::kAlter, Subject::kCluster};
}

bool Access::allowed(const wire::Caller& caller, Asked operation, Resource resource,
                     std::string_view name) const {
  return !services_.authorizer ||
         services_.authorizer->allowed({caller.user, caller.host}, operation, resource, name);
}

bool Access::may_describe(const wire::Caller& caller, const std::string& stream) const {
  return allowed(caller, Asked::kDescribe, Resource::kTopic, stream);
}

std::optional<wire::Error> Access::check(const wire::Caller& caller, Operation operation,
                                         const std::string& stream) const {
  if (allowed(caller, right_of(operation).operation, Resource::kTopic, stream)) return std::nullopt;
  return denied(caller, operation, "stream/" + stream);
}

std::optional<wire::Error> Access::check(wire::Call& call) const {
  const Right right = right_of(call.operation());
  const bool cluster = allowed(call.caller(), right.operation, Resource::kCluster,
                               security::kClusterName);
  switch (right.subject) {
    case Subject::kListed:
      return std::nullopt;
    case Subject::kCluster:
      if (cluster) return std::nullopt;
      return denied(call.caller(), call.operation(), "*");
    case Subject::kNewStream:
      if (cluster) return std::nullopt;
      [[fallthrough]];
    case Subject::kStream:
    case Subject::kToken:
      break;
  }
  const std::string stream =
      std::visit([](const auto& request) { return name_in(request); }, call.request());
  // No name at all: a token has it, or the operation says that there is none.
  if (stream.empty()) return std::nullopt;
  return check(call.caller(), call.operation(), stream);
}

}  // namespace broker::handlers::kinesis
