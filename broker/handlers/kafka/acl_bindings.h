#pragma once
// Kafka's numbers for ACLs against our words, both ways. Used by the handlers of ACLs; pure.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "broker/base/status.h"
#include "broker/proto/coordination.pb.h"

namespace broker::handlers::kafka {

// As on the wire.
enum class AclPattern : int8_t { kUnknown = 0, kAny = 1, kMatch = 2, kLiteral = 3, kPrefixed = 4 };
enum class AclPermission : int8_t { kUnknown = 0, kAny = 1, kDeny = 2, kAllow = 3 };

// A filter as its parts come.
struct WireAclFilter {
  int8_t resource_type = 0;
  std::optional<std::string> resource_name;
  int8_t pattern_type = 0;
  std::optional<std::string> principal, host;
  int8_t operation = 0, permission_type = 0;
};
// An ACL as its parts go.
struct WireAcl {
  int8_t resource_type = 0;
  std::string resource_name;
  int8_t pattern_type = 0;
  std::string principal, host;
  int8_t operation = 0, permission_type = 0;
  auto operator<=>(const WireAcl&) const = default;
};

// kInvalidArgument, naming the part, where one has a number that Kafka does not define. Kinds of
// resources and operations that exist only in Kafka are found nowhere.
Result<sluice::v1::AclFilter> to_filter(const WireAclFilter& asked);
// An ACL that a client wants, with its user. kInvalidArgument, naming the part and what it can be,
// where Kafka refuses it or no ACL here can say it.
Result<std::pair<std::string, sluice::v1::Acl>> to_acl(const WireAcl& asked);
// What has no number is UNKNOWN.
WireAcl to_wire(const std::string& user, const sluice::v1::Acl& acl);

template <class Filter>  // of DescribeAcls and of DeleteAcls: the same fields
WireAclFilter parts_of(const Filter& filter) {
  return {filter.resource_type_filter, filter.resource_name_filter, filter.pattern_type_filter,
          filter.principal_filter,     filter.host_filter,          filter.operation,
          filter.permission_type};
}

}  // namespace broker::handlers::kafka
