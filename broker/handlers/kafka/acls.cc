// DescribeAcls, CreateAcls, DeleteAcls. ACLs are those of users' resources: what is described is
// what this broker enforces, what is changed is changed there, by the coordinator.
#include <map>
#include <set>

#include "broker/cluster/session.h"
#include "broker/handlers/kafka/acl_bindings.h"
#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/security/acls/acls.h"

namespace broker::handlers::kafka {
namespace {

constexpr const char* kNoAuthorizer = "No Authorizer is configured.";  // Kafka's words

constexpr int32_t kTimeoutMs = 30'000;  // the APIs carry none

bool has_acls(const Services& services) {
  return services.authorizer && services.authorizer->enforcing();
}

// Why nothing of a request can be changed; kNone: it can.
std::pair<Error, std::string> reason_to_refuse(const Services& services, const Exchange& exchange) {
  if (!allowed_on_cluster(services, exchange, Operation::kAlter)) {
    return {Error::kClusterAuthorizationFailed, "Cluster authorization failed."};
  }
  if (!has_acls(services)) return {Error::kSecurityDisabled, kNoAuthorizer};
  return {Error::kNone, ""};
}

// What a client is told of the coordinator's refusal. That the operator may not edit a resource is
// no lack of the client's rights.
Error acl_error(Code code) {
  switch (code) {
    case Code::kOk:
      return Error::kNone;
    case Code::kNotFound:
      return Error::kResourceNotFound;
    case Code::kInvalidArgument:
      return Error::kInvalidRequest;
    case Code::kPermissionDenied:
      return Error::kUnknownServerError;
    default:
      return admin_error(code);
  }
}

// `result` is one of a response, with a code and a message.
template <class Result>
void tell(Exchange& exchange, Result& result, Error error, const std::string& why) {
  result.error_code = exchange.fail(error);
  if (error != Error::kNone) result.error_message = why;
}

void add_deleted(Exchange& exchange, const v1::DeletedAcls& found,
                 wire::DeleteAclsResponse::FilterResult& result) {
  for (const auto& deleted : found.acls()) {
    const WireAcl acl = to_wire(deleted.user(), deleted.acl());
    auto& out = result.matching_acls.emplace_back();
    tell(exchange, out, acl_error(cluster::code_from_name(deleted.code())), deleted.message());
    out.resource_type = acl.resource_type;
    out.resource_name = acl.resource_name;
    out.pattern_type = acl.pattern_type;
    out.principal = acl.principal;
    out.host = acl.host;
    out.operation = acl.operation;
    out.permission_type = acl.permission_type;
  }
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::DescribeAclsRequest request) {
  wire::DescribeAclsResponse response;
  auto refuse = [&](Error error, const std::string& why) {
    response.error_code = exchange->fail(error);
    response.error_message = why;
    respond(*exchange, response);
  };
  if (!has_acls(context.services)) return refuse(Error::kSecurityDisabled, kNoAuthorizer);
  auto filter = to_filter(parts_of(request));
  if (!filter.ok()) return refuse(Error::kInvalidRequest, filter.status().message());
  std::set<WireAcl> found;  // what is declared twice is one, and neighbours share their resource
  for (const auto& user : context.services.authorizer->security().users()) {
    for (const auto& acl : user.acls()) {
      if (security::acls::matches(*filter, user.name(), acl)) {
        found.insert(to_wire(user.name(), acl));
      }
    }
  }
  for (const WireAcl& acl : found) {
    auto* resource = response.resources.empty() ? nullptr : &response.resources.back();
    if (!resource || resource->resource_type != acl.resource_type ||
        resource->resource_name != acl.resource_name ||
        resource->pattern_type != acl.pattern_type) {
      resource = &response.resources.emplace_back();
      resource->resource_type = acl.resource_type;
      resource->resource_name = acl.resource_name;
      resource->pattern_type = acl.pattern_type;
    }
    auto& entry = resource->acls.emplace_back();
    entry.principal = acl.principal;
    entry.host = acl.host;
    entry.operation = acl.operation;
    entry.permission_type = acl.permission_type;
  }
  respond(*exchange, response);
}

void handle(Context& context, const ExchangePtr& exchange, wire::CreateAclsRequest request) {
  const Services& services = context.services;
  using Batch = AdminBatch<wire::CreateAclsResponse>;
  auto batch = std::make_shared<Batch>(services, exchange, kTimeoutMs);
  auto& results = batch->response.results;
  results.resize(request.creations.size());
  const auto [error, why] = reason_to_refuse(services, *exchange);
  // One write for each user, and the results that it decides.
  std::map<std::string, std::pair<v1::CreateAcls, std::vector<size_t>>> by_user;
  for (size_t i = 0; i < results.size(); ++i) {
    tell(*exchange, results[i], error, why);
    if (error != Error::kNone) continue;
    const auto& asked = request.creations[i];
    auto acl = to_acl({asked.resource_type, asked.resource_name, asked.resource_pattern_type,
                       asked.principal, asked.host, asked.operation, asked.permission_type});
    if (!acl.ok()) {
      tell(*exchange, results[i], Error::kInvalidRequest, acl.status().message());
      continue;
    }
    auto& [change, decides] = by_user[acl->first];
    change.set_user(acl->first);
    *change.add_acls() = std::move(acl->second);
    decides.push_back(i);
  }
  for (auto& [user, asked] : by_user) {
    v1::AdminRequest ask;
    *ask.mutable_create_acls() = std::move(asked.first);
    batch->ask(std::move(ask), [b = batch.get(), decides = std::move(asked.second)](
                                   const Result<v1::AdminResponse>& answer) {
      for (size_t i : decides) {
        tell(b->exchange(), b->response.results[i], acl_error(answer.code()),
             answer.status().message());
      }
    });
  }
  batch->finish();
}

void handle(Context& context, const ExchangePtr& exchange, wire::DeleteAclsRequest request) {
  const Services& services = context.services;
  using Batch = AdminBatch<wire::DeleteAclsResponse>;
  auto batch = std::make_shared<Batch>(services, exchange, kTimeoutMs);
  auto& results = batch->response.filter_results;
  results.resize(request.filters.size());
  const auto [error, why] = reason_to_refuse(services, *exchange);
  v1::AdminRequest ask;
  std::vector<size_t> decides;  // the results, by the filters of `ask`
  for (size_t i = 0; i < results.size(); ++i) {
    tell(*exchange, results[i], error, why);
    if (error != Error::kNone) continue;
    auto filter = to_filter(parts_of(request.filters[i]));
    if (!filter.ok()) {
      tell(*exchange, results[i], Error::kInvalidRequest, filter.status().message());
      continue;
    }
    *ask.mutable_delete_acls()->add_filters() = std::move(*filter);
    decides.push_back(i);
  }
  if (decides.empty()) return batch->finish();
  batch->ask(std::move(ask), [b = batch.get(), decides = std::move(decides)](
                                 const Result<v1::AdminResponse>& answer) {
    for (size_t at = 0; at < decides.size(); ++at) {
      auto& result = b->response.filter_results[decides[at]];
      tell(b->exchange(), result, acl_error(answer.code()), answer.status().message());
      if (answer.ok() && static_cast<int>(at) < answer->deleted_acls_size()) {
        add_deleted(b->exchange(), answer->deleted_acls(static_cast<int>(at)), result);
      }
    }
  });
  batch->finish();
}

}  // namespace broker::handlers::kafka
