// DescribeAcls: what users' resources, or the users file, permit and deny, as this broker enforces
// it.
#include <set>

#include "broker/handlers/kafka/acl_bindings.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/security/acls/acls.h"

namespace broker::handlers::kafka {
namespace {

constexpr const char* kNoAuthorizer = "No Authorizer is configured.";  // Kafka's words

bool has_acls(const Services& services) {
  return services.authorizer && services.authorizer->enforcing();
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

}  // namespace broker::handlers::kafka
