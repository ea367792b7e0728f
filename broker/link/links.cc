#include "broker/link/links.h"

#include <set>

#include "broker/base/log.h"
#include "broker/link/connection.h"
#include "broker/replication/core/wire.h"

namespace broker::link {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

Result<std::shared_ptr<asio::ssl::context>> make_tls(const TlsFiles& files) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls);
  error_code error;
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                           asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                           asio::ssl::context::no_tlsv1_1,
                       error);
  if (!error) context->load_verify_file(files.ca, error);
  if (!error) context->use_certificate_chain_file(files.cert, error);
  if (!error) context->use_private_key_file(files.key, asio::ssl::context::pem, error);
  if (!error) {
    context->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert,
                             error);
  }
  if (error) return Status(Code::kInvalidArgument, "TLS files: " + error.message());
  return context;
}

}  // namespace

struct Links::Impl : std::enable_shared_from_this<Links::Impl> {
  struct Peer {
    cluster::v1::Endpoint endpoint;
    bool dialling = false;
    int64_t delay_ms = 0;
    std::shared_ptr<Connection> dialled;   // hello sent and received
    std::shared_ptr<Connection> accepted;
    bool up = false;
    replication::Member member;
    std::shared_ptr<Connection> best() const { return dialled ? dialled : accepted; }
  };

  Impl(env::AsioExecutor& e, env::Clock& c, cluster::Metadata& m, Hello s, LinkOptions o)
      : executor(e), clock(c), metadata(m), self(std::move(s)), options(std::move(o)),
        acceptor(e.context()), resolver(e.context()) {}

