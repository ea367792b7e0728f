// Goal: the door over real sockets, with a service that answers when the test wants. Answers come in
// order, refusals are AWS's, slow and idle connections end, bodies are bounded, HTTP/2 and HTTP/1.1
// live on one port, and a drain answers what is in flight.
#include "broker/server/kinesis/listener.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "broker/env/posix/posix.h"

namespace broker::server::kinesis {
namespace {

namespace wire = protocol::kinesis;

// Answers ListStreams with the asked limit as a name, and holds what it is told to hold.
class TestService : public wire::Service {
 public:
  void handle(wire::CallPtr call) override {
    if (hold) return held.push_back(std::move(call));
    answer(call);
  }
  static void answer(const wire::CallPtr& call) {
    if (auto* list = std::get_if<wire::ListStreamsRequest>(&call->request())) {
      wire::ListStreamsResponse response;
      response.stream_names = {std::to_string(list->limit.value_or(0)), call->caller().region};
      return call->respond(response);
    }
    if (auto* put = std::get_if<wire::PutRecordRequest>(&call->request())) {
      return call->respond(wire::PutRecordResponse{put->partition_key,
                                                   std::to_string(put->data.size()), {}});
    }
    if (call->operation() == wire::Operation::kDescribeLimits) return;  // dropped
    call->fail(wire::limit_exceeded("no"));
  }
  bool hold = false;
  std::vector<wire::CallPtr> held;
};

class Client {
 public:
  explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // More bytes, or false at the end.
  bool receive() {
    char piece[65536];
    ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
    if (got <= 0) return false;
    bytes.append(piece, static_cast<size_t>(got));
    return true;
  }
  struct Answer {
    int status = 0;  // 0: the connection has ended
    std::string head, body;
  };
  Answer answer() {
    size_t end;
    while ((end = bytes.find("\r\n\r\n")) == bytes.npos) {
      if (!receive()) return {};
    }
    Answer out;
    out.head = bytes.substr(0, end + 2);
    out.status = std::stoi(out.head.substr(9, 3));
    bytes.erase(0, end + 4);
    size_t at = out.head.find("content-length: ");
    size_t size = at == out.head.npos ? 0 : std::stoul(out.head.substr(at + 16));
    while (bytes.size() < size) {
      if (!receive()) return {};
    }
    out.body = bytes.substr(0, size);
    bytes.erase(0, size);
    return out;
  }
  bool ended() {
    while (receive()) {
    }
    return true;
  }
  std::string bytes;

