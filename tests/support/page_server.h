#pragma once
// An HTTP server on a loopback port for tests: every request is answered with what a function makes of
// its head. One thread of its own; stopped by the destructor. Used by tests of what asks for metrics.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace sluice_tests {

// Answers every request on a port of its own with what `answer` makes of its head; an empty answer
// closes the connection.
class PageServer {
 public:
  using Answer = std::function<std::string(const std::string& head)>;
  explicit PageServer(Answer answer) : answer_(std::move(answer)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~PageServer() {
    stopping_ = true;
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    close(fd_);
  }
  const std::string& address() const { return address_; }
  std::string last_head() {
    std::lock_guard lock(mutex_);
    return last_head_;
  }

 private:
  void serve() {
    while (!stopping_) {
      int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      std::string head;
      char buffer[4096];
      while (head.find("\r\n\r\n") == std::string::npos) {
        ssize_t got = recv(client, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        head.append(buffer, static_cast<size_t>(got));
      }
      {
        std::lock_guard lock(mutex_);
        last_head_ = head;
      }
      std::string body = answer_(head);
      if (!body.empty()) {
        std::string all = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                          "\r\nConnection: close\r\n\r\n" + body;
        [[maybe_unused]] ssize_t sent = send(client, all.data(), all.size(), MSG_NOSIGNAL);
      }
      close(client);
    }
  }
  Answer answer_;
  int fd_ = -1;
  std::string address_;
  std::mutex mutex_;
  std::string last_head_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sluice_tests
