#pragma once
// Whether the client of a request may do what it asks; everybody may where nothing is enforced. Used
// by the handlers and the dispatcher, on the reactor.
#include <string_view>

#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

using security::Operation;
using security::Resource;

inline bool allowed(const Services& services, const Exchange& exchange, Operation operation,
                    Resource resource, std::string_view name) {
  return !services.authorizer ||
         services.authorizer->allowed(exchange.client->principal, operation, resource, name);
}
inline bool allowed_on_topic(const Services& services, const Exchange& exchange,
                             Operation operation, std::string_view topic) {
  return allowed(services, exchange, operation, Resource::kTopic, topic);
}
inline bool allowed_on_group(const Services& services, const Exchange& exchange,
                             Operation operation, std::string_view group) {
  return allowed(services, exchange, operation, Resource::kGroup, group);
}
inline bool allowed_on_cluster(const Services& services, const Exchange& exchange,
                               Operation operation) {
  return allowed(services, exchange, operation, Resource::kCluster, security::kClusterName);
}

}  // namespace broker::handlers::kafka
