#include "operator/coordinator/session_server.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <mutex>
#include <set>

#include "broker/base/log.h"
#include "broker/proto/coordination.grpc.pb.h"
#include "operator/coordinator/renewable_credentials.h"

namespace sluice_operator::coordinator {

namespace v1 = sluice::v1;
using broker::Code;
using broker::Status;
using broker::coordination::Coordinator;
using broker::coordination::SessionId;

namespace {

std::set<std::string> identities_of(const grpc::CallbackServerContext& context) {
  std::set<std::string> names;
  auto auth = context.auth_context();
  if (!auth) return names;
  for (const char* property : {GRPC_X509_SAN_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME}) {
    for (const auto& value : auth->FindPropertyValues(property)) {
      names.emplace(value.data(), value.size());
    }
  }
  return names;
}

}  // namespace

// One stream. It owns itself from the call's begin to OnDone; everything but gRPC's callbacks,
// which only post, happens on the executor.
class ServerSession : public grpc::ServerBidiReactor<v1::BrokerMessage, v1::CoordinatorMessage>,
                      public std::enable_shared_from_this<ServerSession> {
 public:
  ServerSession(std::shared_ptr<SessionServer::Impl> server, grpc::CallbackServerContext* context);
  void begin();
  void send(const v1::CoordinatorMessage& message);
  // Ends the call after what is queued.
  void finish();
  // Ends it whatever is under way.
  void abort() {
    cancel();
    finish_now();
  }
  void cancel() {
    std::lock_guard lock(mutex_);
    if (!gone_) context_->TryCancel();
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override {}
  void OnDone() override;

  SessionId id = 0;
  Coordinator* coordinator = nullptr;  // once registered
  std::string cluster;
  const std::set<std::string> identities;

 private:
  void write_next();
  void finish_now();

  std::shared_ptr<SessionServer::Impl> server_;
  grpc::CallbackServerContext* context_;
  v1::BrokerMessage incoming_;
  v1::CoordinatorMessage outgoing_;
  std::deque<v1::CoordinatorMessage> queue_;
  size_t queued_bytes_ = 0;
  bool writing_ = false, finishing_ = false, finished_ = false, broken_ = false;
  std::mutex mutex_;
  bool gone_ = false;  // OnDone was called: the context is no more; under mutex_
  std::shared_ptr<ServerSession> self_;
};

struct SessionServer::Impl : public v1::Coordinator::CallbackService,
                             public std::enable_shared_from_this<SessionServer::Impl> {
  Impl(broker::env::Executor& e, SessionServerOptions o) : executor(e), options(std::move(o)) {
    if (options.tls) tls = std::make_unique<TlsSource>(*options.tls);
  }

  grpc::ServerBidiReactor<v1::BrokerMessage, v1::CoordinatorMessage>* Session(
      grpc::CallbackServerContext* context) override {
    auto session = std::make_shared<ServerSession>(shared_from_this(), context);
    session->begin();
    return session.get();
  }

  void opened(const std::shared_ptr<ServerSession>& session);
  void received(ServerSession& session, const v1::BrokerMessage& message);
  void admit(ServerSession& session, const v1::BrokerMessage& message);
  void refuse(ServerSession& session, const std::string& reason);
  void ended(ServerSession& session);

  struct Cluster {
    std::string name, identity;
    Coordinator* coordinator;
  };
  broker::env::Executor& executor;
  const SessionServerOptions options;
  std::vector<Cluster> clusters;
  std::map<SessionId, std::shared_ptr<ServerSession>> sessions;
  SessionId last_session = 0;
  bool stopped = false;
  std::unique_ptr<TlsSource> tls;  // outlives the server
  std::unique_ptr<grpc::Server> server;
};

// ---- a session ----

ServerSession::ServerSession(std::shared_ptr<SessionServer::Impl> server,
                             grpc::CallbackServerContext* context)
    : identities(identities_of(*context)), server_(std::move(server)), context_(context) {}

void ServerSession::begin() {
  self_ = shared_from_this();
  server_->executor.post([self = shared_from_this()] {
    self->server_->opened(self);
    self->StartRead(&self->incoming_);
  });
}

void ServerSession::OnReadDone(bool ok) {
  server_->executor.post([self = shared_from_this(), ok] {
    if (!ok) return self->finish();  // the broker is done, or the connection is
    v1::BrokerMessage message;
    message.Swap(&self->incoming_);
    self->server_->received(*self, message);
    // The next only now: a busy executor slows the broker down instead of queueing without end.
    if (!self->finished_) self->StartRead(&self->incoming_);
  });
}

void ServerSession::send(const v1::CoordinatorMessage& message) {
  if (finishing_ || broken_) return;
  queued_bytes_ += message.ByteSizeLong();
  queue_.push_back(message);
  if (queued_bytes_ > server_->options.queue_bytes_max) {
    broker::log_warn("session-server", "a broker does not read, its session ends",
                     {{"session", id}});
    broken_ = true;
    queue_.clear();
    return cancel();
  }
  write_next();
}

void ServerSession::write_next() {
  if (writing_ || broken_ || finished_) return;
  if (queue_.empty()) {
    if (finishing_) finish_now();
    return;
  }
  writing_ = true;
  outgoing_ = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= outgoing_.ByteSizeLong();
  StartWrite(&outgoing_);
}

void ServerSession::OnWriteDone(bool ok) {
  server_->executor.post([self = shared_from_this(), ok] {
    self->writing_ = false;
    if (!ok) {
      self->broken_ = true;
      return self->finish();
    }
    self->write_next();
  });
}

void ServerSession::finish() {
  finishing_ = true;
  if (broken_) return finish_now();
  write_next();
}

void ServerSession::finish_now() {
  if (finished_) return;
  finished_ = true;
  Finish(grpc::Status::OK);
}

void ServerSession::OnDone() {
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
  }
  auto server = server_;  // *this may end before post() returns
  server->executor.post([self = std::move(self_)] { self->server_->ended(*self); });
}

// ---- the server's side of it ----

void SessionServer::Impl::opened(const std::shared_ptr<ServerSession>& session) {
  session->id = ++last_session;
  sessions[session->id] = session;
  if (stopped) return session->cancel();
  executor.schedule_after(options.register_ms, [weak = std::weak_ptr(session)] {
    auto session = weak.lock();
    if (session && !session->coordinator) session->finish();
  });
}

void SessionServer::Impl::received(ServerSession& session, const v1::BrokerMessage& message) {
  if (stopped) return;
  if (session.coordinator) return session.coordinator->on_message(session.id, message);
  admit(session, message);
}

void SessionServer::Impl::admit(ServerSession& session, const v1::BrokerMessage& message) {
  if (!message.has_register_()) return refuse(session, "the first message must be Register");
  const std::string& name = message.register_().cluster();
  bool known = false;
  for (const auto& cluster : clusters) {
    if (cluster.name != name) continue;
    known = true;
    if (options.tls && !session.identities.count(cluster.identity)) continue;
    session.coordinator = cluster.coordinator;
    session.cluster = cluster.name + "\n" + cluster.identity;
    cluster.coordinator->on_connect(session.id);
    return cluster.coordinator->on_message(session.id, message);
  }
  refuse(session, known ? "the certificate is not one of cluster '" + name + "'"
                        : "this coordinator does not know cluster '" + name + "'");
}

void SessionServer::Impl::refuse(ServerSession& session, const std::string& reason) {
  broker::log_warn("session-server", "session refused", {{"reason", reason}});
  v1::CoordinatorMessage message;
  message.mutable_refused()->set_reason(reason);
  session.send(message);
  session.finish();
}

void SessionServer::Impl::ended(ServerSession& session) {
  Coordinator* coordinator = session.coordinator;
  session.coordinator = nullptr;
  const SessionId id = session.id;
  sessions.erase(id);
  if (coordinator) coordinator->on_disconnect(id);
}

// ---- the server ----

SessionServer::SessionServer(broker::env::Executor& executor, SessionServerOptions options)
    : impl_(std::make_shared<Impl>(executor, std::move(options))) {}

SessionServer::~SessionServer() {
  stop();
}

Status SessionServer::start() {
  grpc::ServerBuilder builder;
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (impl_->tls) credentials = renewable_credentials(*impl_->tls);
  builder.AddListeningPort(impl_->options.listen, credentials, &port_);
  builder.RegisterService(impl_.get());
  builder.SetMaxReceiveMessageSize(64 << 20);
  // Two servers on one port would split the brokers between them.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A broker's host that vanishes is noticed within seconds; brokers ping too.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  impl_->server = builder.BuildAndStart();
  if (!impl_->server || port_ == 0) {
    impl_->server.reset();
    return Status(Code::kUnavailable, "cannot listen on " + impl_->options.listen);
  }
  return {};
}

void SessionServer::renew(ServerTls tls) {
  if (impl_->tls) impl_->tls->renew(std::move(tls));
}

void SessionServer::stop() {
  impl_->stopped = true;
  for (auto& [id, session] : impl_->sessions) session->coordinator = nullptr;
  if (!impl_->server) return;
  // The executor may have ended: nothing may wait for it.
  for (auto& [id, session] : impl_->sessions) session->abort();
  impl_->server->Shutdown(std::chrono::system_clock::now());
  impl_->server.reset();
  impl_->sessions.clear();  // they hold impl_
}

void SessionServer::add_cluster(const std::string& cluster, const std::string& identity,
                                Coordinator& coordinator) {
  remove_cluster(cluster, identity);
  impl_->clusters.push_back({cluster, identity, &coordinator});
}

void SessionServer::remove_cluster(const std::string& cluster, const std::string& identity) {
  std::erase_if(impl_->clusters, [&](const Impl::Cluster& c) {
    return c.name == cluster && c.identity == identity;
  });
  for (auto& [id, session] : impl_->sessions) {
    if (session->cluster != cluster + "\n" + identity) continue;
    session->coordinator = nullptr;
    session->finish();
  }
}

void SessionServer::send(SessionId session, const v1::CoordinatorMessage& message) {
  auto it = impl_->sessions.find(session);
  if (it != impl_->sessions.end()) it->second->send(message);
}

void SessionServer::close(SessionId session) {
  auto it = impl_->sessions.find(session);
  if (it != impl_->sessions.end()) it->second->finish();
}

}  // namespace sluice_operator::coordinator
