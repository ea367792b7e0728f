#pragma once
// The handlers, one file per API. Each answers its exchange exactly once, now or later. Called by
// the dispatcher on the reactor.
#include "broker/handlers/kafka/context.h"
#include "broker/protocol/kafka/messages/all.h"

namespace broker::handlers::kafka {

#define SL_DECLARE_HANDLER(Name) void handle(Context&, const ExchangePtr&, wire::Name##Request);
SL_KAFKA_FOR_EACH_API(SL_DECLARE_HANDLER)
#undef SL_DECLARE_HANDLER

}  // namespace broker::handlers::kafka