  Status listen() {
    error_code error;
    auto address = asio::ip::make_address(options.listen_host, error);
    if (error) return Status(Code::kInvalidArgument, "replication address " + options.listen_host);
    tcp::endpoint endpoint(address, options.listen_port);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return Status(Code::kUnavailable, "cannot listen for brokers on " + options.listen_host + ":" +
                                            std::to_string(options.listen_port) + ": " +
                                            error.message());
    }
    return {};
  }

  void accept() {
    acceptor.async_accept([me = shared_from_this()](error_code error, tcp::socket socket) {
      if (me->stopped) return;
      if (!error) me->accepted(std::move(socket));
      me->accept();
    });
  }

  void accepted(tcp::socket socket) {
    if (!options.tls.enabled()) {
      adopt(make_connection(std::move(socket)), std::nullopt);
      return;
    }
    auto context = make_tls(options.tls);
    if (!context.ok()) {
      log_error("link", "cannot accept", {{"error", context.status().to_string()}});
      return;
    }
    handshake(std::make_unique<TlsStream>(std::move(socket), **context), *context, std::nullopt);
  }

  // Completes a TLS handshake within two seconds, then adopts the connection. `target`: whom we
  // dialled; none when we were dialled.
  void handshake(std::unique_ptr<TlsStream> stream, std::shared_ptr<asio::ssl::context> context,
                 std::optional<BrokerId> target) {
    auto shared = std::make_shared<std::unique_ptr<TlsStream>>(std::move(stream));
    auto timer = std::make_shared<asio::steady_timer>(executor.context(), std::chrono::seconds(2));
    timer->async_wait([shared](error_code error) {
      error_code ignored;
      if (!error && *shared) (*shared)->lowest_layer().close(ignored);
    });
    auto done = [me = shared_from_this(), shared, context, timer, target](error_code error) {
      timer->cancel();
      if (me->stopped) return;
      if (!error) {
        me->adopt(make_connection(std::move(*shared), context), target);
        return;
      }
      log_warn("link", "TLS handshake failed", {{"error", error.message()}});
      if (target) me->redial(*target);
    };
    (*shared)->async_handshake(
        target ? asio::ssl::stream_base::client : asio::ssl::stream_base::server, std::move(done));
  }

  // A connection that is ready for frames: says hello and waits for the peer's.
  void adopt(std::shared_ptr<Connection> connection, std::optional<BrokerId> target) {
    connection->target = target;
    connection->last_heard_ms = connection->last_taken_ms = clock.mono_ms();
    connections.insert(connection);
    Connection::Events events;
    std::weak_ptr<Impl> weak = weak_from_this();
    events.frame = [weak](Connection& c, FrameKind kind, const Buffer& body) {
      if (auto me = weak.lock()) me->on_frame(c, kind, body);
    };
    events.closed = [weak](Connection& c, const std::string& why) {
      if (auto me = weak.lock()) me->on_closed(c, why);
    };
    connection->start(std::move(events));
    connection->send(FrameKind::kHello, encode_hello(self));
  }

  void dial(BrokerId id) {
    auto it = peers.find(id);
    if (it == peers.end() || it->second.dialling || it->second.dialled || stopped) return;
    it->second.dialling = true;
    std::string host = it->second.endpoint.host();
    auto port = std::to_string(it->second.endpoint.port());
    auto socket = std::make_shared<tcp::socket>(executor.context());
    auto timer = std::make_shared<asio::steady_timer>(executor.context(), std::chrono::seconds(2));
    auto give_up = [me = shared_from_this(), id] { me->redial(id); };
    resolver.async_resolve(
        host, port,
        [me = shared_from_this(), id, host, socket, timer, give_up](error_code error, auto found) {
          if (me->stopped) return;
          if (error) return give_up();
          timer->async_wait([socket](error_code cancelled) {
            error_code ignored;
            if (!cancelled) socket->close(ignored);
          });
          asio::async_connect(*socket, found, [=](error_code failed, const tcp::endpoint&) {
            timer->cancel();
            if (me->stopped) return;
            if (failed) return give_up();
            me->connected(id, host, std::move(*socket));
          });
        });
  }

  void connected(BrokerId id, const std::string& host, tcp::socket socket) {
    if (!options.tls.enabled()) {
      adopt(make_connection(std::move(socket)), id);
      return;
    }
    auto context = make_tls(options.tls);
    if (!context.ok()) {
      log_error("link", "cannot dial", {{"error", context.status().to_string()}});
      redial(id);
      return;
    }
    auto stream = std::make_unique<TlsStream>(std::move(socket), **context);
    stream->set_verify_callback(asio::ssl::host_name_verification(host));
    handshake(std::move(stream), *context, id);
  }

  void redial(BrokerId id) {
    auto it = peers.find(id);
    if (it == peers.end() || stopped) return;
    Peer& peer = it->second;
    peer.dialling = false;
    peer.delay_ms = std::min<int64_t>(std::max(options.redial_ms, peer.delay_ms * 2), 1000);
    executor.schedule_after(peer.delay_ms, [weak = weak_from_this(), id] {
      if (auto me = weak.lock()) me->dial(id);
    });
  }

  void on_frame(Connection& connection, FrameKind kind, const Buffer& body) {
    connection.last_heard_ms = clock.mono_ms();
    if (!connection.peer && kind != FrameKind::kHello) {
      connection.close("no hello");
      return;
    }
    switch (kind) {
      case FrameKind::kHello: on_hello(connection, body); break;
      case FrameKind::kHeartbeat: break;
      case FrameKind::kReplication: on_replication(connection, body); break;
      case FrameKind::kRequest: on_request(connection, body); break;
      case FrameKind::kReply: on_reply(connection, body); break;
      default: connection.close("unknown frame kind");
    }
  }

  void on_hello(Connection& connection, const Buffer& body) {
    auto hello = decode_hello(body.view());
    if (!hello.ok() || hello->cluster != self.cluster || hello->broker == self.broker) {
      std::string why = !hello.ok() ? hello.status().to_string()
                                    : "it belongs to cluster '" + hello->cluster + "' as broker " +
                                          std::to_string(hello->broker.value);
      log_warn("link", "peer refused", {{"why", why}});
      connection.close(why);
      return;
    }
    connection.peer = *hello;
    Peer& peer = peers[hello->broker];
    auto shared = find_connection(connection);
    auto& slot = connection.target ? peer.dialled : peer.accepted;
    auto replaced = std::exchange(slot, shared);
    if (connection.target) {
      peer.dialling = false;
      peer.delay_ms = 0;
    }
    if (replaced && replaced != shared) replaced->close("replaced by a newer connection");
    set_up(hello->broker, peer, {hello->broker, hello->directory});
  }

  void set_up(BrokerId id, Peer& peer, replication::Member member) {
    bool same = peer.up && peer.member == member;
    if (same) return;
    if (peer.up) handlers.peer(peer.member, false);
    peer.up = true;
    peer.member = member;
    log_info("link", "peer up", {{"broker", id.value}});
    handlers.peer(member, true);
  }

  void on_replication(Connection& connection, const Buffer& body) {
    auto decoded = replication::decode_message(body);
    if (!decoded.ok()) {
      log_error("link", "malformed replication message",
                {{"broker", connection.peer->broker.value},
                 {"error", decoded.status().to_string()}});
      connection.close("malformed replication message");
      return;
    }
    handlers.message(connection.peer->broker, decoded->shard, std::move(decoded->message));
  }

  void on_request(Connection& connection, const Buffer& body) {
    if (body.size() < 8) return connection.close("short request");
    auto id = load_be<uint64_t>(body.data());
    std::weak_ptr<Connection> back = find_connection(connection);
    handlers.request(body.slice(8, body.size() - 8),
                     [back, id, bytes_max = options.requests_bytes_max](
                         std::string head, std::vector<Buffer> payload) {
                       auto connection = back.lock();
                       if (!connection) return;
                       // Records only: what was done is always said.
                       if (!payload.empty() && connection->queued_bytes() > bytes_max) {
                         head = std::string(1, static_cast<char>(Code::kUnavailable)) +
                                "the link to the asking broker is full";
                         payload.clear();
                       }
                       std::string reply;
                       ByteWriter(reply).u64(id);
                       connection->send(FrameKind::kReply, reply + head, std::move(payload));
                     });
  }

  void on_reply(Connection& connection, const Buffer& body) {
    if (body.size() < 8) return connection.close("short reply");
    auto waiting = connection.replies.find(load_be<uint64_t>(body.data()));
    if (waiting == connection.replies.end()) return;
    auto reply = std::move(waiting->second);
    connection.replies.erase(waiting);
    reply(body.slice(8, body.size() - 8));
  }

  void on_closed(Connection& connection, const std::string& why) {
    auto shared = find_connection(connection);
    connections.erase(shared);
    if (!connection.peer) {
      if (connection.target) redial(*connection.target);
      return;
    }
    auto it = peers.find(connection.peer->broker);
    if (it == peers.end()) return;
    Peer& peer = it->second;
    if (peer.dialled == shared) {
      peer.dialled.reset();
      redial(it->first);
    }
    if (peer.accepted == shared) peer.accepted.reset();
    if (peer.best() || !peer.up) {
      // What was under way on the lost connection must be asked for again.
      if (peer.up && !stopped) {
        handlers.peer(peer.member, false);
        handlers.peer(peer.member, true);
      }
      return;
    }
    peer.up = false;
    log_info("link", "peer down", {{"broker", it->first.value}, {"why", why}});
    if (!stopped) handlers.peer(peer.member, false);
  }

  std::shared_ptr<Connection> find_connection(Connection& connection) {
    for (const auto& known : connections) {
      if (known.get() == &connection) return known;
    }
    return nullptr;
  }

  void follow_metadata() {
    std::set<BrokerId> wanted;
    for (const auto& [id, broker] : metadata.brokers()) {
      if (id == self.broker || broker.replication().port() == 0) continue;
      wanted.insert(id);
      Peer& peer = peers[id];
      peer.endpoint = broker.replication();
      if (!peer.dialled && !peer.dialling) dial(id);
    }
  }

  void heartbeat() {
    int64_t now = clock.mono_ms();
    std::vector<std::pair<std::shared_ptr<Connection>, const char*>> dead;
    for (const auto& connection : connections) {
      if (now - connection->last_heard_ms > options.silent_ms) {
        dead.emplace_back(connection, "silent");
      } else if (is_stuck(*connection, now)) {
        dead.emplace_back(connection, "takes nothing");
      } else if (connection->peer) {
        connection->send(FrameKind::kHeartbeat, {});
      }
    }
    for (const auto& [connection, why] : dead) connection->close(why);
    executor.schedule_after(options.heartbeat_ms, [weak = weak_from_this()] {
      if (auto me = weak.lock()) me->heartbeat();
    });
  }

  // Something is queued, and nothing of it was taken for a while.
  bool is_stuck(Connection& connection, int64_t now) const {
    const uint64_t taken = connection.taken_bytes();
    if (connection.queued_bytes() == 0 || taken != connection.seen_taken_bytes) {
      connection.seen_taken_bytes = taken;
      connection.last_taken_ms = now;
    }
    return now - connection.last_taken_ms > options.stuck_ms;
  }

  bool full(const Connection& connection) const {
    return connection.queued_bytes() > options.requests_bytes_max;
  }

  std::shared_ptr<Connection> connection_to(BrokerId to) const {
    auto it = peers.find(to);
    return it == peers.end() ? nullptr : it->second.best();
  }

  void stop() {
    stopped = true;
    error_code ignored;
    acceptor.close(ignored);
    resolver.cancel();
    auto all = connections;
    for (const auto& connection : all) connection->close("stopping");
  }

  env::AsioExecutor& executor;
  env::Clock& clock;
  cluster::Metadata& metadata;
  const Hello self;
  const LinkOptions options;
  LinkHandlers handlers;
  tcp::acceptor acceptor;
  tcp::resolver resolver;
  std::map<BrokerId, Peer> peers;
  std::set<std::shared_ptr<Connection>> connections;
  uint64_t next_request = 1;
  bool stopped = false;

};

