// ApiVersions: what is served. A client whose version is unknown here gets a version 0 body with
// error 35, from which it learns what to speak (KIP-511).
#include "broker/handlers/kafka/dispatch.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::ApiVersionsRequest) {
  wire::ApiVersionsResponse response;
  if (exchange->version() < 0) {
    exchange->header.api_version = 0;
    response.error_code = exchange->fail(Error::kUnsupportedVersion);
  }
  for (const Handler& handler : handlers()) {
    const wire::ApiInfo& api = *wire::find_api(static_cast<int16_t>(handler.key));
    response.api_keys.push_back(
        {static_cast<int16_t>(api.key), api.version_min, api.version_max, {}});
  }
  // KIP-848 groups are served, and cannot be turned off.
  response.supported_features.push_back({"group.version", 0, 1, {}});
  response.finalized_features.push_back({"group.version", 1, 1, {}});
  response.finalized_features_epoch = static_cast<int64_t>(context.services.metadata.version());
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
