#include "broker/cluster/grpc/grpc_link.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "broker/base/log.h"
#include "broker/proto/coordination.grpc.pb.h"

namespace broker::cluster {
namespace {

constexpr int64_t kRedialMinMs = 100, kRedialMaxMs = 1000;
// How long each address gets to take the connection and shake hands. It grows where that was too short: a
// coordinator whose brokers all come back at once needs longer, and each attempt given up was work for nothing.
constexpr int64_t kPatienceMinMs = 1000, kPatienceMaxMs = 4000;
constexpr uint64_t kTlsFileMax = 1 << 20;

}  // namespace

// One stream. gRPC's callbacks post to the reactor; everything else happens there. It owns itself
// (`self`) from the start of the call to OnDone, which may come when the reactor is no more.
class SessionStream : public ::grpc::ClientBidiReactor<v1::BrokerMessage, v1::CoordinatorMessage>,
               public std::enable_shared_from_this<SessionStream> {
 public:
  struct Events {
    std::function<void(v1::CoordinatorMessage)> message;
    std::function<void(const std::string& why)> ended;
  };
  SessionStream(env::Executor& executor, Events events)
      : executor_(&executor), events_(std::move(events)) {}

  void begin(v1::Coordinator::Stub& stub) {
    self_ = shared_from_this();
    stub.async()->Session(&context_, this);
    // Reads and writes begin on the reactor, outside gRPC's callbacks: without a hold the call may
    // end, and what they would use be gone, at any moment.
    AddHold();
    StartRead(&incoming_);
    StartCall();
  }
  void send(v1::BrokerMessage message) {
    queue_.push_back(std::move(message));
    write_next();
  }
  size_t queued() const { return queue_.size(); }
  void cancel() { context_.TryCancel(); }
  // Ends the call, and waits for its end. On return nothing is posted any more, and there are no
  // events. The caller has the last reference: with it goes one to the channel, and where that is the
  // last gRPC joins its threads; one of these would join itself.
  void abandon() {
    std::unique_lock lock(mutex_);
    executor_ = nullptr;
    lock.unlock();
    events_ = {};
    cancel();
    let_end();
    lock.lock();
    ended_.wait(lock, [this] { return done_; });
  }

  void OnReadDone(bool ok) override {
    post([self = shared_from_this(), ok] {
      if (self->closed_) return;
      if (!ok) return self->let_end();
      v1::CoordinatorMessage message;
      message.Swap(&self->incoming_);
      self->StartRead(&self->incoming_);
      if (self->events_.message) self->events_.message(std::move(message));
    });
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return;
    post([self = shared_from_this()] {
      self->writing_ = false;
      self->write_next();
    });
  }
  void OnDone(const ::grpc::Status& status) override {
    std::lock_guard lock(mutex_);
    done_ = true;
    ended_.notify_all();
    auto self = std::move(self_);
    if (!executor_) return;  // abandoned: who waits for it has another reference
    executor_->post([self = std::move(self), why = status.error_message()] {
      auto ended = std::move(self->events_.ended);
      self->events_ = {};
      if (ended) ended(why);
    });
  }

 private:
  // From gRPC's threads, until abandon().
  void post(env::Task task) {
    std::lock_guard lock(mutex_);
    if (executor_) executor_->post(std::move(task));
  }
  // No read or write begins any more: OnDone follows.
  void let_end() {
    if (closed_) return;
    closed_ = true;
    RemoveHold();
  }
  void write_next() {
    if (writing_ || closed_ || queue_.empty()) return;
    writing_ = true;
    outgoing_ = std::move(queue_.front());
    queue_.pop_front();
    StartWrite(&outgoing_);
  }

  std::mutex mutex_;
  env::Executor* executor_;  // under mutex_; absent once abandoned
  Events events_;
  ::grpc::ClientContext context_;
  v1::CoordinatorMessage incoming_;
  v1::BrokerMessage outgoing_;
  std::deque<v1::BrokerMessage> queue_;
  bool writing_ = false, closed_ = false;
  std::condition_variable ended_;
  bool done_ = false;  // under mutex_: gRPC uses the stream no more
  std::shared_ptr<SessionStream> self_;
};

struct GrpcLink::Impl : std::enable_shared_from_this<GrpcLink::Impl> {
  Impl(env::Executor& e, env::Random& r, env::FileSystem& f, GrpcLinkOptions o)
      : executor(e), random(r), fs(f), options(std::move(o)) {}

