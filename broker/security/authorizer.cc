#include "broker/security/authorizer.h"

#include <array>
#include <utility>

#include "broker/base/log.h"

namespace broker::security {
namespace {

constexpr std::array<std::pair<Operation, std::string_view>, 11> kOperations{{
    {Operation::kAll, "All"},
    {Operation::kRead, "Read"},
    {Operation::kWrite, "Write"},
    {Operation::kCreate, "Create"},
    {Operation::kDelete, "Delete"},
    {Operation::kAlter, "Alter"},
    {Operation::kDescribe, "Describe"},
    {Operation::kClusterAction, "ClusterAction"},
    {Operation::kDescribeConfigs, "DescribeConfigs"},
    {Operation::kAlterConfigs, "AlterConfigs"},
    {Operation::kIdempotentWrite, "IdempotentWrite"},
}};
constexpr std::array<std::pair<Resource, std::string_view>, 4> kResources{{
    {Resource::kTopic, "Topic"},
    {Resource::kGroup, "Group"},
    {Resource::kCluster, "Cluster"},
    {Resource::kTransactionalId, "TransactionalId"},
}};

// Operations that make sense for a kind of resource (Kafka's AclEntry.supportedOperations).
std::vector<Operation> operations_of(Resource resource) {
  switch (resource) {
    case Resource::kTopic:
      return {Operation::kRead,     Operation::kWrite,           Operation::kCreate,
              Operation::kDescribe, Operation::kDelete,          Operation::kAlter,
              Operation::kDescribeConfigs, Operation::kAlterConfigs};
    case Resource::kGroup:
      return {Operation::kRead, Operation::kDescribe, Operation::kDelete,
              Operation::kDescribeConfigs, Operation::kAlterConfigs};
    case Resource::kCluster:
      return {Operation::kCreate,        Operation::kClusterAction,   Operation::kDescribeConfigs,
              Operation::kAlterConfigs,  Operation::kIdempotentWrite, Operation::kAlter,
              Operation::kDescribe};
    case Resource::kTransactionalId:
      return {Operation::kDescribe, Operation::kWrite};
    case Resource::kUnknown:
    case Resource::kAny:
      return {};
  }
  return {};
}

}  // namespace

std::string_view to_string(Operation operation) {
  for (const auto& [value, name] : kOperations) {
    if (value == operation) return name;
  }
  return "Unknown";
}

std::string_view to_string(Resource resource) {
  for (const auto& [value, name] : kResources) {
    if (value == resource) return name;
  }
  return "Unknown";
}

Result<Operation> parse_operation(std::string_view text) {
  for (const auto& [value, name] : kOperations) {
    if (name == text) return value;
  }
  return Status(Code::kInvalidArgument, "'" + std::string(text) + "' is no operation of an ACL");
}

Result<Resource> parse_resource(std::string_view text) {
  for (const auto& [value, name] : kResources) {
    if (name == text) return value;
  }
  return Status(Code::kInvalidArgument, "'" + std::string(text) + "' is no resource of an ACL");
}

void Authorizer::update(const sluice::v1::Security& security) {
  security_ = security;
  version_++;
  enforcing_ = security_.authorize();
  users_.clear();
  for (const auto& name : security_.super_users()) users_[name].super = true;
  for (const auto& user : security_.users()) {
    Known& known = users_[user.name()];
    for (const auto& credential : user.scram()) known.scram[credential.mechanism()] = &credential;
    for (const auto& acl : user.acls()) {
      auto resource = parse_resource(acl.resource());
      auto operation = parse_operation(acl.operation());
      if (!resource.ok() || !operation.ok()) {
        // A permission left out permits less; a denial left out would permit more.
        log_error("security", "an ACL cannot be read; the user is locked out",
                  {{"user", user.name()}, {"resource", acl.resource()}, {"operation", acl.operation()}});
        for (const auto& [kind, kind_name] : kResources) {
          known.rules.push_back({kind, Operation::kAll, "*", false, true, ""});
        }
        continue;
      }
      known.rules.push_back(
          {*resource, *operation, acl.name(), acl.prefix(), acl.deny(), acl.host()});
    }
  }
}

const Authorizer::Known* Authorizer::find(const std::string& user) const {
  auto it = users_.find(user);
  return it == users_.end() ? nullptr : &it->second;
}

bool Authorizer::covers(const Rule& rule, const Principal& who, Resource resource,
                        std::string_view name) {
  if (rule.resource != resource) return false;
  if (!rule.host.empty() && rule.host != "*" && rule.host != who.host) return false;
  return rule.prefix ? name.starts_with(rule.name) : rule.name == "*" || rule.name == name;
}

// Kafka's implied permissions (AclAuthorizer): who may read, write, delete or alter may describe.
bool Authorizer::permits(Operation granted, Operation asked) {
  if (granted == Operation::kAll || granted == asked) return true;
  if (asked == Operation::kDescribe) {
    return granted == Operation::kRead || granted == Operation::kWrite ||
           granted == Operation::kDelete || granted == Operation::kAlter;
  }
  return asked == Operation::kDescribeConfigs && granted == Operation::kAlterConfigs;
}

bool Authorizer::allowed(const Principal& who, Operation operation, Resource resource,
                         std::string_view name) const {
  if (!enforcing_) return true;
  const Known* user = find(who.user);
  const Known* everybody = who.user == "*" ? nullptr : find("*");
  if (user && user->super && !who.user.empty()) return true;
  bool permitted = false;
  for (const Known* known : {user, everybody}) {
    if (!known) continue;
    for (const Rule& rule : known->rules) {
      if (!covers(rule, who, resource, name)) continue;
      if (rule.deny) {
        if (rule.operation == Operation::kAll || rule.operation == operation) return false;
      } else {
        permitted |= permits(rule.operation, operation);
      }
    }
  }
  return permitted;
}

bool Authorizer::allowed_on_any(const Principal& who, Operation operation,
                                Resource resource) const {
  if (!enforcing_) return true;
  const Known* user = find(who.user);
  if (user && user->super && !who.user.empty()) return true;
  for (const Known* known : {user, find("*")}) {
    if (!known) continue;
    for (const Rule& rule : known->rules) {
      // A name that only this rule covers stands for what it covers.
      if (rule.resource == resource && !rule.deny && permits(rule.operation, operation) &&
          allowed(who, operation, resource, rule.name)) {
        return true;
      }
    }
  }
  return false;
}

int32_t Authorizer::operations_on(const Principal& who, Resource resource,
                                  std::string_view name) const {
  int32_t bits = 0;
  for (Operation operation : operations_of(resource)) {
    if (allowed(who, operation, resource, name)) bits |= 1 << static_cast<int>(operation);
  }
  return bits;
}

const sluice::v1::ScramCredential* Authorizer::credential(const std::string& user,
                                                          std::string_view mechanism) const {
  const Known* known = find(user);
  if (!known) return nullptr;
  auto it = known->scram.find(mechanism);
  return it == known->scram.end() ? nullptr : it->second;
}

}  // namespace broker::security
