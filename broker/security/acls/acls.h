#pragma once
// ACLs as values: which of them are one, and which a filter of Kafka's matches. Used by the Kafka
// door, which shows them, and by the stores that take them away; pure.
// Invariant: an ACL without a host is one of the host "*".
#include <string>

#include "broker/proto/coordination.pb.h"

namespace broker::security::acls {

inline constexpr const char* kAny = "*";  // any host; any resource of the kind; every user

// "User:NAME", as Kafka writes it.
std::string principal_of(const std::string& user);
// The client's address that it is for, or "*".
const std::string& host_of(const sluice::v1::Acl& acl);
bool same(const sluice::v1::Acl& a, const sluice::v1::Acl& b);
// Kafka's AclBindingFilter.matches: PATTERN_ANY takes both kinds of patterns and compares their
// names, PATTERN_MATCH finds whatever covers a resource of the name.
bool matches(const sluice::v1::AclFilter& filter, const std::string& user,
             const sluice::v1::Acl& acl);

}  // namespace broker::security::acls
