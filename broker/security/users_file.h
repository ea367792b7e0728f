#pragma once
// Users and their rights from a YAML file, for clusters without Kubernetes: sluice-broker --dev and
// sluice-operator coordinator. Passwords become verifiers here and are kept nowhere.
#include <string>

#include "broker/base/status.h"
#include "broker/proto/metadata.pb.h"

namespace broker::security {

//   authorize: true
//   superUsers: [admin]
//   users:
//     - name: alice
//       password: secret
//       accessKeys:
//         - {accessKeyId: AKIAALICE, secretAccessKey: secret}
//       acls:
//         - {resource: Topic, name: orders-, prefix: true, operations: [Read, Write]}
//         - {resource: Group, name: "*", operations: [Read], deny: true, host: 10.0.0.1}
// Errors name the user and the field.
Result<sluice::v1::Security> parse_users(const std::string& yaml);

// A salt made of something public and unique to a password, where it must be the same each time.
std::string public_salt(const std::string& of);
// `bytes` of chance from the operating system, for salts and passwords.
std::string random_bytes(size_t bytes);

}  // namespace broker::security
