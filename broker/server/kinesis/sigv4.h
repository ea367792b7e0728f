#pragma once
// AWS Signature Version 4, the server's side: who signed this request, and did they? Header and
// presigned-URL forms. The server calls it before anything of the body is looked at. Pure but for
// the clock; the reactor's.
#include <optional>

#include "broker/env/env.h"
#include "broker/protocol/kinesis/call.h"
#include "broker/server/kinesis/credentials.h"
#include "broker/server/kinesis/http.h"

namespace broker::server::kinesis {

struct SignatureRules {
  // --dev without access keys: any key is good and nothing is verified; unsigned requests too.
  bool anyone = false;
  std::string service = "kinesis";
};

struct SignatureClaim;

class SignatureCheck {
 public:
  SignatureCheck(env::Clock& clock, SignatureRules rules)
      : clock_(clock), rules_(std::move(rules)) {}
  // The keys of the file, and those of the cluster's users; the file's win.
  void set_credentials(Credentials credentials);
  void set_user_credentials(Credentials credentials);

  // Nothing: `caller` says who. Else AWS's refusal.
  std::optional<protocol::kinesis::Error> check(const HttpRequest& request,
                                                protocol::kinesis::Caller& caller);

 private:
  std::optional<protocol::kinesis::Error> verify(const HttpRequest& request,
                                                 const SignatureClaim& claim,
                                                 protocol::kinesis::Caller& caller);
  std::optional<protocol::kinesis::Error> check_key(const SignatureClaim& claim) const;
  const Credential* find_key(std::string_view key) const;
  const Digest& signing_key(const SignatureClaim& claim, const std::string& secret);

  env::Clock& clock_;
  const SignatureRules rules_;
  Credentials credentials_, user_credentials_;
  // By key, day, region: derived anew for every request they would cost four HMACs.
  std::map<std::string, Digest, std::less<>> signing_keys_;
};

// What a signature that covers `signed_headers` signs. For AWS's published examples.
std::string canonical_request(const HttpRequest& request,
                              const std::vector<std::string>& signed_headers);

}  // namespace broker::server::kinesis