 private:
  int fd_;
  bool connected_ = false;
};

std::string post(std::string_view operation, std::string_view body, std::string_view headers = "",
                 std::string_view type = "application/x-amz-json-1.1") {
  std::string text = "POST / HTTP/1.1\r\nHost: h\r\n";
  if (!type.empty()) text += "Content-Type: " + std::string(type) + "\r\n";
  if (!operation.empty()) {
    text += "X-Amz-Target: Kinesis_20131202." + std::string(operation) + "\r\n";
  }
  return text + std::string(headers) + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

class KinesisListenerTest : public ::testing::Test {
 protected:
  void serve(ListenerOptions options = {}, bool anyone = true) {
    options.host = "127.0.0.1";
    options.port = 0;
    signatures_ = std::make_unique<SignatureCheck>(clock_, SignatureRules{anyone});
    listener_ = std::make_unique<Listener>(executor_, clock_, random_, metrics_, *signatures_,
                                           service_, options);
    ASSERT_TRUE(listener_->start().ok());
    port_ = listener_->port();
    thread_ = std::thread([this] { executor_.run(); });
  }
  void on_reactor(std::function<void()> task) {
    std::promise<void> done;
    executor_.post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  void wait_until(std::function<bool()> condition) {
    bool met = false;
    while (!met) on_reactor([&] { met = condition(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    on_reactor([this] {
      service_.held.clear();
      listener_->stop();
    });
    executor_.stop();
    thread_.join();
  }

  double requests_counted() {
    return metrics_
        .counter("sluice_kinesis_requests_total", "Requests of the Kinesis API",
                 {{"operation", "ListStreams"}})
        .Value();
  }

  env::PosixClock clock_;
  env::SystemRandom random_;
  Metrics metrics_;
  env::AsioExecutor executor_;
  TestService service_;
  std::unique_ptr<SignatureCheck> signatures_;
  std::unique_ptr<Listener> listener_;
  std::thread thread_;
  uint16_t port_ = 0;
};

TEST_F(KinesisListenerTest, AnswersWithAwsHeaders) {
  serve();
  Client client(port_);
  client.send(post("ListStreams", R"({"Limit":7})"));
  auto answer = client.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"StreamNames":["7","us-east-1"],"HasMoreStreams":false})");
  for (const char* header : {"content-type: application/x-amz-json-1.1\r\n", "x-amzn-requestid: ",
                             "x-amz-id-2: ", "date: "}) {
    EXPECT_NE(answer.head.find(header), std::string::npos) << answer.head;
  }
  client.send(post("PutRecord", "\xa3" "jStreamNameasdDataBhilPartitionKeyap", "",
                   "application/x-amz-cbor-1.1"));
  answer = client.answer();
  EXPECT_EQ(answer.body, "\xa2gShardIdapnSequenceNumbera2");
  client.send(post("DeleteStream", R"({"StreamName":"s"})"));
  answer = client.answer();
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, R"({"__type":"LimitExceededException","message":"no"})");
  EXPECT_NE(answer.head.find("x-amzn-errortype: LimitExceededException\r\n"), std::string::npos);
}

TEST_F(KinesisListenerTest, RefusalsAreAws) {
  serve();
  Client client(port_);
  struct Case {
    std::string request;
    int status;
    const char* body;
  };
  const char* denied =
      "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be "
      "authorized</Message>\n</AccessDeniedException>\n";
  for (const auto& [request, status, body] : std::initializer_list<Case>{
           {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 403, denied},
           {post("", "{}", "", ""), 403, denied},
           {post("", ""), 400, R"({"__type":"UnknownOperationException"})"},
           {post("Nonsense", "{}"), 400, R"({"__type":"UnknownOperationException"})"},
           {post("ListStreams", ""), 400, R"({"__type":"SerializationException"})"},
           {post("ListStreams", "hello"), 400, R"({"__type":"SerializationException"})"},
           {post("ListStreams", "{}", "", "text/plain"), 404, "<UnknownOperationException/>\n"},
           {post("ListStreams", "{}", "", "application/json"), 404,
            R"({"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},)"
            R"("Version":"1.0"})"},
           {post("ListStreams", "hello", "", "   application/json     ;"), 400,
            R"({"Output":{"__type":"com.amazon.coral.service#SerializationException"},)"
            R"("Version":"1.0"})"},
           {post("ListStreams", "", "", ""), 400, "\xa1" "f__typevSerializationException"},
           {post("ListStreams", "{}", "Authorization: X\r\nX-Amz-Date: d\r\n"), 400,
            R"({"__type":"IncompleteSignatureException","message":"Authorization header requires )"
            R"('Credential' parameter. Authorization header requires 'Signature' parameter. )"
            R"(Authorization header requires 'SignedHeaders' parameter. Authorization=X"})"},
           {post("DescribeLimits", "{}"), 500,
            R"({"__type":"InternalFailureException","message":"The request was dropped."})"}}) {
    client.send(request);
    auto answer = client.answer();
    EXPECT_EQ(answer.status, status) << request;
    EXPECT_EQ(answer.body, body) << request;
  }
}

TEST_F(KinesisListenerTest, UnsignedRequestsAreForDevelopment) {
  serve({}, false);
  Client client(port_);
  client.send(post("ListStreams", "{}"));
  EXPECT_EQ(client.answer().body,
            R"({"__type":"MissingAuthenticationTokenException",)"
            R"("message":"Missing Authentication Token"})");
}

