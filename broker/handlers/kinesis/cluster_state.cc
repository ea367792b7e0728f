#include "broker/handlers/kinesis/cluster_state.h"

#include <openssl/rand.h>

#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/base64url.h"

namespace broker::handlers::kinesis {
namespace {

constexpr const char* kSecret = "kinesis.secret";
constexpr const char* kSettingPrefix = "kinesis.account/";
constexpr size_t kSecretBytes = 32;

}  // namespace

std::string ClusterState::known_secret() const {
  auto stream = services_.metadata.find(kInternalStream);
  return stream ? std::string(attributes::get(*stream, kSecret)) : "";
}

void ClusterState::with_secret(std::function<void(const Result<std::string>&)> done) {
  if (auto secret = known_secret(); !secret.empty()) return done(secret);
  waiting_.push_back(std::move(done));
  if (waiting_.size() == 1) make_secret();
}

void ClusterState::make_secret() {
  // Not from env::Random: nobody may guess it.
  unsigned char bytes[kSecretBytes];
  if (RAND_bytes(bytes, sizeof bytes) != 1) {
    return answer_waiting(Status(Code::kInternal, "the system gives no randomness"));
  }
  const std::string secret = to_base64url({reinterpret_cast<const char*>(bytes), sizeof bytes});
  create_stream([this, secret](const Status& status) {
    if (!status.ok()) return answer_waiting(status);
    set_attribute(kSecret, secret, true, [this](const Status& status) {
      // A conflict: another broker was first, and its secret is known now or in a moment.
      auto known = known_secret();
      if (!known.empty()) return answer_waiting(known);
      answer_waiting(status.ok() || status.code() == Code::kConflict
                         ? Status(Code::kUnavailable, "the cluster's secret is not known yet")
                         : status);
    });
  });
}

void ClusterState::answer_waiting(const Result<std::string>& secret) {
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& done : waiting) done(secret);
}

void ClusterState::create_stream(std::function<void(const Status&)> done) {
  if (services_.metadata.find(kInternalStream)) return done(Status());
  v1::AdminRequest request;
  request.mutable_create_stream()->set_name(kInternalStream);
  request.mutable_create_stream()->mutable_config()->set_mode(v1::STREAM_MODE_PARTITIONED);
  request.mutable_create_stream()->mutable_config()->set_partitions(1);
  services_.admin(std::move(request), kAdminTimeoutMs, [done](Result<v1::AdminResponse> answer) {
    done(answer.code() == Code::kAlreadyExists ? Status() : answer.status());
  });
}

void ClusterState::set_attribute(const std::string& name, const std::string& value,
                                 bool only_if_absent, std::function<void(const Status&)> done) {
  v1::AdminRequest request;
  auto* change = request.mutable_set_attributes();
  change->set_stream(kInternalStream);
  (*change->mutable_set())[name] = value;
  if (only_if_absent) (*change->mutable_expected())[name] = "";
  services_.admin(std::move(request), kAdminTimeoutMs,
                  [done](Result<v1::AdminResponse> answer) { done(answer.status()); });
}

std::string ClusterState::setting(const std::string& name) const {
  auto stream = services_.metadata.find(kInternalStream);
  return stream ? std::string(attributes::get(*stream, kSettingPrefix + name)) : "";
}

void ClusterState::set_setting(const std::string& name, const std::string& value,
                               std::function<void(const Status&)> done) {
  create_stream([this, name, value, done](const Status& status) {
    if (!status.ok()) return done(status);
    set_attribute(kSettingPrefix + name, value, false, done);
  });
}

}  // namespace broker::handlers::kinesis
