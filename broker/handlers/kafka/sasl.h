#pragma once
// The authentication of a connection, token by token: shared by the SaslAuthenticate handler and by
// the dispatcher, which takes the bare tokens of old clients. Reactor only.
#include <string>
#include <string_view>

#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

// The token to answer with; kPermissionDenied when the authentication has failed for good. When the
// last token has come, `client` has its principal. A mechanism must have been chosen.
Result<std::string> take_sasl_token(const Services& services, Client& client,
                                    std::string_view token);

}  // namespace broker::handlers::kafka