TEST_F(KinesisListenerTest, BrowsersMayAsk) {
  serve();
  Client client(port_);
  client.send("OPTIONS / HTTP/1.1\r\nOrigin: o\r\nAccess-Control-Request-Headers: a, b\r\n\r\n");
  auto answer = client.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.head.find("access-control-allow-headers: a, b\r\n"), std::string::npos);
  EXPECT_NE(answer.head.find("access-control-max-age: 172800\r\n"), std::string::npos);
}

TEST_F(KinesisListenerTest, PipelinedAnswersKeepTheirOrder) {
  service_.hold = true;
  serve();
  Client client(port_);
  std::string requests;
  for (int i = 1; i <= 20; ++i) {
    requests += post("ListStreams", "{\"Limit\":" + std::to_string(i) + "}");
  }
  client.send(requests);
  wait_until([&] { return service_.held.size() == 20; });
  on_reactor([&] {
    while (!service_.held.empty()) {  // the last first
      TestService::answer(service_.held.back());
      service_.held.pop_back();
    }
  });
  for (int i = 1; i <= 20; ++i) {
    EXPECT_NE(client.answer().body.find("[\"" + std::to_string(i) + "\""), std::string::npos);
  }
}

TEST_F(KinesisListenerTest, ExpectChunkedAndLargeBodies) {
  serve();
  Client client(port_);
  client.send("POST / HTTP/1.1\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: "
              "Kinesis_20131202.ListStreams\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.answer().status, 100);
  client.send("{}");
  EXPECT_EQ(client.answer().status, 200);
  client.send("POST / HTTP/1.1\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: "
              "Kinesis_20131202.ListStreams\r\nTransfer-Encoding: chunked\r\n\r\n"
              "5\r\n{\"Lim\r\n6\r\nit\":3}\r\n0\r\n\r\n");
  EXPECT_NE(client.answer().body.find("[\"3\""), std::string::npos);
  std::string data(8'000'000, 'A');  // six megabytes of zeros
  client.send(post("PutRecord", R"({"StreamName":"s","PartitionKey":"p","Data":")" + data + "\"}"));
  EXPECT_NE(client.answer().body.find("\"6000000\""), std::string::npos);
}

