#include "broker/handlers/kafka/acl_bindings.h"

#include "broker/base/utf8.h"
#include "broker/security/acls/acls.h"
#include "broker/security/authorizer.h"

namespace broker::handlers::kafka {

namespace v1 = ::sluice::v1;
namespace acls = security::acls;

namespace {

// As in the StreamUser resource.
constexpr size_t kNameBytesMax = 249, kHostBytesMax = 64;
constexpr int8_t kAnyNumber = 1;  // of resource types and of operations

Status check_text(const char* part, const std::string& text) {
  if (is_utf8(text)) return {};
  return Status(Code::kInvalidArgument, std::string(part) + ": it is not UTF-8");
}

Status unknown(const char* part, int8_t number) {
  return Status(Code::kInvalidArgument,
                std::string(part) + ": " + std::to_string(number) + " is unknown");
}

// Empty: Kafka defines no such number.
std::string resource_word(int8_t number) {
  if (number == 6) return "DelegationToken";
  if (number == 7) return "User";
  const auto resource = static_cast<security::Resource>(number);
  if (number <= kAnyNumber || resource > security::Resource::kTransactionalId) return {};
  return std::string(to_string(resource));
}

std::string operation_word(int8_t number) {
  if (number == 13) return "CreateTokens";
  if (number == 14) return "DescribeTokens";
  if (number == 15) return "TwoPhaseCommit";
  const auto operation = static_cast<security::Operation>(number);
  if (number <= kAnyNumber || operation > security::Operation::kIdempotentWrite) return {};
  return std::string(to_string(operation));
}

}  // namespace

Result<v1::AclFilter> to_filter(const WireAclFilter& asked) {
  v1::AclFilter filter;
  if (asked.resource_type != kAnyNumber) {
    filter.set_resource(resource_word(asked.resource_type));
    if (filter.resource().empty()) return unknown("resource type", asked.resource_type);
  }
  switch (static_cast<AclPattern>(asked.pattern_type)) {
    case AclPattern::kAny:
      filter.set_pattern(v1::AclFilter::PATTERN_ANY);
      break;
    case AclPattern::kMatch:
      filter.set_pattern(v1::AclFilter::PATTERN_MATCH);
      break;
    case AclPattern::kLiteral:
      filter.set_pattern(v1::AclFilter::PATTERN_LITERAL);
      break;
    case AclPattern::kPrefixed:
      filter.set_pattern(v1::AclFilter::PATTERN_PREFIXED);
      break;
    default:
      return unknown("pattern type", asked.pattern_type);
  }
  RETURN_IF_ERROR(check_text("resource name", asked.resource_name.value_or("")));
  RETURN_IF_ERROR(check_text("principal", asked.principal.value_or("")));
  RETURN_IF_ERROR(check_text("host", asked.host.value_or("")));
  if (asked.resource_name) filter.set_name(*asked.resource_name);
  if (asked.principal) filter.set_principal(*asked.principal);
  if (asked.host) filter.set_host(*asked.host);
  if (asked.operation != kAnyNumber) {
    filter.set_operation(operation_word(asked.operation));
    if (filter.operation().empty()) return unknown("operation", asked.operation);
  }
  const auto permission = static_cast<AclPermission>(asked.permission_type);
  if (permission == AclPermission::kDeny || permission == AclPermission::kAllow) {
    filter.set_deny(permission == AclPermission::kDeny);
  } else if (permission != AclPermission::kAny) {
    return unknown("permission type", asked.permission_type);
  }
  return filter;
}

Result<std::pair<std::string, v1::Acl>> to_acl(const WireAcl& asked) {
  RETURN_IF_ERROR(check_text("resource name", asked.resource_name));
  RETURN_IF_ERROR(check_text("principal", asked.principal));
  RETURN_IF_ERROR(check_text("host", asked.host));
  auto bad = [](std::string message) { return Status(Code::kInvalidArgument, std::move(message)); };
  v1::Acl acl;
  acl.set_resource(resource_word(asked.resource_type));
  if (acl.resource().empty()) return unknown("resource type", asked.resource_type);
  if (!security::parse_resource(acl.resource()).ok()) {
    return bad("resource type: there are no ACLs of " + acl.resource() +
               "; there are those of Topic, Group, Cluster and TransactionalId");
  }
  acl.set_name(asked.resource_name);
  if (acl.name().empty()) return bad("resource name: it is empty");
  if (acl.name().size() > kNameBytesMax) {
    return bad("resource name: it has more than " + std::to_string(kNameBytesMax) + " bytes");
  }
  if (acl.resource() == to_string(security::Resource::kCluster) &&
      acl.name() != security::kClusterName) {
    return bad("resource name: that of the Cluster is " + std::string(security::kClusterName));
  }
  const auto pattern = static_cast<AclPattern>(asked.pattern_type);
  if (pattern != AclPattern::kLiteral && pattern != AclPattern::kPrefixed) {
    return bad("pattern type: an ACL is LITERAL or PREFIXED");
  }
  acl.set_prefix(pattern == AclPattern::kPrefixed);
  acl.set_operation(operation_word(asked.operation));
  if (acl.operation().empty()) return unknown("operation", asked.operation);
  if (!security::parse_operation(acl.operation()).ok()) {
    return bad("operation: there is no " + acl.operation() + " here");
  }
  const auto permission = static_cast<AclPermission>(asked.permission_type);
  if (permission != AclPermission::kDeny && permission != AclPermission::kAllow) {
    return bad("permission type: an ACL is ALLOW or DENY");
  }
  acl.set_deny(permission == AclPermission::kDeny);
  const std::string type = acls::principal_of("");
  if (!asked.principal.starts_with(type) || asked.principal.size() == type.size()) {
    return bad("principal: '" + asked.principal + "' is not of the form User:NAME");
  }
  acl.set_host(asked.host);
  if (acl.host().empty()) return bad("host: it is empty; * stands for any");
  if (acl.host().size() > kHostBytesMax) {
    return bad("host: it has more than " + std::to_string(kHostBytesMax) + " bytes");
  }
  return std::pair(asked.principal.substr(type.size()), std::move(acl));
}

WireAcl to_wire(const std::string& user, const v1::Acl& acl) {
  const auto resource = security::parse_resource(acl.resource());
  const auto operation = security::parse_operation(acl.operation());
  WireAcl out;
  if (resource.ok()) out.resource_type = static_cast<int8_t>(*resource);
  out.resource_name = acl.name();
  out.pattern_type =
      static_cast<int8_t>(acl.prefix() ? AclPattern::kPrefixed : AclPattern::kLiteral);
  out.principal = acls::principal_of(user);
  out.host = acls::host_of(acl);
  if (operation.ok()) out.operation = static_cast<int8_t>(*operation);
  out.permission_type =
      static_cast<int8_t>(acl.deny() ? AclPermission::kDeny : AclPermission::kAllow);
  return out;
}

}  // namespace broker::handlers::kafka
