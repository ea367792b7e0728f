#include "broker/server/grpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <deque>
#include <set>

#include "broker/handlers/grpc/status_mapping.h"
#include "broker/proto/sluice.grpc.pb.h"
#include "broker/server/grpc/caller.h"
#include "broker/server/grpc/meter.h"

namespace broker::server::grpc {

namespace v1 = ::sluice::v1;
using handlers::grpc::Handlers;
using handlers::grpc::PublishFlow;
using handlers::grpc::SubscribeFlow;

namespace {

constexpr unsigned kCertificatesLookSeconds = 10;

::grpc::Status to_grpc(const Status& status) {
  if (status.ok()) return ::grpc::Status::OK;
  return ::grpc::Status(handlers::grpc::to_grpc_status(status.code()), status.message());
}

// Counts and times calls by method. Thread-safe.
class CallMetrics {
 public:
  CallMetrics(Metrics& metrics, env::Clock& clock) : metrics_(metrics), clock_(clock) {}
  int64_t now_us() const { return clock_.mono_us(); }
  void finished(const std::string& method, Code code, int64_t began_us) {
    metrics_
        .counter("sluice_grpc_requests_total", "Calls of the native API.",
                 {{"method", method}, {"code", std::string(to_string(code))}})
        .Increment();
    metrics_
        .histogram("sluice_grpc_request_duration_seconds",
                   "Time from a call's start to its end; streams last.", {{"method", method}},
                   {0.001, 0.005, 0.02, 0.1, 0.5, 2, 10})
        .Observe(static_cast<double>(clock_.mono_us() - began_us) / 1e6);
  }

