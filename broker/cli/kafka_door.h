#pragma once
// Requests to brokers through their Kafka door, for what only that door offers (groups). One thread,
// blocking. TLS and authentication follow the same options as gRPC's.
#include <map>
#include <memory>
#include <string>

#include "broker/base/status.h"
#include "broker/cli/arguments.h"
#include "broker/proto/metadata.pb.h"
#include "broker/protocol/kafka/errors.h"
#include "broker/protocol/kafka/frames.h"

namespace broker::cli {

namespace wire = ::broker::protocol::kafka;

// A Kafka error as a sentence; `what` says what was asked.
Status kafka_status(int16_t error, const std::string& what, const std::string& detail = "");

class KafkaConnection;

class KafkaDoor {
 public:
  explicit KafkaDoor(const Arguments& arguments);
  ~KafkaDoor();

  template <class Response, class Request>
  Result<Response> call(const sluice::v1::Endpoint& broker, int16_t version,
                        const Request& request) {
    wire::RequestHeader header{Request::kApiKey, version, ++correlation_, "sluice", {}};
    ASSIGN_OR_RETURN(Buffer frame, exchange(broker, wire::encode_request(header, request)));
    wire::Reader in(frame);
    in.i32();
    wire::UnknownTags tags;
    if (wire::response_header_version(Request::kApiKey, version) == 1) in.unknown_tags(tags);
    return wire::decode_body<Response>(in, version);
  }

 private:
  // Sends a frame (with its length) and takes the answer (without).
  Result<Buffer> exchange(const sluice::v1::Endpoint& broker, const std::string& frame);
  Result<KafkaConnection*> connect(const sluice::v1::Endpoint& broker);

  const Arguments& arguments_;
  int32_t correlation_ = 0;
  std::map<std::string, std::unique_ptr<KafkaConnection>> connections_;
};

}  // namespace broker::cli
