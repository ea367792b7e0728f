// DescribeClientQuotas and AlterClientQuotas (KIP-546). Quotas are the coordinator's: what is described
// is what is in force here, what is altered is durable before the answer. The quotas of a user that a
// resource declares are the resource's, and refused.
#include <algorithm>
#include <map>
#include <set>

#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

using Describe = wire::DescribeClientQuotasRequest;
using Alter = wire::AlterClientQuotasRequest;
constexpr int32_t kTimeoutMs = 30'000;  // the API carries none
enum class Match : int8_t { kExact = 0, kDefault = 1, kAny = 2 };

// Why the filter means nothing; empty: it does.
std::string judge(const Describe& request) {
  std::set<std::string_view> types;
  for (const auto& component : request.components) {
    const auto match = static_cast<Match>(component.match_type);
    if (component.entity_type.empty()) return "Unexpected empty entity type";
    if (!types.insert(component.entity_type).second) {
      return "Entity type " + component.entity_type + " is there twice";
    }
    if (match != Match::kExact && match != Match::kDefault && match != Match::kAny) {
      return "Unknown match type " + std::to_string(component.match_type);
    }
    if ((match == Match::kExact) != component.match.has_value()) {
      return "A match by name, and no other, needs the name of the " + component.entity_type;
    }
  }
  return {};
}

bool matches(const Describe& request, const v1::ClientQuota& quota) {
  if (request.strict && quota.entity_size() != static_cast<int>(request.components.size())) {
    return false;
  }
  return std::all_of(request.components.begin(), request.components.end(), [&](const auto& asked) {
    return std::any_of(quota.entity().begin(), quota.entity().end(), [&](const auto& part) {
      if (part.type() != asked.entity_type) return false;
      switch (static_cast<Match>(asked.match_type)) {
        case Match::kExact:
          return part.has_name() && part.name() == *asked.match;
        case Match::kDefault:
          return !part.has_name();
        case Match::kAny:
          return true;
      }
      return false;
    });
  });
}

v1::AlterClientQuotas to_change(const Alter::Entry& asked, bool validate_only) {
  v1::AlterClientQuotas change;
  for (const auto& part : asked.entity) {
    auto& entity = *change.add_entity();
    entity.set_type(part.entity_type);
    if (part.entity_name) entity.set_name(*part.entity_name);
  }
  for (const auto& op : asked.ops) {
    auto& out = *change.add_ops();
    out.set_key(op.key);
    if (!op.remove) out.set_value(op.value);
  }
  change.set_validate_only(validate_only);
  return change;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Describe request) {
  wire::DescribeClientQuotasResponse response;
  std::string wrong = judge(request);
  if (!wrong.empty()) {
    response.error_code = exchange->fail(Error::kInvalidRequest);
    response.error_message = wrong;
    return respond(*exchange, response);
  }
  response.entries.emplace();
  for (const auto& quota : context.services.metadata.client_quotas().quotas()) {
    if (!matches(request, quota)) continue;
    auto& entry = response.entries->emplace_back();
    for (const auto& part : quota.entity()) {
      auto& entity = entry.entity.emplace_back();
      entity.entity_type = part.type();
      if (part.has_name()) entity.entity_name = part.name();
    }
    const std::map<std::string, double> ordered(quota.values().begin(), quota.values().end());
    for (const auto& [key, value] : ordered) {
      auto& out = entry.values.emplace_back();
      out.key = key;
      out.value = value;
    }
  }
  respond(*exchange, response);
}

void handle(Context& context, const ExchangePtr& exchange, Alter request) {
  const Services& services = context.services;
  using Response = wire::AlterClientQuotasResponse;
  auto batch = std::make_shared<AdminBatch<Response>>(services, exchange, kTimeoutMs);
  const bool allowed = allowed_on_cluster(services, *exchange, Operation::kAlterConfigs);
  for (const auto& asked : request.entries) {
    const size_t at = batch->response.entries.size();
    auto& entry = batch->response.entries.emplace_back();
    for (const auto& part : asked.entity) {
      auto& entity = entry.entity.emplace_back();
      entity.entity_type = part.entity_type;
      entity.entity_name = part.entity_name;
    }
    if (!allowed) {
      entry.error_code = exchange->fail(Error::kClusterAuthorizationFailed);
      entry.error_message = "not authorized to alter client quotas";
      continue;
    }
    v1::AdminRequest ask;
    *ask.mutable_alter_client_quotas() = to_change(asked, request.validate_only);
    batch->ask(std::move(ask), [b = batch.get(), at](const Result<v1::AdminResponse>& answer) {
      if (answer.ok()) return;
      auto& entry = b->response.entries[at];
      const bool bad = answer.code() == Code::kInvalidArgument;
      entry.error_code =
          b->exchange().fail(bad ? Error::kInvalidRequest : admin_error(answer.code()));
      entry.error_message = answer.status().message();
    });
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
