// PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy. A policy is kept and given back; with
// one account there is nobody whom it could let in or keep out.
#include <nlohmann/json.hpp>

#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

constexpr size_t kPolicyBytesMax = 20'480;

std::string name_of(const std::string& consumer) {
  return consumer.empty() ? attributes::kPolicy : attributes::kConsumerPolicy + consumer;
}

}  // namespace

void Handlers::handle(const Call&, wire::PutResourcePolicyRequest& request,
                      Done<wire::PutResourcePolicyResponse> done) {
  if (request.policy.size() > kPolicyBytesMax) {
    return done(wire::limit_exceeded("A resource policy may have " +
                                     std::to_string(kPolicyBytesMax) + " bytes."));
  }
  auto json = nlohmann::json::parse(request.policy, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return done(wire::invalid_argument("The policy is not a valid JSON document."));
  }
  with_resource(request.resource_arn, done, [this, &request, done](const Resource& resource) {
    auto decide = [name = name_of(resource.consumer),
                   policy = request.policy](const cluster::Stream&) -> OrError<Change> {
      return Change{{{name, policy}}, {}, {}};
    };
    change_attributes(done.caller(), resource.stream->name(), std::move(decide),
                      respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::GetResourcePolicyRequest& request,
                      Done<wire::GetResourcePolicyResponse> done) {
  with_resource(request.resource_arn, done, [done](const Resource& resource) {
    wire::GetResourcePolicyResponse response;
    response.policy = attributes::get(*resource.stream, name_of(resource.consumer));
    if (response.policy.empty()) response.policy = "{}";
    done(response);
  });
}

void Handlers::handle(const Call&, wire::DeleteResourcePolicyRequest& request,
                      Done<wire::DeleteResourcePolicyResponse> done) {
  with_resource(request.resource_arn, done, [this, &request, done](const Resource& resource) {
    auto decide = [name = name_of(resource.consumer),
                   arn = request.resource_arn](const cluster::Stream& stream) -> OrError<Change> {
      if (attributes::get(stream, name).empty()) {
        return wire::resource_not_found("No resource policy found for resource ARN " + arn + ".");
      }
      return Change{{}, {name}, {name}};
    };
    change_attributes(done.caller(), resource.stream->name(), std::move(decide),
                      respond_or_fail(done));
  });
}

}  // namespace broker::handlers::kinesis
