#pragma once
// Who calls the native API, and whether they may: the name in a verified client certificate, or
// HTTP Basic credentials under TLS, held against the users that Kafka's clients have too. Used by
// the server; identity is read on gRPC's threads, the decision is made on the reactor.
#include <grpcpp/grpcpp.h>

#include <map>
#include <string>

#include "broker/proto/sluice.pb.h"
#include "broker/security/authorizer.h"

namespace broker::server::grpc {

namespace v1 = ::sluice::v1;

// What a call says of its caller; a copy, for any thread.
struct Claim {
  bool tls = false;
  std::string certificate_name;  // verified
  std::string authorization;     // the header
  std::string host;
};
Claim claim_of(const ::grpc::ServerContextBase& context);

class Gate {
 public:
  explicit Gate(const security::Authorizer* authorizer) : authorizer_(authorizer) {}

  // Ok, or kPermissionDenied. Without an authorizer, or while nothing is enforced, everybody may.
  template <class Request>
  Status check(const Claim& claim, const Request& request) {
    if (!enforcing()) return {};
    ASSIGN_OR_RETURN(security::Principal who, identify(claim));
    return permits(who, request);
  }
  // Whose call it is, without asking for rights; empty: nobody's.
  std::string user_of(const Claim& claim) {
    if (!authorizer_) return {};
    auto who = identify(claim);
    return who.ok() ? who->user : std::string();
  }
  // Leaves out of a list what the caller may not describe.
  void filter(const Claim& claim, v1::ListStreamsResponse& response);
  template <class Response>
  void filter(const Claim&, Response&) {}

 private:
  bool enforcing() const { return authorizer_ && authorizer_->enforcing(); }
  Result<security::Principal> identify(const Claim& claim);
  Result<std::string> check_password(const std::string& authorization);
  Status on_stream(const security::Principal& who, security::Operation operation,
                   const std::string& stream) const;
  Status on_cluster(const security::Principal& who, security::Operation operation) const;

  Status permits(const security::Principal& who, const v1::CreateStreamRequest& request) const;
  Status permits(const security::Principal& who, const v1::DeleteStreamRequest& request) const;
  Status permits(const security::Principal& who, const v1::UpdateStreamRequest& request) const;
  Status permits(const security::Principal& who, const v1::DescribeStreamRequest& request) const;
  Status permits(const security::Principal& who, const v1::SplitShardRequest& request) const;
  Status permits(const security::Principal& who, const v1::MergeShardsRequest& request) const;
  Status permits(const security::Principal& who, const v1::PublishRequest& request) const;
  Status permits(const security::Principal& who, const v1::SubscribeRequest& request) const;
  Status permits(const security::Principal&, const v1::ListStreamsRequest&) const { return {}; }
  Status permits(const security::Principal&, const v1::DescribeClusterRequest&) const { return {}; }
  Status permits(const security::Principal& who, const v1::DescribeBillRequest& request) const;
  // Whatever has no rule of its own is an administrator's.
  template <class Request>
  Status permits(const security::Principal& who, const Request&) const {
    return on_cluster(who, security::Operation::kAlter);
  }

  const security::Authorizer* authorizer_;
  // Passwords found right, by the hash of their header: a check takes milliseconds.
  std::map<std::string, std::string> checked_;
  uint64_t checked_version_ = 0;
};

}  // namespace broker::server::grpc