Links::Links(env::AsioExecutor& executor, env::Clock& clock, cluster::Metadata& metadata, Hello self,
             LinkOptions options)
    : impl_(std::make_shared<Impl>(executor, clock, metadata, std::move(self),
                                   std::move(options))) {}

Links::~Links() { impl_->stop(); }

Status Links::listen() { return impl_->listen(); }

void Links::start(LinkHandlers handlers) {
  impl_->handlers = std::move(handlers);
  impl_->accept();
  impl_->metadata.add_listener([weak = std::weak_ptr(impl_)](const cluster::Metadata::Change& c) {
    auto me = weak.lock();
    if (me && c.brokers) me->follow_metadata();
  });
  impl_->follow_metadata();
  impl_->heartbeat();
}

void Links::stop() { impl_->stop(); }

uint16_t Links::port() const { return impl_->acceptor.local_endpoint().port(); }

void Links::send(BrokerId to, const ShardId& shard, const replication::Message& message) {
  auto connection = impl_->connection_to(to);
  if (!connection) return;
  std::string head;
  std::vector<Buffer> payload;
  replication::encode_message(shard, message, head, payload);
  if (impl_->handlers.sent) {
    size_t bytes = head.size();
    for (const auto& piece : payload) bytes += piece.size();
    impl_->handlers.sent(to, shard, bytes);
  }
  connection->send(FrameKind::kReplication, std::move(head), std::move(payload));
}

std::vector<BrokerId> Links::heard() const {
  std::vector<BrokerId> up;
  for (const auto& [id, peer] : impl_->peers) {
    if (peer.up) up.push_back(id);
  }
  return up;
}

size_t Links::queued_bytes(BrokerId to) const {
  auto connection = impl_->connection_to(to);
  return connection ? connection->queued_bytes() : 0;
}

void Links::request(BrokerId to, std::string head, std::vector<Buffer> payload, Reply reply) {
  auto connection = impl_->connection_to(to);
  if (!connection) {
    reply(Status(Code::kUnavailable, "no connection to broker " + std::to_string(to.value)));
    return;
  }
  if (impl_->full(*connection)) {
    reply(Status(Code::kUnavailable, "the link to broker " + std::to_string(to.value) + " is full"));
    return;
  }
  uint64_t id = impl_->next_request++;
  connection->replies.emplace(id, std::move(reply));
  std::string framed;
  ByteWriter(framed).u64(id);
  connection->send(FrameKind::kRequest, framed + head, std::move(payload));
}

}  // namespace broker::link
