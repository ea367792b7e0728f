#pragma once
// The StreamUser resource as C++ data; crds/streamusers.yaml is the same in OpenAPI.
#include <optional>

#include "operator/api/metadata.h"

namespace sluice_operator::api {

struct StreamUserSpec {
  std::string cluster;
  std::string name;  // what clients log in as; metadata.name when the resource leaves it out
  std::string secret_name;  // of the Secret with the credentials; metadata.name when left out
  enum class Authentication { kScram, kAccessKey, kTls };
  Authentication authentication = Authentication::kScram;
  struct PasswordFrom {
    std::string secret, key;
  };
  std::optional<PasswordFrom> password_from;  // absent: a password is made
  struct Rule {
    std::string resource;  // Topic | Group | Cluster | TransactionalId
    std::string name;
    bool prefix = false;
    std::vector<std::string> operations;
    bool deny = false;
    std::string host;
  };
  std::vector<Rule> acls;
  // Absent: no quota. Per broker, as Kafka's.
  struct Quotas {
    std::optional<int64_t> producer_byte_rate, consumer_byte_rate;
    std::optional<double> request_percentage, controller_mutation_rate;
  };
  Quotas quotas;
};

struct StreamUserStatus {
  int64_t observed_generation = 0;
  std::vector<Condition> conditions;  // Ready
  std::string secret;                 // that holds the credentials
  std::string certificate_expires_at;  // RFC 3339
  std::string certificate_issuer;      // SHA-256 of its CA's certificate
  bool operator==(const StreamUserStatus&) const = default;
};

struct StreamUser {
  Metadata metadata;
  StreamUserSpec spec;
  StreamUserStatus status;
};

}  // namespace sluice_operator::api
