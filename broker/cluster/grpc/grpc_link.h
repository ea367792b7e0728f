#pragma once
// The session's messages over a gRPC stream to the coordinator: dials, and dials again with a
// growing delay when the stream ends. Built by app; its methods are called on the reactor, and it
// calls the session there. gRPC's own threads only post.
#include <memory>
#include <string>

#include "broker/cluster/session.h"
#include "broker/env/env.h"

namespace broker::cluster {

struct GrpcLinkOptions {
  std::string target;  // H:P; a name may stand for several addresses, tried in turn
  std::string tls_ca, tls_cert, tls_key;  // PEM files, all or none; read again for every stream
  size_t queue_messages_max = 10'000;     // above it the stream is given up: nobody reads
};

class GrpcLink : public CoordinatorLink {
 public:
  GrpcLink(env::Executor& executor, env::Random& random, env::FileSystem& fs,
           GrpcLinkOptions options);
  ~GrpcLink() override;
  void start(Session& session);
  // On return, or when the reactor runs no more, nothing of the link uses the executor.
  void stop();

  void send(const v1::BrokerMessage& message) override;
  void reconnect() override;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace broker::cluster
