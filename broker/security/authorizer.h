#pragma once
// Who may do what: the cluster's users and ACLs, as the coordinator pushed them, and the one
// decision that all front doors ask for. On the reactor. Invariant: what is not permitted is denied
// (when `authorize` is on), a denial wins over a permission, and super users may do everything.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"
#include "broker/proto/metadata.pb.h"

namespace broker::security {

// As Kafka's AclOperation (the numbers are the wire's).
enum class Operation {
  kUnknown = 0, kAny = 1, kAll = 2, kRead = 3, kWrite = 4, kCreate = 5, kDelete = 6, kAlter = 7,
  kDescribe = 8, kClusterAction = 9, kDescribeConfigs = 10, kAlterConfigs = 11,
  kIdempotentWrite = 12,
};
// As Kafka's ResourceType.
enum class Resource { kUnknown = 0, kAny = 1, kTopic = 2, kGroup = 3, kCluster = 4,
                      kTransactionalId = 5 };
inline constexpr const char* kClusterName = "kafka-cluster";

std::string_view to_string(Operation operation);
std::string_view to_string(Resource resource);
Result<Operation> parse_operation(std::string_view text);
Result<Resource> parse_resource(std::string_view text);

// Who sits at the other end of a connection.
struct Principal {
  std::string user;  // empty: anonymous
  std::string host;  // address, as text
  std::string name() const { return "User:" + (user.empty() ? "ANONYMOUS" : user); }
};

class Authorizer {
 public:
  // Replaces everything. ACLs that cannot be read are left out, and logged.
  void update(const sluice::v1::Security& security);

  bool enforcing() const { return enforcing_; }
  uint64_t version() const { return version_; }  // grows with every update
  bool allowed(const Principal& who, Operation operation, Resource resource,
               std::string_view name) const;
  // Whether any resource of the kind can be touched (InitProducerId asks that of topics).
  bool allowed_on_any(const Principal& who, Operation operation, Resource resource) const;
  // Kafka's authorized_operations bit field.
  int32_t operations_on(const Principal& who, Resource resource, std::string_view name) const;

  // The user's verifier for a mechanism; null when there is none.
  const sluice::v1::ScramCredential* credential(const std::string& user,
                                                std::string_view mechanism) const;
  const sluice::v1::Security& security() const { return security_; }

 private:
  struct Rule {
    Resource resource;
    Operation operation;
    std::string name;
    bool prefix = false, deny = false;
    std::string host;
  };
  struct Known {
    bool super = false;
    std::vector<Rule> rules;
    std::map<std::string, const sluice::v1::ScramCredential*, std::less<>> scram;
  };
  static bool covers(const Rule& rule, const Principal& who, Resource resource,
                     std::string_view name);
  static bool permits(Operation granted, Operation asked);
  const Known* find(const std::string& user) const;

  bool enforcing_ = false;
  uint64_t version_ = 0;
  sluice::v1::Security security_;
  std::map<std::string, Known> users_;
};

}  // namespace broker::security
