#include "broker/security/acls/acls.h"

namespace broker::security::acls {

namespace v1 = ::sluice::v1;

namespace {

bool name_matches(const v1::AclFilter& filter, const v1::Acl& acl) {
  if (!filter.has_name()) return true;
  if (filter.pattern() != v1::AclFilter::PATTERN_MATCH) return filter.name() == acl.name();
  if (acl.prefix()) return filter.name().starts_with(acl.name());
  return acl.name() == filter.name() || acl.name() == kAny;
}

bool pattern_matches(v1::AclFilter::Pattern wanted, bool prefix) {
  if (wanted == v1::AclFilter::PATTERN_LITERAL) return !prefix;
  if (wanted == v1::AclFilter::PATTERN_PREFIXED) return prefix;
  return true;
}

}  // namespace

std::string principal_of(const std::string& user) {
  return "User:" + user;
}

const std::string& host_of(const v1::Acl& acl) {
  static const std::string any = kAny;
  return acl.host().empty() ? any : acl.host();
}

bool same(const v1::Acl& a, const v1::Acl& b) {
  return a.resource() == b.resource() && a.name() == b.name() && a.prefix() == b.prefix() &&
         a.operation() == b.operation() && a.deny() == b.deny() && host_of(a) == host_of(b);
}

bool matches(const v1::AclFilter& filter, const std::string& user, const v1::Acl& acl) {
  if (filter.has_resource() && filter.resource() != acl.resource()) return false;
  if (!pattern_matches(filter.pattern(), acl.prefix()) || !name_matches(filter, acl)) return false;
  if (filter.has_principal() && filter.principal() != principal_of(user)) return false;
  if (filter.has_host() && filter.host() != host_of(acl)) return false;
  if (filter.has_operation() && filter.operation() != acl.operation()) return false;
  return !filter.has_deny() || filter.deny() == acl.deny();
}

}  // namespace broker::security::acls
