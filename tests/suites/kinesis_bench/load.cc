// Sends prepared HTTP/1.1 requests on many connections and times the answers.
//   load PORT CONNECTIONS SECONDS REQUESTS_PER_SECOND FILE...
// Each FILE is one whole request, head and body; connections take them in turn. A rate of 0 is as
// fast as answers come: one request in flight a connection. With a rate, a request that is late
// counts from when it was due. Prints one line of JSON.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using Clock = std::chrono::steady_clock;

namespace {

struct Connection {
  int fd = -1;
  size_t next = 0;  // of the files
  const std::string* request = nullptr;
  size_t sent = 0;
  std::string answer;
  size_t whole = 0;  // bytes of the answer, once its head is here
  Clock::time_point due;
};

struct Totals {
  long requests = 0, errors = 0, partial = 0, bytes_out = 0, bytes_in = 0;
  std::vector<double> ms;
};

int open_socket(uint16_t port) {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  return fd;
}

// False: the connection has ended.
bool write_some(Connection& c) {
  ssize_t n = ::send(c.fd, c.request->data() + c.sent, c.request->size() - c.sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) c.sent += static_cast<size_t>(n);
  return n > 0 || errno == EAGAIN;
}

bool read_some(Connection& c, std::vector<char>& scratch) {
  ssize_t n = ::recv(c.fd, scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (n <= 0) return n < 0 && errno == EAGAIN;
  c.answer.append(scratch.data(), static_cast<size_t>(n));
  if (c.whole == 0) {
    size_t end = c.answer.find("\r\n\r\n");
    if (end == std::string::npos) return true;
    std::string head = c.answer.substr(0, end);
    std::transform(head.begin(), head.end(), head.begin(), ::tolower);
    size_t length = head.find("content-length:");
    c.whole = end + 4 + (length == std::string::npos ? 0 : std::stoul(head.substr(length + 15)));
  }
  return true;
}

void finish(Connection& c, Totals& totals) {
  totals.requests++;
  totals.bytes_out += static_cast<long>(c.request->size());
  totals.bytes_in += static_cast<long>(c.answer.size());
  totals.ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - c.due).count());
  bool good = c.answer.compare(9, 3, "200") == 0;
  totals.errors += !good;
  size_t failed = c.answer.find("\"FailedRecordCount\":");
  totals.partial += good && failed != std::string::npos && c.answer[failed + 20] != '0';
  c.request = nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return std::fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS RATE FILE...\n"), 2;
  std::vector<std::string> files;
  for (int i = 5; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  std::vector<Connection> connections(static_cast<size_t>(std::atoi(argv[2])));
  const auto began = Clock::now();
  const auto end = began + std::chrono::duration<double>(std::atof(argv[3]));
  const double rate = std::atof(argv[4]);
  for (size_t i = 0; i < connections.size(); ++i) {
    connections[i].fd = open_socket(static_cast<uint16_t>(std::atoi(argv[1])));
    connections[i].next = i;
  }
  Totals totals;
  std::vector<char> scratch(1 << 20);
  long begun = 0;
  for (bool busy = true; busy;) {
    busy = false;
    const auto now = Clock::now();
    std::vector<pollfd> polls;
    for (Connection& c : connections) {
      auto due = rate > 0 ? began + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(static_cast<double>(begun) / rate))
                          : now;
      if (!c.request && now < end && due <= now) {
        c.request = &files[c.next % files.size()];
        c.next += connections.size();
        c.sent = c.whole = 0;
        c.answer.clear();
        c.due = due;
        ++begun;
      }
      busy |= c.request != nullptr || now < end;
      bool writes = c.request && c.sent < c.request->size();
      polls.push_back({c.fd, static_cast<short>(c.request ? POLLIN | (writes ? POLLOUT : 0) : 0), 0});
    }
    ::poll(polls.data(), polls.size(), 1);
    for (size_t i = 0; i < connections.size(); ++i) {
      Connection& c = connections[i];
      bool alive = !(polls[i].revents & POLLOUT) || write_some(c);
      if (alive && (polls[i].revents & POLLIN)) alive = read_some(c, scratch);
      if (!alive) return std::fprintf(stderr, "a connection has ended\n"), 1;
      if (c.request && c.whole > 0 && c.answer.size() >= c.whole) finish(c, totals);
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  std::sort(totals.ms.begin(), totals.ms.end());
  auto at = [&](double part) {
    return totals.ms.empty() ? 0.0 : totals.ms[static_cast<size_t>(part * static_cast<double>(totals.ms.size() - 1))];
  };
  std::printf("{\"seconds\": %.2f, \"requests\": %ld, \"errors\": %ld, \"partial\": %ld, \"bytes_out\": %ld, "
              "\"bytes_in\": %ld, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f}\n",
              seconds, totals.requests, totals.errors, totals.partial, totals.bytes_out, totals.bytes_in,
              at(0.5), at(0.99), at(1));
}