 private:
  Metrics& metrics_;
  env::Clock& clock_;
};

// What the server must be able to end at a stop.
class OpenCall {
 public:
  virtual ~OpenCall() = default;
  virtual void end(const Status& status) = 0;  // on the reactor
};
struct OpenCalls {
  std::set<std::shared_ptr<OpenCall>> calls;
  bool stopping = false;  // what still comes is ended at once
};
Status stopping_status() { return Status(Code::kUnavailable, "the broker is stopping"); }

// A bidirectional call around a flow. gRPC's callbacks post; all state is the reactor's. It is in
// `open` from its start to OnDone.
template <class Request, class Response, class Flow>
class FlowCall : public ::grpc::ServerBidiReactor<Request, Response>,
                 public OpenCall,
                 public std::enable_shared_from_this<FlowCall<Request, Response, Flow>> {
 public:
  FlowCall(env::Executor& executor, OpenCalls& open, CallMetrics& metrics, Gate& gate, Meter& meter,
           Claim claim, std::string method, size_t unanswered_max)
      : executor_(executor), open_(open), metrics_(metrics), gate_(gate), meter_(meter),
        claim_(std::move(claim)),
        method_(std::move(method)), began_us_(metrics.now_us()), unanswered_max_(unanswered_max) {}

  void begin(std::function<std::shared_ptr<Flow>(FlowCall&)> make_flow) {
    keep_ = this->shared_from_this();
    executor_.post([self = keep_, make_flow] {
      self->open_.calls.insert(self);
      if (self->open_.stopping) return self->end(stopping_status());
      self->flow_ = make_flow(*self);
      self->read();
    });
  }

  // From the flow, on the reactor.
  void queue(Response response, size_t bytes) {
    queue_.emplace_back(std::move(response), bytes);
    write();
  }
  void answered(size_t request_bytes) {
    unanswered_ -= request_bytes;
    read();
  }
  void end(const Status& status) override {
    if (ending_) return;
    ending_ = true;
    status_ = status;
    write();  // what a pause has held back
    finish_when_written();
  }

  void OnReadDone(bool ok) override {
    executor_.post([self = this->shared_from_this(), ok] { self->have_read(ok); });
  }
  void OnWriteDone(bool ok) override {
    executor_.post([self = this->shared_from_this(), ok] { self->have_written(ok); });
  }
  void OnCancel() override {
    executor_.post([self = this->shared_from_this()] {
      self->queue_.clear();
      self->cancel_flow();
      self->end(Status(Code::kUnavailable, "cancelled"));
    });
  }
  void OnDone() override {
    executor_.post([self = std::move(keep_)] {
      self->cancel_flow();
      self->metrics_.finished(self->method_, self->status_.code(), self->began_us_);
      self->open_.calls.erase(self);
    });
  }

 private:
  void read() {
    if (reading_ || half_closed_ || ending_ || unanswered_ >= unanswered_max_) return;
    if (pauses_ > 0) return;
    reading_ = true;
    this->StartRead(&incoming_);
  }
  void have_read(bool ok) {
    reading_ = false;
    if (ending_ || !flow_) return;
    if (!ok) {
      half_closed_ = true;
      flow_->on_half_close();
      return;
    }
    size_t bytes = incoming_.ByteSizeLong();
    Request request;
    request.Swap(&incoming_);
    if (!request.stream().empty()) {
      if (Status allowed = gate_.check(claim_, request); !allowed.ok()) return end(allowed);
    }
    int64_t pause_ms = meter_.work(claim_, [&] {
      if constexpr (std::is_same_v<Flow, PublishFlow>) {
        unanswered_ += bytes;
        flow_->on_request(std::move(request), bytes);
      } else {
        flow_->on_request(request);
      }
    });
    if constexpr (std::is_same_v<Flow, PublishFlow>) {
      pause_ms = std::max(pause_ms, meter_.bytes(claim_, quotas::Quota::kProducerByteRate, bytes));
    }
    pause(pause_ms);
    read();
  }
  // Neither reads nor writes for so long; the transport's flow control holds the client back.
  void pause(int64_t ms) {
    if (ms <= 0) return;
    ++pauses_;
    executor_.schedule_after(ms, [self = this->shared_from_this()] {
      if (--self->pauses_ > 0) return;
      self->write();
      self->read();
    });
  }
  void write() {
    if (writing_ || queue_.empty() || finished_) return;
    if (pauses_ > 0 && !ending_ && std::is_same_v<Flow, SubscribeFlow>) return;
    writing_ = true;
    outgoing_ = std::move(queue_.front().first);
    outgoing_bytes_ = queue_.front().second;
    queue_.pop_front();
    this->StartWrite(&outgoing_);
  }
  void have_written(bool ok) {
    writing_ = false;
    if (!ok) queue_.clear();
    if constexpr (std::is_same_v<Flow, SubscribeFlow>) {
      if (ok) pause(meter_.bytes(claim_, quotas::Quota::kConsumerByteRate, outgoing_bytes_));
      if (ok && flow_ && !ending_) flow_->on_sent(outgoing_bytes_);
    }
    write();
    if (ending_) finish_when_written();
  }
  void finish_when_written() {
    if (finished_ || writing_ || !queue_.empty()) return;
    finished_ = true;
    cancel_flow();
    this->Finish(to_grpc(status_));
  }
  void cancel_flow() {
    auto flow = std::move(flow_);
    if (flow) flow->cancel();
  }

  env::Executor& executor_;
  OpenCalls& open_;
  CallMetrics& metrics_;
  Gate& gate_;
  Meter& meter_;
  const Claim claim_;
  const std::string method_;
  const int64_t began_us_;
  const size_t unanswered_max_;
  std::shared_ptr<FlowCall> keep_;
  std::shared_ptr<Flow> flow_;
  Request incoming_;
  Response outgoing_;
  size_t outgoing_bytes_ = 0, unanswered_ = 0;
  std::deque<std::pair<Response, size_t>> queue_;
  bool reading_ = false, writing_ = false, half_closed_ = false;
  bool ending_ = false, finished_ = false;
  int pauses_ = 0;  // under way
  Status status_;
};

class Service : public v1::Sluice::CallbackService {
 public:
  Service(Handlers& handlers, env::Executor& executor, CallMetrics& metrics, OpenCalls& open,
          Gate& gate, Meter& meter, size_t publish_bytes_max)
      : handlers_(handlers), executor_(executor), metrics_(metrics), open_(open), gate_(gate),
        meter_(meter),
        publish_bytes_max_(publish_bytes_max) {}

