#pragma once
// Whom quotas are for and which of them holds: Kafka's entities (user, client-id, their defaults), the
// names and values of quotas, the order in which they are looked for, and what of the stored ones is
// in force beside those that users' resources declare. Used by the coordinator and the front doors;
// pure.
#include <compare>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "broker/base/status.h"
#include "broker/proto/coordination.pb.h"

namespace broker::quotas {

enum class Quota {
  kProducerByteRate,        // bytes of record batches taken, a second
  kConsumerByteRate,        // bytes of record batches given, a second
  kRequestPercentage,       // of the reactor's time
  kControllerMutationRate,  // shards made, removed, split or merged, a second
};
inline constexpr int kQuotas = 4;
std::string_view to_string(Quota quota);  // Kafka's name
std::optional<Quota> find_quota(std::string_view name);

inline constexpr const char* kUser = "user";
inline constexpr const char* kClientId = "client-id";

// One part of an entity: not there, the default, or a name.
struct Part {
  enum class Kind { kAbsent, kDefault, kNamed } kind = Kind::kAbsent;
  std::string name;
  static Part of_default() { return {Kind::kDefault, ""}; }
  static Part named(std::string name) { return {Kind::kNamed, std::move(name)}; }
  auto operator<=>(const Part&) const = default;
};
struct Entity {
  Part user, client_id;
  auto operator<=>(const Entity&) const = default;
};

// kInvalidArgument or kUnsupported, naming the part: unknown types, a type given twice, none at all,
// an empty name; quotas of `ip`, which nobody enforces here.
Result<Entity> parse_entity(const google::protobuf::RepeatedPtrField<sluice::v1::QuotaEntity>& parts);
// "user 'alice', client-id <default>"
std::string to_string(const Entity& entity);
// kInvalidArgument for an unknown name, and for a value that no such quota can have.
Status check_quota(std::string_view name, double value);

// Changes the quotas of an entity as asked; it has been checked. The same change again changes nothing.
void apply(const sluice::v1::AlterClientQuotas& change, sluice::v1::ClientQuotas& quotas);
// Why the change cannot be: what is wrong with it, or kPolicyViolation because the quotas of a user in
// `security` are those of the user's resource. Taking quotas away is always allowed.
Status check_change(const sluice::v1::AlterClientQuotas& change,
                    const sluice::v1::Security* security);
// The stored quotas but those of users in `security`, and what these declare.
sluice::v1::ClientQuotas in_force(const sluice::v1::ClientQuotas& stored,
                                  const sluice::v1::Security* security);

// Values of one quota by entity.
using Limits = std::map<Entity, double>;
// What holds for a client, in Kafka's order: (user, client-id), (user, default client-id), user,
// (default user, client-id), (default user, default client-id), default user, client-id, default
// client-id. Who share one count: all clients of `counted`.
struct Match {
  double limit;
  Entity counted;  // names, no defaults
};
std::optional<Match> find_limit(const Limits& limits, const std::string& user,
                                const std::string& client_id);

}  // namespace broker::quotas
