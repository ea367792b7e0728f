#pragma once
// Who is who in the parity tests: mallory is a user whom no ACL permits anything, root may do
// everything. Every operation of every door is asked as both; an operation without a row fails.
#include "broker/security/authorizer.h"

namespace sluice_tests {

inline sluice::v1::Security denied_and_super() {
  sluice::v1::Security security;
  security.set_authorize(true);
  security.add_super_users("root");
  security.add_users()->set_name("mallory");
  // Somebody else's rights are not mallory's.
  auto* alice = security.add_users();
  alice->set_name("alice");
  for (const char* resource : {"Topic", "Group", "Cluster", "TransactionalId"}) {
    auto* acl = alice->add_acls();
    acl->set_resource(resource);
    acl->set_name("*");
    acl->set_operation("All");
  }
  return security;
}

}  // namespace sluice_tests
