#pragma once
// What every Kafka handler works with: the broker's services, the request in flight, and the way to
// answer it. Made by app (Services), by the server (Exchange). Reactor only.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/metrics.h"
#include "broker/cluster/metadata.h"
#include "broker/env/env.h"
#include "broker/proto/coordination.pb.h"
#include "broker/protocol/kafka/errors.h"
#include "broker/protocol/kafka/frames.h"
#include "broker/quotas/client_quotas.h"
#include "broker/security/authorizer.h"
#include "broker/security/scram.h"

namespace broker::partition {
class Partition;
struct Appended;
enum class Acks;
}
namespace broker::groups {
class Groups;
}

namespace broker::handlers::kafka {

namespace wire = ::broker::protocol::kafka;
namespace v1 = ::sluice::v1;
using wire::ApiKey;
using wire::Error;

struct Options {
  int32_t request_bytes_max = 100 << 20;      // a frame
  int32_t fetch_bytes_max = 55 << 20;         // records in one fetch answer, whatever was asked
  int32_t batch_bytes_max = 1'048'588;        // where a stream says nothing; Kafka's default
  int32_t producer_id_block = 1000;           // ids taken from the coordinator at a time
  int32_t decompressed_bytes_max = 64 << 20;  // of one batch, in look-ups by timestamp
  int32_t fetch_wait_ms_max = 300'000;
  int64_t idle_close_ms = 600'000;
  size_t fetch_sessions_max = 1000;
  bool auto_create_topics = true;  // asking Metadata for a topic creates it, as Kafka does
  int32_t num_partitions = 1;  // of a topic that does not say how many
  std::string data_dir;  // as DescribeLogDirs names it
  // A new group waits this long for more members before its first assignment.
  int32_t group_initial_rebalance_delay_ms = 3000;
  int32_t group_size_max = INT32_MAX;
};

using AdminDone = std::function<void(Result<v1::AdminResponse>)>;

// Appends to shards whose leadership is being moved away from this broker: routing::HandOver.
class HandOver {
 public:
  virtual ~HandOver() = default;
  virtual bool takes(const ShardId& shard) const = 0;
  virtual void append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
                      std::function<void(Result<partition::Appended>)> done) = 0;
};

// The broker around the handlers. All references outlive them.
struct Services {
  env::Executor& executor;
  env::Clock& clock;
  env::Random& random;
  Metrics& metrics;
  cluster::Metadata& metadata;
  BrokerId self;
  // The shard's partition on this broker, or null. Pointers are not kept across turns.
  std::function<partition::Partition*(const ShardId&)> find_partition;
  // cluster::Session::admin.
  std::function<void(v1::AdminRequest, int64_t timeout_ms, AdminDone)> admin;
  Options options = {};
  // Who may do what; null: everybody everything.
  const security::Authorizer* authorizer = nullptr;
  // Free bytes of the file system below the data directory.
  std::function<Result<uint64_t>()> disk_free = {};
  // What clients may use; null: as much as they like.
  quotas::ClientQuotas* quotas = nullptr;
  // Records of a stream go to a consumer in this zone.
  std::function<void(const std::string& zone, const Uuid& stream, size_t bytes)> fetched_in = {};
  // Null: whoever comes to a leader that leaves is told so.
  HandOver* hand_over = nullptr;
  // partition::Partitions::limit_catch_up.
  std::function<void(std::optional<int64_t> bytes_per_s)> limit_catch_up = {};
};

// What the requests of one connection share. Made by the server.
struct Client {
  std::string listener;  // its name; empty: the broker's first
  security::Principal principal;
  bool tls = false;
  bool authenticated = true;  // false: only the APIs that authenticate are served
  std::string sasl_mechanism;  // chosen by SaslHandshake
  bool raw_tokens = false;     // SaslHandshake version 0: tokens come without Kafka's header
  bool failed = false;  // an authentication failed: nothing more is served
  std::unique_ptr<security::ScramServer> scram;
  // Reads nothing from the connection for so long (KIP-219); empty: there is none.
  std::function<void(int64_t ms)> mute;
};
// Of requests that no connection brought (tests): anonymous, let in.
inline const std::shared_ptr<Client>& anonymous_client() {
  static const auto client = std::make_shared<Client>();
  return client;
}

// One request in flight. The server's `reply` takes the frame to send; no pieces: the request has
// no response. `close` ends the connection instead. Exactly one of them is called, once.
struct Exchange {
  wire::RequestHeader header;
  Buffer frame;
  std::function<void(std::vector<Buffer>)> reply;
  std::function<void()> close;
  int64_t started_us = 0;
  Error error = Error::kNone;  // the last one in the response, for the metrics
  std::shared_ptr<Client> client = anonymous_client();
  // How long the client is told to pause, and the reactor's work for the request so far: throttle.h.
  int64_t throttle_ms = 0;
  const Services* counts_work = nullptr;  // null: it is not counted
  int64_t work_us = 0, turn_began_us = -1;

  int16_t version() const { return header.api_version; }
  // Notes an error and gives its number on the wire.
  int16_t fail(Error e) {
    if (e != Error::kNone) error = e;
    return wire::wire(e);
  }
};
using ExchangePtr = std::shared_ptr<Exchange>;

// State that handlers share: one per broker.
class ProducerIds;
class FetchSessions;
class DepartedBrokers;
struct Context {
  explicit Context(Services services);
  ~Context();
  Services services;
  std::unique_ptr<ProducerIds> producer_ids;
  std::unique_ptr<FetchSessions> fetch_sessions;
  std::unique_ptr<groups::Groups> groups;
  std::unique_ptr<DepartedBrokers> departed_brokers;
  // What clients have set of this broker, by name: bytes/s. Until it ends.
  std::map<std::string, int64_t> throttles;
};

// Counts the work that is not counted yet, and mutes the connection where the client is to pause.
void begin_pause(Exchange& exchange);

template <class Response>
void respond(Exchange& exchange, const Response& response) {
  begin_pause(exchange);
  if constexpr (requires { response.throttle_time_ms; }) {
    if (exchange.throttle_ms > 0) {
      Response told = response;
      told.throttle_time_ms = static_cast<int32_t>(exchange.throttle_ms);
      return exchange.reply(
          wire::encode_response(exchange.header.correlation_id, exchange.version(), told));
    }
  }
  exchange.reply(
      wire::encode_response(exchange.header.correlation_id, exchange.version(), response));
}

}  // namespace broker::handlers::kafka
