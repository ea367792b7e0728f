#include "operator/certs/rotation.h"

namespace sluice_operator::certs {

using broker::Code;
using broker::Result;
using broker::Status;

const char* to_string(CaPhase phase) {
  switch (phase) {
    case CaPhase::kStable: return "Stable";
    case CaPhase::kTrusting: return "Trusting";
    case CaPhase::kReissuing: return "Reissuing";
  }
  return "";
}

CaPhase Authority::phase() const {
  if (!next.cert.empty()) return CaPhase::kTrusting;
  return old_cert.empty() ? CaPhase::kStable : CaPhase::kReissuing;
}

std::string Authority::bundle() const { return ca.cert + next.cert + old_cert; }

Result<Authority> read_authority(const std::map<std::string, std::string>& data, int64_t since_s) {
  auto get = [&](const char* key) {
    auto it = data.find(key);
    return it == data.end() ? std::string() : it->second;
  };
  Authority out{{get("ca.crt"), get("ca.key")}, {get("next-ca.crt"), get("next-ca.key")},
                get("old-ca.crt"), since_s};
  if (out.ca.cert.empty() || out.ca.key.empty()) {
    return Status(Code::kCorruption, "it lacks ca.crt or ca.key; mend or delete it");
  }
  if (out.next.cert.empty() != out.next.key.empty()) {
    return Status(Code::kCorruption, "next-ca.crt and next-ca.key go together; remove both");
  }
  return out;
}

std::map<std::string, std::string> to_data(const Authority& authority) {
  return {{"ca.crt", authority.ca.cert},          {"ca.key", authority.ca.key},
          {"next-ca.crt", authority.next.cert},   {"next-ca.key", authority.next.key},
          {"old-ca.crt", authority.old_cert}};
}

RotationStep next_step(const Authority& authority, const RotationInput& input) {
  const bool long_enough = input.now_s - authority.since_s >= input.phase_s;
  switch (authority.phase()) {
    case CaPhase::kStable:
      return input.asked || wears_out(authority.ca.cert, input.now_s) ? RotationStep::kBegin
                                                                      : RotationStep::kNone;
    case CaPhase::kTrusting:
      return input.trusted_everywhere && long_enough ? RotationStep::kReissue : RotationStep::kNone;
    case CaPhase::kReissuing:
      return input.reissued_everywhere && long_enough ? RotationStep::kDropOld
                                                      : RotationStep::kNone;
  }
  return RotationStep::kNone;
}

Authority after(const Authority& authority, RotationStep step, const KeyPair& fresh,
                int64_t now_s) {
  Authority out = authority;
  out.since_s = now_s;
  switch (step) {
    case RotationStep::kNone: return authority;
    case RotationStep::kBegin: out.next = fresh; break;
    case RotationStep::kReissue:
      out.old_cert = authority.ca.cert;
      out.ca = authority.next;
      out.next = {};
      break;
    case RotationStep::kDropOld: out.old_cert.clear(); break;
  }
  return out;
}

}  // namespace sluice_operator::certs
