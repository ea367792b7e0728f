#include "broker/quotas/entity.h"

#include <array>
#include <cmath>

namespace broker::quotas {

namespace v1 = ::sluice::v1;

namespace {

constexpr std::array<std::string_view, kQuotas> kNames{
    "producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"};

Status bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

void add_part(const char* type, const Part& part, v1::ClientQuota& out) {
  if (part.kind == Part::Kind::kAbsent) return;
  v1::QuotaEntity& entity = *out.add_entity();
  entity.set_type(type);
  if (part.kind == Part::Kind::kNamed) entity.set_name(part.name);
}

std::map<Entity, std::map<std::string, double>> by_entity(const v1::ClientQuotas& quotas) {
  std::map<Entity, std::map<std::string, double>> out;
  for (const auto& quota : quotas.quotas()) {
    auto entity = parse_entity(quota.entity());
    if (!entity.ok()) continue;  // of a newer version: it is not enforced here
    for (const auto& [name, value] : quota.values()) out[*entity][name] = value;
  }
  return out;
}

void write(const std::map<Entity, std::map<std::string, double>>& all, v1::ClientQuotas& quotas) {
  quotas.Clear();
  for (const auto& [entity, values] : all) {
    if (values.empty()) continue;
    v1::ClientQuota& quota = *quotas.add_quotas();
    add_part(kUser, entity.user, quota);
    add_part(kClientId, entity.client_id, quota);
    for (const auto& [name, value] : values) (*quota.mutable_values())[name] = value;
  }
}

std::set<std::string> users_of(const v1::Security* security) {
  std::set<std::string> names;
  if (!security) return names;
  for (const auto& user : security->users()) names.insert(user.name());
  return names;
}

}  // namespace

std::string_view to_string(Quota quota) { return kNames[static_cast<size_t>(quota)]; }

std::optional<Quota> find_quota(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Quota>(i);
  }
  return std::nullopt;
}

Result<Entity> parse_entity(const google::protobuf::RepeatedPtrField<v1::QuotaEntity>& parts) {
  Entity entity;
  for (const v1::QuotaEntity& part : parts) {
    if (part.type() == "ip") {
      return Status(Code::kUnsupported,
                    "quotas of 'ip' (connection_creation_rate) are not enforced by this version; "
                    "there are quotas of 'user' and 'client-id'");
    }
    if (part.type() != kUser && part.type() != kClientId) {
      return bad("'" + part.type() + "' is no type of a quota's entity; there are 'user' and "
                 "'client-id'");
    }
    Part& into = part.type() == kUser ? entity.user : entity.client_id;
    if (into.kind != Part::Kind::kAbsent) return bad("'" + part.type() + "' is there twice");
    if (part.has_name() && part.name().empty()) {
      return bad("the name of '" + part.type() + "' is empty; without a name it is the default");
    }
    into = part.has_name() ? Part::named(part.name()) : Part::of_default();
  }
  if (entity == Entity{}) return bad("a quota needs an entity: 'user', 'client-id' or both");
  return entity;
}

std::string to_string(const Entity& entity) {
  std::string out;
  auto add = [&](const char* type, const Part& part) {
    if (part.kind == Part::Kind::kAbsent) return;
    if (!out.empty()) out += ", ";
    out += type;
    out += part.kind == Part::Kind::kDefault ? " <default>" : " '" + part.name + "'";
  };
  add(kUser, entity.user);
  add(kClientId, entity.client_id);
  return out;
}

Status check_quota(std::string_view name, double value) {
  auto quota = find_quota(name);
  if (!quota) {
    std::string known;
    for (auto other : kNames) known += (known.empty() ? "" : ", ") + std::string(other);
    return bad("there is no quota '" + std::string(name) + "'; there are " + known);
  }
  if (!std::isfinite(value) || value <= 0) {
    return bad("quota '" + std::string(name) + "' must be above 0; remove it to lift it");
  }
  const bool bytes = *quota == Quota::kProducerByteRate || *quota == Quota::kConsumerByteRate;
  if (bytes && (value != std::floor(value) || value > 9.2e18)) {
    return bad("quota '" + std::string(name) + "' is a whole number of bytes a second");
  }
  return {};
}

void apply(const v1::AlterClientQuotas& change, v1::ClientQuotas& quotas) {
  auto entity = parse_entity(change.entity());
  if (!entity.ok()) return;
  auto all = by_entity(quotas);
  auto& values = all[*entity];
  for (const auto& op : change.ops()) {
    if (op.has_value())
      values[op.key()] = op.value();
    else
      values.erase(op.key());
  }
  write(all, quotas);
}

Status check_change(const v1::AlterClientQuotas& change, const v1::Security* security) {
  ASSIGN_OR_RETURN(Entity entity, parse_entity(change.entity()));
  std::set<std::string> seen;
  bool sets = false;
  for (const auto& op : change.ops()) {
    if (!seen.insert(op.key()).second) return bad("quota '" + op.key() + "' is there twice");
    sets |= op.has_value();
    RETURN_IF_ERROR(check_quota(op.key(), op.has_value() ? op.value() : 1));
  }
  if (sets && entity.user.kind == Part::Kind::kNamed &&
      users_of(security).contains(entity.user.name)) {
    return Status(Code::kPolicyViolation,
                  "the quotas of user '" + entity.user.name +
                      "' are declared by its StreamUser resource: change spec.quotas there");
  }
  return {};
}

v1::ClientQuotas in_force(const v1::ClientQuotas& stored, const v1::Security* security) {
  auto all = by_entity(stored);
  const auto users = users_of(security);
  std::erase_if(all, [&](const auto& entry) {
    const Part& user = entry.first.user;
    return user.kind == Part::Kind::kNamed && users.contains(user.name);
  });
  if (security) {
    for (const auto& user : security->users()) {
      auto& values = all[{Part::named(user.name()), {}}];
      for (const auto& [name, value] : user.quotas()) values[name] = value;
    }
  }
  v1::ClientQuotas out;
  write(all, out);
  return out;
}

std::optional<Match> find_limit(const Limits& limits, const std::string& user,
                                const std::string& client_id) {
  if (limits.empty()) return std::nullopt;
  const Part absent, any = Part::of_default(), this_user = Part::named(user),
                     this_client = Part::named(client_id);
  const std::array<std::pair<Entity, Entity>, 8> order{{
      {{this_user, this_client}, {this_user, this_client}},
      {{this_user, any}, {this_user, this_client}},
      {{this_user, absent}, {this_user, absent}},
      {{any, this_client}, {this_user, this_client}},
      {{any, any}, {this_user, this_client}},
      {{any, absent}, {this_user, absent}},
      {{absent, this_client}, {absent, this_client}},
      {{absent, any}, {absent, this_client}},
  }};
  for (const auto& [wanted, counted] : order) {
    auto it = limits.find(wanted);
    if (it != limits.end()) return Match{it->second, counted};
  }
  return std::nullopt;
}

}  // namespace broker::quotas
