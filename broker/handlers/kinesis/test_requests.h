#pragma once
// Short ways to ask and to look, over TestBroker. For this folder's tests.
#include "broker/handlers/kinesis/test_broker.h"

namespace broker::handlers::kinesis {

inline const std::string kInvalid = "InvalidArgumentException", kInUse = "ResourceInUseException",
                  kNotFound = "ResourceNotFoundException", kLimit = "LimitExceededException",
                  kValidation = "ValidationException";

template <class Request>
Request named(const std::string& stream) {
  Request request;
  request.stream_name = stream;
  return request;
}

inline wire::StreamDescription describe(TestBroker& broker, const std::string& stream) {
  return broker.must(named<wire::DescribeStreamRequest>(stream)).stream_description;
}

inline wire::StreamDescriptionSummary summary(TestBroker& broker, const std::string& stream) {
  return broker.must(named<wire::DescribeStreamSummaryRequest>(stream)).stream_description_summary;
}

inline bool becomes_active(TestBroker& broker, const std::string& stream) {
  return broker.world.run_until([&] { return is_active(*broker.metadata.find(stream)); },
                                60'000'000);
}

}  // namespace broker::handlers::kinesis
