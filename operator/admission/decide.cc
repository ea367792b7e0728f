#include "operator/admission/decide.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "operator/api/quantity.h"

namespace sluice_operator::admission {

namespace {

using Errors = std::vector<api::FieldError>;

// The coordinator keeps so much of each disk free (broker/coordination/safety.cc).
constexpr double kDiskFullAt = 0.9;

std::string no_cluster(const std::string& name, const std::string& kind) {
  return "spec.cluster: there is no StreamCluster '" + name + "' in this namespace; the " + kind +
         " waits until there is";
}

// Those of `now` that were not there before.
Errors news(const Errors& now, const Errors& before) {
  Errors out;
  for (const auto& error : now) {
    const bool old = std::any_of(before.begin(), before.end(), [&](const auto& other) {
      return other.field == error.field && other.message == error.message;
    });
    if (!old) out.push_back(error);
  }
  return out;
}

// ---- Stream

Errors wrong_with(const api::Stream& stream, const api::StreamCluster* cluster,
                  const std::vector<api::Stream>& others) {
  Errors errors = api::validate(stream, cluster ? &cluster->spec : nullptr);
  for (const auto& other : others) {
    if (other.metadata.name == stream.metadata.name || other.metadata.deleting) continue;
    if (other.spec.cluster != stream.spec.cluster || other.spec.name != stream.spec.name) continue;
    errors.push_back({"spec.name", "'" + stream.spec.name + "' is the name of Stream '" +
                                       other.metadata.name + "' in cluster '" +
                                       stream.spec.cluster + "' already; give another in spec.name"});
  }
  return errors;
}

// ---- StreamCluster

std::set<int32_t> staying(const api::StreamCluster& cluster) {
  std::set<int32_t> out;
  for (int32_t id = 0; id < cluster.spec.brokers; ++id) out.insert(id);
  for (int32_t id : cluster.spec.drain) out.erase(id);
  return out;
}

// The copies of a stream that says nothing: those that it was made with, also when fewer brokers would
// be given fewer by default.
int32_t copies_of(const api::Stream& stream, const api::StreamClusterSpec& now,
                  const api::StreamClusterSpec& made_with) {
  if (stream.spec.replication) return *stream.spec.replication;
  return now.replication.factor.value_or(api::default_replication(made_with));
}

Errors wrong_with(const api::StreamCluster& cluster, const api::StreamClusterSpec& made_with,
                  const std::vector<api::Stream>& streams) {
  Errors errors = api::validate(cluster);
  const auto brokers = static_cast<int32_t>(staying(cluster).size());
  const bool drains = brokers < cluster.spec.brokers;
  for (const auto& stream : streams) {
    if (stream.spec.cluster != cluster.metadata.name || stream.metadata.deleting) continue;
    const int32_t copies = copies_of(stream, cluster.spec, made_with);
    if (copies <= brokers) continue;
    errors.push_back({drains ? "spec.drain" : "spec.brokers",
                      "stream '" + stream.spec.name + "' keeps " + std::to_string(copies) +
                          " copies of each shard, and " + std::to_string(brokers) +
                          " brokers would stay"});
  }
  return errors;
}

std::string gib(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", bytes / (1LL << 30));
  return text;
}

// By what brokers last told and what volumes were asked for: they may have grown since, so it is for
// the coordinator to refuse.
std::string room_warning(const api::StreamCluster& cluster, const api::StreamCluster& before) {
  const auto now = staying(cluster), earlier = staying(before);
  const double size = api::quantity(cluster.spec.storage.size).value_or(0);
  double leaving = 0, room = 0;
  bool less = false;
  for (const auto& state : before.status.broker_states) {
    if (now.count(state.id)) {
      room += kDiskFullAt * size - static_cast<double>(state.bytes);
    } else {
      leaving += static_cast<double>(state.bytes);
      less = less || earlier.count(state.id);
    }
  }
  if (!less || size <= 0 || leaving <= room) return "";
  return "spec: " + gib(leaving) + " would have to move, and the brokers that stay have room for " +
         gib(std::max(room, 0.0)) + "; the drain may be refused (condition Degraded, DrainRefused)";
}

// A slip of the finger: nothing would ever be drained. One that a smaller number of brokers leaves behind
// says nothing new.
std::string drain_warning(const api::StreamCluster& cluster, const api::StreamCluster* before) {
  for (int32_t id : cluster.spec.drain) {
    if (id < cluster.spec.brokers) continue;
    const auto* old = before ? &before->spec.drain : nullptr;
    if (old && std::find(old->begin(), old->end(), id) != old->end()) continue;
    return "spec.drain: there is no broker " + std::to_string(id) + ", they are 0 to " +
           std::to_string(cluster.spec.brokers - 1);
  }
  return "";
}

// ---- StreamUser

Errors wrong_with(const api::StreamUser& user, const std::vector<api::StreamUser>& others,
                  const SecretOwner& secret) {
  Errors errors;
  for (const auto& other : others) {
    if (other.metadata.name == user.metadata.name || other.metadata.deleting) continue;
    if (other.spec.cluster == user.spec.cluster && other.spec.name == user.spec.name) {
      errors.push_back({"spec.name", "StreamUser '" + other.metadata.name + "' is the user '" +
                                         user.spec.name + "' of cluster '" + user.spec.cluster +
                                         "' already"});
    }
    if (other.spec.secret_name == user.spec.secret_name) {
      errors.push_back({"spec.secretName", "'" + user.spec.secret_name + "' is the Secret of StreamUser '" +
                                               other.metadata.name + "'; name another"});
    }
  }
  if (secret.exists && (secret.uid.empty() || secret.uid != user.metadata.uid)) {
    errors.push_back({"spec.secretName",
                      "Secret '" + user.spec.secret_name + "' belongs to " +
                          (secret.description.empty() ? "something else" : secret.description) +
                          " and would be left alone; name another"});
  }
  return errors;
}

}  // namespace

Verdict decide(const api::Stream& stream, const api::Stream* before,
               const api::StreamCluster* cluster, const std::vector<api::Stream>& others) {
  Verdict verdict;
  if (stream.metadata.deleting) return verdict;
  if (!cluster) verdict.warnings.push_back(no_cluster(stream.spec.cluster, "stream"));
  verdict.refusals = news(wrong_with(stream, cluster, others),
                          before ? wrong_with(*before, cluster, others) : Errors());
  return verdict;
}

Verdict decide(const api::StreamCluster& cluster, const api::StreamCluster* before,
               const std::vector<api::Stream>& streams) {
  Verdict verdict;
  if (cluster.metadata.deleting) return verdict;
  verdict.refusals =
      news(wrong_with(cluster, before ? before->spec : cluster.spec, streams),
           before ? wrong_with(*before, before->spec, streams) : Errors());
  if (std::string slip = drain_warning(cluster, before); !slip.empty()) verdict.warnings.push_back(slip);
  if (before && verdict.allowed()) {
    if (std::string room = room_warning(cluster, *before); !room.empty()) {
      verdict.warnings.push_back(room);
    }
  }
  return verdict;
}

Verdict decide(const api::StreamUser& user, const api::StreamUser* before,
               const api::StreamCluster* cluster, const std::vector<api::StreamUser>& others,
               const SecretOwner& secret) {
  Verdict verdict;
  if (user.metadata.deleting) return verdict;
  if (!cluster) verdict.warnings.push_back(no_cluster(user.spec.cluster, "user"));
  // What is known is the Secret that is named now: an old name's owner says nothing.
  const bool same_secret = before && before->spec.secret_name == user.spec.secret_name;
  verdict.refusals = news(wrong_with(user, others, secret),
                          before ? wrong_with(*before, others, same_secret ? secret : SecretOwner{})
                                 : Errors());
  return verdict;
}

}  // namespace sluice_operator::admission