  using Context = ::grpc::CallbackServerContext;
  using Unary = ::grpc::ServerUnaryReactor;

#define SLUICE_UNARY(Method, function, Request, Response)                                     \
  Unary* Method(Context* context, const v1::Request* request, v1::Response* response) override { \
    return unary<v1::Request, v1::Response>(#Method, context, request, response,              \
                                            &Handlers::function);                             \
  }
  SLUICE_UNARY(CreateStream, create_stream, CreateStreamRequest, DescribeStreamResponse)
  SLUICE_UNARY(DeleteStream, delete_stream, DeleteStreamRequest, DeleteStreamResponse)
  SLUICE_UNARY(UpdateStream, update_stream, UpdateStreamRequest, DescribeStreamResponse)
  SLUICE_UNARY(ListStreams, list_streams, ListStreamsRequest, ListStreamsResponse)
  SLUICE_UNARY(DescribeStream, describe_stream, DescribeStreamRequest, DescribeStreamResponse)
  SLUICE_UNARY(SplitShard, split_shard, SplitShardRequest, ReshardResponse)
  SLUICE_UNARY(MergeShards, merge_shards, MergeShardsRequest, ReshardResponse)
  SLUICE_UNARY(PlaceShard, place_shard, PlaceShardRequest, PlaceShardResponse)
  SLUICE_UNARY(DescribeCluster, describe_cluster, DescribeClusterRequest, DescribeClusterResponse)
  SLUICE_UNARY(DescribeBill, describe_bill, DescribeBillRequest, Bill)
#undef SLUICE_UNARY

  ::grpc::ServerBidiReactor<v1::PublishRequest, v1::PublishResponse>* Publish(
      Context* context) override {
    using Call = FlowCall<v1::PublishRequest, v1::PublishResponse, PublishFlow>;
    auto call = std::make_shared<Call>(executor_, open_, metrics_, gate_, meter_, claim_of(*context), "Publish",
                                       publish_bytes_max_);
    call->begin([this](Call& c) {
      auto self = std::weak_ptr(c.shared_from_this());
      PublishFlow::Output output;
      output.respond = [self](v1::PublishResponse response, size_t request_bytes) {
        if (auto live = self.lock()) {
          live->queue(std::move(response), 0);
          live->answered(request_bytes);
        }
      };
      output.finish = [self](const Status& status) {
        if (auto live = self.lock()) live->end(status);
      };
      return handlers_.publish(std::move(output));
    });
    return call.get();
  }

  ::grpc::ServerBidiReactor<v1::SubscribeRequest, v1::SubscribeResponse>* Subscribe(
      Context* context) override {
    using Call = FlowCall<v1::SubscribeRequest, v1::SubscribeResponse, SubscribeFlow>;
    auto call = std::make_shared<Call>(executor_, open_, metrics_, gate_, meter_, claim_of(*context), "Subscribe",
                                       SIZE_MAX);
    call->begin([this](Call& c) {
      auto self = std::weak_ptr(c.shared_from_this());
      SubscribeFlow::Output output;
      output.send = [self](v1::SubscribeResponse response, size_t bytes) {
        if (auto live = self.lock()) live->queue(std::move(response), bytes);
      };
      output.finish = [self](const Status& status) {
        if (auto live = self.lock()) live->end(status);
      };
      return handlers_.subscribe(std::move(output));
    });
    return call.get();
  }

