// Connections of the webhook that outlive it, or break off. The library keeps a port open as long as
// the process has another listener, as the operator has for its pages; and so have these tests.
#include <dirent.h>
#include <gtest/gtest.h>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <thread>

#include "broker/env/posix/posix.h"
#include "operator/certs/certs.h"
#include "operator/runtime/http_pages.h"
#include "operator/webhook/webhook.h"
#include "tests/support/page_server.h"

namespace sluice_operator::webhook {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using broker::Status;

int free_port() {
  asio::io_context context;
  return tcp::acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
      .local_endpoint()
      .port();
}

int open_sockets() {
  int count = 0;
  DIR* dir = opendir("/proc/self/fd");
  while (dirent* entry = readdir(dir)) {
    char target[64] = {};
    if (readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1) > 0) {
      count += std::string_view(target).starts_with("socket:");
    }
  }
  closedir(dir);
  return count;
}

class WebhookEnd : public testing::Test {
 protected:
  WebhookEnd() {
    auto ca = certs::make_ca("ca", clock_.wall_ms() / 1000);
    EXPECT_TRUE(ca.ok());
    auto leaf = certs::issue(*ca, certs::for_hosts({"localhost"}), clock_.wall_ms() / 1000);
    EXPECT_TRUE(leaf.ok());
    pages_ = runtime::HttpPages::open("127.0.0.1:" + std::to_string(free_port()), metrics_,
                                      [] { return Status(); }, [] { return Status(); })
                 .value();
    kube::ClientConfig config;
    config.server = "http://" + api_.address();
    client_ = kube::Client::open(config, fs_, clock_, random_, metrics_).value();
    WebhookOptions options;
    options.listen = "127.0.0.1:" + std::to_string(port_);
    options.configuration = "x";
    options.keys = [ca = *ca, leaf = *leaf]() -> broker::Result<ServerKeys> {
      return ServerKeys{ca.cert, leaf.cert, leaf.key};
    };
    webhook_ = Webhook::open(std::move(options), *client_, clock_, metrics_).value();
  }
  void end() {
    client_->stop();
    webhook_.reset();
  }

  struct Connection {
    explicit Connection(int port) {
      socket.lowest_layer().connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
      socket.handshake(asio::ssl::stream_base::client, refused);
    }
    void send(const std::string& bytes) { asio::write(socket, asio::buffer(bytes)); }
    std::string status_line() {
      boost::system::error_code ended;
      std::string got;
      asio::read_until(socket, asio::dynamic_buffer(got), "\r\n", ended);
      return got.substr(0, got.find("\r\n"));
    }
    boost::system::error_code refused;
    asio::io_context context;
    asio::ssl::context tls{asio::ssl::context::tls_client};
    asio::ssl::stream<tcp::socket> socket{context, tls};
  };
  static std::string head(size_t length) {
    return "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
           std::to_string(length) + "\r\n\r\n";
  }

  broker::env::PosixClock clock_;
  broker::env::PosixFileSystem fs_;
  broker::env::SystemRandom random_;
  broker::Metrics metrics_;
  sluice_tests::PageServer api_{[](const std::string&) { return std::string("{}"); }};
  const int port_ = free_port();
  std::unique_ptr<runtime::HttpPages> pages_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<Webhook> webhook_;
};

// Seen: what handed the question over used the webhook, which was gone.
TEST_F(WebhookEnd, AQuestionThatComesWholeAfterwardsIsTurnedAway) {
  Connection answered(port_), late(port_);
  late.send(head(4) + "{");
  answered.send(head(4) + "null");  // when it has its answer, the first is being read
  EXPECT_EQ(answered.status_line(), "HTTP/1.1 400 Bad Request");
  end();
  late.send("   ");
  late.send("}");
  EXPECT_EQ(late.status_line(), "HTTP/1.1 503 Service Unavailable");
}

// Seen: the library called the webhook's function for the certificate, which was gone.
TEST_F(WebhookEnd, NobodyIsLetInAfterwards) {
  EXPECT_FALSE(Connection(port_).refused);
  end();
  EXPECT_TRUE(Connection(port_).refused);
}

// Seen: a socket was lost with each.
TEST_F(WebhookEnd, AQuestionThatBreaksOffFreesItsConnection) {
  const int before = open_sockets();
  for (int i = 0; i < 10; ++i) Connection(port_).send(head(4) + "{");
  int after = 0;
  for (int i = 0; i < 5000; ++i) {  // the library closes them on threads of its own
    after = open_sockets();
    if (after <= before) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_LE(after, before);
}

}  // namespace
}  // namespace sluice_operator::webhook
