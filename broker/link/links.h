#pragma once
// Connections between this broker and its peers: framed TCP, with mutual TLS when certificates are
// given. Dials every broker of the metadata, keeps trying, tells when a peer comes and goes, and
// carries replication messages and forwarded requests. Built by app; on the reactor. A peer is "up"
// while our connection to it is open and it was heard from within the link time-out. A connection ends
// when the peer is silent or takes nothing, never because much is queued.
#include <memory>

#include "broker/cluster/metadata.h"
#include "broker/env/posix/asio_executor.h"
#include "broker/link/frame.h"
#include "broker/partition/partitions.h"
#include "broker/routing/router.h"

namespace broker::link {

struct TlsFiles {
  std::string ca, cert, key;  // PEM; all or none. Read again for every connection.
  bool enabled() const { return !ca.empty(); }
};

struct LinkOptions {
  std::string listen_host = "127.0.0.1";
  uint16_t listen_port = 0;  // 0: any
  TlsFiles tls;
  int64_t heartbeat_ms = 200;
  int64_t silent_ms = 1000;       // a peer silent for longer is down
  int64_t redial_ms = 100;        // doubled up to 1 s
  // A connection whose socket takes nothing of what is queued for so long is given up. Nothing else
  // about a slow peer is a reason to: how much replication is under way to it is shared out among its
  // shards before it comes here (replication/core/flow.h).
  int64_t stuck_ms = 5000;
  // Above this, requests to the peer and records in answers to it are refused with kUnavailable.
  size_t requests_bytes_max = 64 << 20;
};

struct LinkHandlers {
  std::function<void(BrokerId, const ShardId&, replication::Message)> message;
  std::function<void(const replication::Member&, bool up)> peer;
  std::function<void(const Buffer&, std::function<void(std::string, std::vector<Buffer>)>)> request;
  // A replication message of so many bytes goes out. May be absent.
  std::function<void(BrokerId, const ShardId&, size_t)> sent = {};
};

class Links : public partition::PeerTransport, public routing::RequestTransport {
 public:
  Links(env::AsioExecutor& executor, env::Clock& clock, cluster::Metadata& metadata, Hello self,
        LinkOptions options);
  ~Links() override;
  // Opens the listener: port() is then known. kUnavailable when the address cannot be bound.
  Status listen();
  // Accepts, and dials whoever the metadata names, now and later.
  void start(LinkHandlers handlers);
  uint16_t port() const;
  // Ends every connection and the listener; nobody is told. What is sent from then on goes nowhere.
  void stop();

  void send(BrokerId to, const ShardId& shard, const replication::Message& message) override;
  std::vector<BrokerId> heard() const override;
  // Queued for the peer and not taken by its socket.
  size_t queued_bytes(BrokerId to) const;
  void request(BrokerId to, std::string head, std::vector<Buffer> payload, Reply reply) override;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace broker::link