TEST_F(KinesisListenerTest, BodiesAreBoundedBeforeTheyAreRead) {
  serve({.limits = {.body_bytes_max = 1000}});
  Client client(port_);
  client.send("POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(client.answer().status, 413);
  EXPECT_TRUE(client.ended());
}

// What was asked before the malformed request is answered.
TEST_F(KinesisListenerTest, AMalformedRequestEndsItsConnectionOnly) {
  serve();
  Client bad(port_), good(port_);
  bad.send(post("ListStreams", "{}") + "nonsense\r\n\r\n");
  EXPECT_EQ(bad.answer().status, 200);
  EXPECT_EQ(bad.answer().status, 400);
  EXPECT_TRUE(bad.ended());
  good.send(post("ListStreams", "{}"));
  EXPECT_EQ(good.answer().status, 200);
}

TEST_F(KinesisListenerTest, SlowAndIdleConnectionsAreClosed) {
  serve({.request_ms = 100, .idle_close_ms = 300});
  Client silent(port_), slow_head(port_), slow_body(port_), slow_choice(port_), idle(port_);
  slow_head.send("POST / HT");
  slow_body.send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  slow_choice.send("PRI * ");
  idle.send(post("ListStreams", "{}"));
  EXPECT_EQ(idle.answer().status, 200);
  for (Client* client : {&slow_head, &slow_body, &slow_choice, &silent, &idle}) {
    EXPECT_TRUE(client->ended());
  }
}

TEST_F(KinesisListenerTest, TooManyConnectionsAreTurnedAway) {
  serve({.connections_max = 1});
  Client first(port_);
  first.send(post("ListStreams", "{}"));
  EXPECT_EQ(first.answer().status, 200);
  Client second(port_);
  EXPECT_TRUE(second.ended());
}

// A client that sends without reading: the broker stops reading from it, and all is answered once
// it reads.
TEST_F(KinesisListenerTest, BackPressureLosesNothing) {
  serve({.connection_requests_max = 4, .connection_in_flight_bytes_max = 10'000,
         .in_flight_bytes_max = 50'000});
  Client client(port_);
  constexpr int kRequests = 2000;
  const std::string padding(1000, ' ');
  std::thread sender([&] {
    for (int i = 1; i <= kRequests; ++i) {
      client.send(post("ListStreams", padding + "{\"Limit\":" + std::to_string(i) + "}"));
    }
  });
  for (int i = 1; i <= kRequests && !HasFailure(); ++i) {
    EXPECT_NE(client.answer().body.find("[\"" + std::to_string(i) + "\""), std::string::npos);
  }
  sender.join();
}

TEST_F(KinesisListenerTest, ADrainAnswersWhatIsInFlight) {
  service_.hold = true;
  serve();
  Client busy(port_), idle(port_);
  busy.send(post("ListStreams", "{}"));
  idle.send("\r\n");
  wait_until([&] { return service_.held.size() == 1 && listener_->connection_count() == 2; });
  std::promise<void> drained;
  on_reactor([&] { listener_->drain(10'000, [&] { drained.set_value(); }); });
  EXPECT_TRUE(idle.ended());
  on_reactor([&] {
    TestService::answer(service_.held.front());
    service_.held.clear();
  });
  auto answer = busy.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.head.find("connection: close"), std::string::npos);
  EXPECT_TRUE(busy.ended());
  drained.get_future().wait();
  EXPECT_FALSE(Client(port_).connected());
}

// ---- HTTP/2 ----

// A client session of nghttp2 over a blocking socket.
class Http2Client {
 public:
  explicit Http2Client(uint16_t port) : socket_(port) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* data) {
          auto& me = *static_cast<Http2Client*>(data);
          me.headers[frame->hd.stream_id][std::string(name, name + name_size)] =
              std::string(value, value + value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                      void* data) {
          static_cast<Http2Client*>(data)->bodies[id].append(bytes, bytes + size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t id, uint32_t, void* data) {
          static_cast<Http2Client*>(data)->closed.push_back(id);
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~Http2Client() { nghttp2_session_del(session_); }

  int32_t ask(std::string operation, std::string body) {
    auto upload = std::make_unique<Upload>(Upload{std::move(body)});
    std::string target = "Kinesis_20131202." + operation;
    auto field = [](std::string_view name, std::string_view value) {
      return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), NGHTTP2_NV_FLAG_NONE};
    };
    nghttp2_nv fields[] = {field(":method", "POST"), field(":scheme", "http"),
                           field(":authority", "h"), field(":path", "/"),
                           field("content-type", "application/x-amz-json-1.1"),
                           field("x-amz-target", target)};
    nghttp2_data_provider provider{};
    provider.source.ptr = upload.get();
    provider.read_callback = [](nghttp2_session*, int32_t, uint8_t* to, size_t size,
                                uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
      auto& up = *static_cast<Upload*>(source->ptr);
      size_t bytes = std::min(size, up.body.size() - up.sent);
      std::copy_n(up.body.data() + up.sent, bytes, to);
      up.sent += bytes;
      if (up.sent == up.body.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(bytes);
    };
    uploads_.push_back(std::move(upload));
    int32_t id = nghttp2_submit_request(session_, nullptr, fields, 6, &provider, nullptr);
    flush();
    return id;
  }
  // Until so many streams have ended; false when the connection did first.
  bool wait(size_t streams) {
    while (closed.size() < streams) {
      socket_.bytes.clear();
      if (!socket_.receive()) return false;
      if (nghttp2_session_mem_recv(session_,
                                   reinterpret_cast<const uint8_t*>(socket_.bytes.data()),
                                   socket_.bytes.size()) < 0) {
        return false;
      }
      flush();
    }
    return true;
  }
  std::map<int32_t, std::map<std::string, std::string>> headers;
  std::map<int32_t, std::string> bodies;
  std::vector<int32_t> closed;

 private:
  struct Upload {
    std::string body;
    size_t sent = 0;
  };
  void flush() {
    const uint8_t* bytes = nullptr;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(session_, &bytes)) > 0) {
      socket_.send({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)});
    }
  }
  Client socket_;
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Upload>> uploads_;
};

TEST_F(KinesisListenerTest, Http2OnTheSamePort) {
  serve();
  Http2Client client(port_);
  int32_t first = client.ask("ListStreams", R"({"Limit":4})");
  int32_t second = client.ask("Nonsense", "{}");
  std::string data(8'000'000, 'A');  // more than every window
  int32_t third =
      client.ask("PutRecord", R"({"StreamName":"s","PartitionKey":"p","Data":")" + data + "\"}");
  ASSERT_TRUE(client.wait(3));
  EXPECT_EQ(client.headers[first][":status"], "200");
  EXPECT_EQ(client.headers[first]["content-type"], "application/x-amz-json-1.1");
  EXPECT_EQ(client.bodies[first], R"({"StreamNames":["4","us-east-1"],"HasMoreStreams":false})");
  EXPECT_EQ(client.headers[second][":status"], "400");
  EXPECT_NE(client.bodies[third].find("\"6000000\""), std::string::npos);
}

TEST_F(KinesisListenerTest, Http2AnswersAsTheyCome) {
  service_.hold = true;
  serve();
  Http2Client client(port_);
  int32_t first = client.ask("ListStreams", "{}");
  int32_t second = client.ask("ListStreams", "{}");
  wait_until([&] { return service_.held.size() == 2; });
  on_reactor([&] { TestService::answer(service_.held.back()); });
  ASSERT_TRUE(client.wait(1));
  EXPECT_EQ(client.closed, std::vector<int32_t>{second});
  on_reactor([&] { TestService::answer(service_.held.front()); });
  ASSERT_TRUE(client.wait(2));
  EXPECT_EQ(client.closed.back(), first);
}

TEST_F(KinesisListenerTest, Http2BodiesAreBounded) {
  serve({.limits = {.body_bytes_max = 1000}});
  Http2Client client(port_);
  int32_t id = client.ask("ListStreams", std::string(5000, ' '));
  ASSERT_TRUE(client.wait(1));
  EXPECT_EQ(client.headers[id][":status"], "413");
}

TEST_F(KinesisListenerTest, Http2DrainAnswersWhatIsInFlight) {
  service_.hold = true;
  serve();
  Http2Client client(port_);
  int32_t id = client.ask("ListStreams", "{}");
  wait_until([&] { return service_.held.size() == 1; });
  std::promise<void> drained;
  on_reactor([&] { listener_->drain(10'000, [&] { drained.set_value(); }); });
  on_reactor([&] {
    TestService::answer(service_.held.front());
    service_.held.clear();
  });
  ASSERT_TRUE(client.wait(1));
  EXPECT_EQ(client.headers[id][":status"], "200");
  EXPECT_FALSE(client.wait(2));
  drained.get_future().wait();
}

// Seen: at a broker's end, calls that waited for something were dropped with the executor, answered
// so, and used the front end, which had gone before.
TEST_F(KinesisListenerTest, ACallThatIsDroppedAfterTheDoorIsGoneIsNotAnswered) {
  serve();
  service_.hold = true;
  Client client(port_);
  client.send(post("ListStreams", R"({"Limit":7})"));
  wait_until([this] { return !service_.held.empty(); });
  on_reactor([this] { listener_->stop(); });
  executor_.stop();
  thread_.join();
  listener_.reset();
  const double counted = requests_counted();
  service_.held.clear();
  EXPECT_EQ(requests_counted(), counted);
  EXPECT_EQ(client.answer().status, 0);
}

}  // namespace
}  // namespace broker::server::kinesis
