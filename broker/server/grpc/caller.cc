#include "broker/server/grpc/caller.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "broker/security/scram.h"

namespace broker::server::grpc {
namespace {

using security::Operation;
using security::Resource;
constexpr size_t kCheckedMax = 10'000;
constexpr size_t kHeaderBytesMax = 4096;

Status denied(const std::string& what) { return Status(Code::kPermissionDenied, what); }

std::string hash(const std::string& text) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

std::string unbase64(const std::string& text) {
  if (text.empty() || text.size() % 4 != 0) return {};
  std::string out(text.size() / 4 * 3, '\0');
  int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                             reinterpret_cast<const unsigned char*>(text.data()),
                             static_cast<int>(text.size()));
  if (size < 0) return {};
  size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  out.resize(static_cast<size_t>(size) - padding);
  return out;
}

// "ipv4:10.0.0.1:5000" and "ipv6:[::1]:5000" without scheme and port.
std::string host_of(const std::string& peer) {
  size_t scheme = peer.find(':');
  size_t port = peer.rfind(':');
  if (scheme == std::string::npos || port <= scheme) return peer;
  std::string host = peer.substr(scheme + 1, port - scheme - 1);
  if (host.starts_with("[") && host.ends_with("]")) host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

Claim claim_of(const ::grpc::ServerContextBase& context) {
  Claim claim;
  claim.host = host_of(context.peer());
  auto auth = context.auth_context();
  if (auth) {
    auto type = auth->FindPropertyValues("transport_security_type");
    claim.tls = !type.empty() && (type.front() == "tls" || type.front() == "ssl");
    auto names = auth->FindPropertyValues("x509_common_name");
    if (!names.empty()) claim.certificate_name.assign(names.front().data(), names.front().size());
  }
  auto header = context.client_metadata().find("authorization");
  if (header != context.client_metadata().end() && header->second.size() <= kHeaderBytesMax) {
    claim.authorization.assign(header->second.data(), header->second.size());
  }
  return claim;
}

Result<security::Principal> Gate::identify(const Claim& claim) {
  security::Principal who{claim.certificate_name, claim.host};
  if (claim.authorization.empty()) return who;
  if (!claim.tls) return denied("a password is taken only under TLS");
  ASSIGN_OR_RETURN(who.user, check_password(claim.authorization));
  return who;
}

Result<std::string> Gate::check_password(const std::string& authorization) {
  if (checked_version_ != authorizer_->version() || checked_.size() > kCheckedMax) checked_.clear();
  checked_version_ = authorizer_->version();
  std::string key = hash(authorization);
  if (auto it = checked_.find(key); it != checked_.end()) return it->second;
  if (!authorization.starts_with("Basic ")) return denied("authorization must be Basic");
  std::string pair = unbase64(authorization.substr(6));
  size_t colon = pair.find(':');
  if (colon == std::string::npos) return denied("malformed Basic authorization");
  std::string user = pair.substr(0, colon);
  for (const char* mechanism : {security::kScramSha512, security::kScramSha256}) {
    const auto* credential = authorizer_->credential(user, mechanism);
    if (credential && security::is_password(*credential, pair.substr(colon + 1))) {
      checked_[key] = user;
      return user;
    }
  }
  return denied("wrong user or password");
}

Status Gate::on_stream(const security::Principal& who, Operation operation,
                       const std::string& stream) const {
  if (authorizer_->allowed(who, operation, Resource::kTopic, stream)) return {};
  return denied(who.name() + " has no right " + std::string(to_string(operation)) +
                " on the stream '" + stream + "'");
}

Status Gate::on_cluster(const security::Principal& who, Operation operation) const {
  if (authorizer_->allowed(who, operation, Resource::kCluster, security::kClusterName)) return {};
  return denied(who.name() + " has no right " + std::string(to_string(operation)) +
                " on the cluster");
}

Status Gate::permits(const security::Principal& who, const v1::CreateStreamRequest& request) const {
  if (on_cluster(who, Operation::kCreate).ok()) return {};
  return on_stream(who, Operation::kCreate, request.name());
}
Status Gate::permits(const security::Principal& who, const v1::DeleteStreamRequest& request) const {
  return on_stream(who, Operation::kDelete, request.name());
}
Status Gate::permits(const security::Principal& who, const v1::UpdateStreamRequest& request) const {
  return on_stream(who, Operation::kAlterConfigs, request.name());
}
Status Gate::permits(const security::Principal& who,
                     const v1::DescribeStreamRequest& request) const {
  return on_stream(who, Operation::kDescribe, request.name());
}
// The whole cluster's bill names every stream.
Status Gate::permits(const security::Principal& who, const v1::DescribeBillRequest& request) const {
  if (request.stream().empty()) return on_cluster(who, Operation::kDescribe);
  return on_stream(who, Operation::kDescribe, request.stream());
}
Status Gate::permits(const security::Principal& who, const v1::SplitShardRequest& request) const {
  return on_stream(who, Operation::kAlter, request.stream());
}
Status Gate::permits(const security::Principal& who, const v1::MergeShardsRequest& request) const {
  return on_stream(who, Operation::kAlter, request.stream());
}
Status Gate::permits(const security::Principal& who, const v1::PublishRequest& request) const {
  // Later requests of a call leave the name out, and go to the first one's stream.
  if (request.stream().empty()) return {};
  return on_stream(who, Operation::kWrite, request.stream());
}
Status Gate::permits(const security::Principal& who, const v1::SubscribeRequest& request) const {
  if (request.stream().empty()) return {};
  return on_stream(who, Operation::kRead, request.stream());
}

void Gate::filter(const Claim& claim, v1::ListStreamsResponse& response) {
  if (!enforcing()) return;
  auto who = identify(claim);
  for (int i = response.streams_size() - 1; i >= 0; --i) {
    if (who.ok() && on_stream(*who, Operation::kDescribe, response.streams(i).name()).ok()) continue;
    response.mutable_streams()->DeleteSubrange(i, 1);
  }
}

}  // namespace broker::server::grpc