  Result<std::shared_ptr<::grpc::ChannelCredentials>> credentials() {
    if (options.tls_ca.empty()) return ::grpc::InsecureChannelCredentials();
    ::grpc::SslCredentialsOptions ssl;
    ASSIGN_OR_RETURN(ssl.pem_root_certs, env::read_file(fs, options.tls_ca, kTlsFileMax));
    ASSIGN_OR_RETURN(ssl.pem_cert_chain, env::read_file(fs, options.tls_cert, kTlsFileMax));
    ASSIGN_OR_RETURN(ssl.pem_private_key, env::read_file(fs, options.tls_key, kTlsFileMax));
    return ::grpc::SslCredentials(ssl);
  }

  // For each stream: with the certificates and the addresses of now. One that is kept answers calls with its last
  // failure and, where a handshake was given up, never tries again (seen with gRPC 1.51).
  Result<std::unique_ptr<v1::Coordinator::Stub>> make_stub() {
    ASSIGN_OR_RETURN(auto creds, credentials());
    ::grpc::ChannelArguments args;
    // Of these, gRPC takes the least time between attempts for the most that one may last, too.
    args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(patience_ms));
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kRedialMinMs);
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kRedialMaxMs);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
    args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    args.SetMaxReceiveMessageSize(256 << 20);
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::Coordinator::NewStub(::grpc::CreateCustomChannel(options.target, creds, args));
  }

  void dial() {
    if (stopped) return;
    auto made = make_stub();
    if (!made.ok()) {
      log_error("session", "cannot dial the coordinator", {{"error", made.status().to_string()}});
      redial();
      return;
    }
    stub = std::move(*made);
    impatient = executor.schedule_after(patience_ms, [weak = weak_from_this()] {
      if (auto me = weak.lock()) me->patience_ms = std::min(me->patience_ms * 2, kPatienceMaxMs);
    });
    SessionStream::Events events;
    events.message = [me = shared_from_this()](v1::CoordinatorMessage message) {
      if (me->stopped) return;
      me->executor.cancel(me->impatient);
      me->delay_ms = 0;
      me->patience_ms = kPatienceMinMs;
      me->failures = 0;
      me->session->on_message(message);
    };
    events.ended = [me = shared_from_this()](const std::string& why) {
      me->executor.cancel(me->impatient);
      me->stream.reset();
      if (me->stopped) return;
      me->tell_failure(why);
      me->session->on_disconnected();
      me->redial();
    };
    stream = std::make_shared<SessionStream>(executor, std::move(events));
    stream->begin(*stub);
    session->on_connected();
  }

  // Each reason once, and again after every 60 attempts: a minute, or some where each takes its time.
  void tell_failure(const std::string& why) {
    constexpr int kTellEvery = 60;
    if (failures++ % kTellEvery == 0 || why != last_why) {
      log_warn("session", "no session with the coordinator",
               {{"target", options.target}, {"why", why}, {"attempts", failures}});
    }
    last_why = why;
  }

  void redial() {
    delay_ms = std::clamp(delay_ms * 2, kRedialMinMs, kRedialMaxMs);
    int64_t jittered = delay_ms / 2 + static_cast<int64_t>(random.below(delay_ms / 2 + 1));
    executor.schedule_after(jittered, [weak = weak_from_this()] {
      if (auto me = weak.lock()) me->dial();
    });
  }

  env::Executor& executor;
  env::Random& random;
  env::FileSystem& fs;
  const GrpcLinkOptions options;
  Session* session = nullptr;
  std::unique_ptr<v1::Coordinator::Stub> stub;
  std::string last_why;
  std::shared_ptr<SessionStream> stream;
  int64_t delay_ms = 0, patience_ms = kPatienceMinMs;
  int failures = 0;  // since the coordinator was last heard
  env::TimerId impatient = 0;
  bool stopped = false;
};

GrpcLink::GrpcLink(env::Executor& executor, env::Random& random, env::FileSystem& fs,
                   GrpcLinkOptions options)
    : impl_(std::make_shared<Impl>(executor, random, fs, std::move(options))) {}

GrpcLink::~GrpcLink() { stop(); }

void GrpcLink::start(Session& session) {
  impl_->session = &session;
  impl_->dial();
}

void GrpcLink::stop() {
  impl_->stopped = true;
  if (!impl_->stream) return;
  impl_->stream->abandon();
  impl_->stream.reset();
}

void GrpcLink::send(const v1::BrokerMessage& message) {
  if (!impl_->stream) return;
  impl_->stream->send(message);
  if (impl_->stream->queued() > impl_->options.queue_messages_max) impl_->stream->cancel();
}

void GrpcLink::reconnect() {
  if (impl_->stream) impl_->stream->cancel();
}

}  // namespace broker::cluster
