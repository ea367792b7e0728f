#pragma once
// What the handlers of groups share: error numbers, who a client is and what it may do, and several
// groups in one request. On the reactor.
#include <memory>

#include "broker/groups/groups.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

using groups::Effects;
using groups::GroupError;
using groups::Machine;
using groups::Now;
using groups::Reply;

// The group module's errors carry Kafka's numbers.
inline Error to_error(GroupError error) {
  return static_cast<Error>(error);
}

// As Apache Kafka shows it in descriptions.
inline std::string client_host(const Exchange& exchange) {
  return "/" + exchange.client->principal.host;
}

// Runs `step` for the group, if the client may do `operation` on it.
template <class T, class Step>
void run_for(Context& context, const Exchange& exchange, Operation operation,
             const std::string& group, const Reply<T>& reply, const Step& step) {
  if (allowed_on_group(context.services, exchange, operation, group)) {
    return context.groups->run(group, reply, step);
  }
  T refused;
  refused.error = GroupError::kGroupAuthorizationFailed;
  reply(std::move(refused));
}

// Kafka's bit field of what the client may do with a group. Without ACLs: read, delete, describe.
inline int32_t group_operations(const Services& services, const Exchange& exchange,
                                const std::string& group) {
  if (services.authorizer) {
    return services.authorizer->operations_on(exchange.client->principal, Resource::kGroup, group);
  }
  int32_t bits = 0;
  for (Operation o : {Operation::kRead, Operation::kDelete, Operation::kDescribe}) {
    bits |= 1 << static_cast<int>(o);
  }
  return bits;
}

// Answers one request about several groups when each has been asked of its coordinator.
template <class Response>
class GroupBatch : public std::enable_shared_from_this<GroupBatch<Response>> {
 public:
  explicit GroupBatch(ExchangePtr exchange) : exchange_(std::move(exchange)) {}

  Response response;
  Exchange& exchange() { return *exchange_; }

  // `fill` puts a result into the response, by index: references into it grow stale.
  template <class T, class Step>
  void ask(Context& context, Operation operation, const std::string& group, const Step& step,
           std::function<void(T)> fill) {
    ++pending_;
    Reply<T> reply = [self = this->shared_from_this(), fill = std::move(fill)](T result) {
      fill(std::move(result));
      self->finish();
    };
    run_for(context, *exchange_, operation, group, reply, step);
  }
  // After the last ask().
  void finish() {
    if (--pending_ == 0) respond(*exchange_, response);
  }

 private:
  ExchangePtr exchange_;
  size_t pending_ = 1;
};

}  // namespace broker::handlers::kafka
