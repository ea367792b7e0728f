#pragma once
// Who may do what through the Kinesis API: each operation asks for one of Kafka's rights on the stream
// (a Topic) that it names, or on the cluster, of the same users and ACLs that the other doors ask.
// Used by Handlers before an operation begins, and once more where only a token tells the stream.
// On the reactor. Invariant: what is not permitted is answered before anything of a stream is told.
#include <optional>
#include <string>

#include "broker/handlers/kinesis/context.h"

namespace broker::handlers::kinesis {

// What an operation is about.
enum class Subject {
  kStream,     // the one that it names
  kToken,      // the one that it names, or that its iterator or page token is of
  kNewStream,  // by the name, or any where the cluster lets create
  kCluster,
  kListed,  // nobody is refused: what may not be described is left out
};
struct Right {
  security::Operation operation;
  Subject subject;
};
Right right_of(wire::Operation operation);

class Access {
 public:
  explicit Access(const Services& services) : services_(services) {}
  // AWS's refusal, or nothing. A call whose stream only a token tells is let through.
  std::optional<wire::Error> check(wire::Call& call) const;
  // Of a stream that a token has told.
  std::optional<wire::Error> check(const wire::Caller& caller, wire::Operation operation,
                                   const std::string& stream) const;
  bool may_describe(const wire::Caller& caller, const std::string& stream) const;

 private:
  bool allowed(const wire::Caller& caller, security::Operation operation,
               security::Resource resource, std::string_view name) const;
  const Services& services_;
};

}  // namespace broker::handlers::kinesis