 private:
  template <class Request, class Response>
  Unary* unary(std::string method, Context* context, const Request* request, Response* response,
               void (Handlers::*function)(const Request&, handlers::grpc::Done<Response>)) {
    auto* reactor = context->DefaultReactor();
    int64_t began_us = metrics_.now_us();
    executor_.post([=, this, method = std::move(method), claim = claim_of(*context)] {
      auto finish = [=, this](Result<Response> result) {
        metrics_.finished(method, result.code(), began_us);
        if (result.ok()) {
          *response = std::move(*result);
          gate_.filter(claim, *response);
        }
        reactor->Finish(to_grpc(result.status()));
      };
      if (Status allowed = gate_.check(claim, *request); !allowed.ok()) return finish(allowed);
      Status admitted = meter_.admit_mutations(claim, handlers_.mutations(*request));
      if (!admitted.ok()) return finish(admitted);
      auto begin = [=, this] {
        meter_.work(claim, [&] { (handlers_.*function)(*request, finish); });
      };
      const int64_t wait_ms = meter_.wait_ms(claim);
      if (wait_ms == 0) return begin();
      executor_.schedule_after(wait_ms, begin);
    });
    return reactor;
  }

  Handlers& handlers_;
  env::Executor& executor_;
  CallMetrics& metrics_;
  OpenCalls& open_;
  Gate& gate_;
  Meter& meter_;
  const size_t publish_bytes_max_;
};

std::shared_ptr<::grpc::ServerCredentials> credentials_of(const ServerOptions& options) {
  if (options.tls_cert.empty()) return ::grpc::InsecureServerCredentials();
  using namespace ::grpc::experimental;
  auto files = std::make_shared<FileWatcherCertificateProvider>(
      options.tls_key, options.tls_cert, options.client_ca, kCertificatesLookSeconds);
  TlsServerCredentialsOptions tls(files);
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  if (!options.client_ca.empty()) {
    tls.watch_root_certs();
    tls.set_cert_request_type(options.client_certificate_required
                                  ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return TlsServerCredentials(tls);
}

}  // namespace

struct Server::Impl {
  Impl(Handlers& handlers, env::Executor& e, env::Clock& clock, Metrics& metrics, ServerOptions o)
      : executor(e), options(std::move(o)), call_metrics(metrics, clock),
        gate(options.authorizer), meter(options.quotas, gate, clock),
        service(handlers, e, call_metrics, open, gate, meter, options.publish_bytes_max) {}

  env::Executor& executor;
  const ServerOptions options;
  CallMetrics call_metrics;
  OpenCalls open;
  Gate gate;
  Meter meter;
  Service service;
  std::unique_ptr<::grpc::Server> server;
  int port = 0;
};

Server::Server(Handlers& handlers, env::Executor& executor, env::Clock& clock, Metrics& metrics,
               ServerOptions options)
    : impl_(std::make_unique<Impl>(handlers, executor, clock, metrics, std::move(options))) {}

Server::~Server() = default;

Status Server::start() {
  ::grpc::EnableDefaultHealthCheckService(true);
  ::grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  ::grpc::ServerBuilder builder;
  std::string address = impl_->options.host + ":" + std::to_string(impl_->options.port);
  builder.AddListeningPort(address, credentials_of(impl_->options), &impl_->port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Finds dead clients, and lets clients look for a dead broker while nothing flows.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1'000);
  builder.SetMaxReceiveMessageSize(impl_->options.message_bytes_max);
  builder.SetMaxSendMessageSize(-1);
  builder.RegisterService(&impl_->service);
  impl_->server = builder.BuildAndStart();
  if (impl_->server && impl_->port != 0) return {};
  return Status(Code::kUnavailable, "cannot listen for gRPC on " + address);
}

uint16_t Server::port() const { return static_cast<uint16_t>(impl_->port); }

void Server::stop(env::IoQueue& io, int64_t timeout_ms, std::function<void()> done) {
  if (!impl_->server) {
    done();
    return;
  }
  if (auto* health = impl_->server->GetHealthCheckService()) health->SetServingStatus(false);
  impl_->open.stopping = true;
  auto open = impl_->open.calls;
  for (const auto& call : open) call->end(stopping_status());
  io.submit(
      [server = impl_->server.get(), timeout_ms] {
        server->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_REALTIME),
                                      gpr_time_from_millis(timeout_ms, GPR_TIMESPAN)));
        return Status();
      },
      [done](Status) { done(); });
}

}  // namespace broker::server::grpc
