#include "tests/support/fake_api/fake_api_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "broker/base/check.h"
#include "operator/kube/client/base64.h"

namespace sluice_tests {
namespace {

std::string url_decode(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

Query parse_query(const std::string& text) {
  Query query;
  size_t from = 0;
  while (from < text.size()) {
    size_t to = std::min(text.find('&', from), text.size());
    std::string pair = text.substr(from, to - from);
    size_t equals = pair.find('=');
    query[url_decode(pair.substr(0, equals))] =
        equals == std::string::npos ? "" : url_decode(pair.substr(equals + 1));
    from = to + 1;
  }
  return query;
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Reads until `buffer` holds `size` bytes or the first `mark` (size 0).
bool read_until(int fd, std::string& buffer, const char* mark, size_t size) {
  char chunk[16384];
  while (size != 0 ? buffer.size() < size : buffer.find(mark) == std::string::npos) {
    ssize_t got = recv(fd, chunk, sizeof chunk, 0);
    if (got <= 0) return false;
    buffer.append(chunk, static_cast<size_t>(got));
  }
  return true;
}

std::string header_of(const std::string& head, const std::string& name) {
  std::string lower = head;
  std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
  size_t at = lower.find("\r\n" + name + ":");
  if (at == std::string::npos) return {};
  size_t from = head.find_first_not_of(' ', at + name.size() + 3);
  return head.substr(from, head.find("\r\n", from) - from);
}

std::string response(const Answer& answer, int retry_after_seconds = -1) {
  std::string body = answer.body.dump();
  std::string head = "HTTP/1.1 " + std::to_string(answer.code) + " Answer\r\n";
  head += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size());
  if (retry_after_seconds >= 0) head += "\r\nRetry-After: " + std::to_string(retry_after_seconds);
  return head + "\r\n\r\n" + body;
}

// A Secret's stringData is for writing only.
void encode_string_data(Json& secret) {
  auto texts = secret.find("stringData");
  if (texts == secret.end()) return;
  for (const auto& [name, text] : texts->items()) {
    secret["data"][name] = sluice_operator::kube::base64_encode(text.get<std::string>());
  }
  secret.erase("stringData");
}

std::string chunk(const std::string& bytes) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}

std::string line(const std::string& type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}

}  // namespace

FakeApiServer::FakeApiServer() {
  listen_fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  CHECK_EQ(listen(listen_fd_, 64), 0);
  socklen_t size = sizeof address;
  getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeApiServer::~FakeApiServer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& connection : connections_) shutdown(connection.fd, SHUT_RDWR);
  }
  changed_.notify_all();
  shutdown(listen_fd_, SHUT_RDWR);
  acceptor_.join();
  for (auto& connection : connections_) {
    connection.thread.join();
    close(connection.fd);
  }
  close(listen_fd_);
}

sluice_operator::kube::ClientConfig FakeApiServer::client_config() const {
  sluice_operator::kube::ClientConfig config;
  config.server = "http://127.0.0.1:" + std::to_string(port_);
  config.ns = "default";
  return config;
}

void FakeApiServer::set_fault(std::function<Fault(const ApiCall&)> fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

void FakeApiServer::set_bookmark_ms(int ms) {
  std::lock_guard lock(mutex_);
  bookmark_ms_ = ms;
}

void FakeApiServer::drop_watches(bool torn) {
  std::lock_guard lock(mutex_);
  torn_ = torn;
  ++watch_epoch_;
  changed_.notify_all();
}

void FakeApiServer::freeze_watches(bool frozen) {
  std::lock_guard lock(mutex_);
  frozen_ = frozen;
}

void FakeApiServer::expire() {
  std::lock_guard lock(mutex_);
  objects_.expire();
}

Answer FakeApiServer::get(const std::string& path) {
  std::lock_guard lock(mutex_);
  return objects_.get(*ApiPath::parse(path));
}

Answer FakeApiServer::apply(const std::string& path, Json object) {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
  return objects_.apply(*ApiPath::parse(path), {{"fieldManager", "test"}, {"force", "true"}},
                        std::move(object));
}

Answer FakeApiServer::merge_patch(const std::string& path, const Json& patch) {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
  return objects_.merge_patch(*ApiPath::parse(path), {{"fieldManager", "test"}}, patch);
}

Answer FakeApiServer::remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
  return objects_.remove(*ApiPath::parse(path), Json::object());
}

std::vector<ApiCall> FakeApiServer::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

int FakeApiServer::writes() const {
  return count([](const ApiCall& call) { return call.is_write(); });
}

int FakeApiServer::count(const std::function<bool(const ApiCall&)>& which) const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(calls_.begin(), calls_.end(), which));
}

void FakeApiServer::forget_calls() {
  std::lock_guard lock(mutex_);
  calls_.clear();
}

void FakeApiServer::accept_loop() {
  while (true) {
    int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::lock_guard lock(mutex_);
    if (stopping_) {
      close(fd);
      return;
    }
    connections_.push_back({fd, std::thread([this, fd] { serve(fd); })});
  }
}

void FakeApiServer::serve(int fd) {
  std::string buffer;
  while (read_until(fd, buffer, "\r\n\r\n", 0)) {
    size_t head_size = buffer.find("\r\n\r\n") + 4;
    std::string head = buffer.substr(0, head_size);
    size_t body_size = std::stoul("0" + header_of(head, "content-length"));
    if (!read_until(fd, buffer, "", head_size + body_size)) break;
    Request request;
    size_t space = head.find(' ');
    std::string target = head.substr(space + 1, head.find(' ', space + 1) - space - 1);
    size_t question = target.find('?');
    request.call.method = head.substr(0, space);
    request.call.path = url_decode(target.substr(0, question));
    if (question != std::string::npos) request.call.query = parse_query(target.substr(question + 1));
    request.content_type = header_of(head, "content-type");
    request.body = buffer.substr(head_size, body_size);
    buffer.erase(0, head_size + body_size);
    if (!answer_one(fd, std::move(request))) break;
  }
  shutdown(fd, SHUT_RDWR);
}

// False when the connection is over.
bool FakeApiServer::answer_one(int fd, Request request) {
  std::function<Fault(const ApiCall&)> decide;
  {
    std::lock_guard lock(mutex_);
    request.call.number = ++call_count_;
    calls_.push_back(request.call);
    decide = fault_;
  }
  Fault fault = decide ? decide(request.call) : Fault::none();
  if (fault.kind == Fault::Kind::kCloseBefore) return false;
  if (fault.kind == Fault::Kind::kRefuse) {
    return send_all(fd, response(refusal(fault.code, "Refused", "a fault"), fault.retry_after_seconds));
  }
  if (fault.kind == Fault::Kind::kDelay) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(fault.delay_ms), [this] { return stopping_; });
  }
  if (request.call.is_watch()) {
    return watch(fd, request);
  }
  Answer answer = carry_out(request);
  if (fault.kind == Fault::Kind::kCloseAfter) return false;
  return send_all(fd, response(answer));
}

Answer FakeApiServer::carry_out(const Request& request) {
  auto path = ApiPath::parse(request.call.path);
  if (!path) return refusal(404, "NotFound", "the server could not find the requested resource");
  Json body = request.body.empty() ? Json::object() : Json::parse(request.body, nullptr, false);
  if (!body.is_object()) return refusal(400, "BadRequest", "the body is not an object");
  if (path->plural == "secrets") encode_string_data(body);
  const std::string& method = request.call.method;
  const Query& query = request.call.query;
  std::lock_guard lock(mutex_);
  changed_.notify_all();
  if (method == "GET") return path->name.empty() ? objects_.list(*path, query) : objects_.get(*path);
  if (method == "POST") return objects_.create(*path, query, std::move(body));
  if (method == "PUT") return objects_.replace(*path, query, std::move(body));
  if (method == "DELETE") return objects_.remove(*path, body);
  if (method != "PATCH") return refusal(405, "MethodNotAllowed", method);
  if (request.content_type.starts_with("application/apply-patch+yaml")) {
    return objects_.apply(*path, query, std::move(body));
  }
  if (request.content_type.starts_with("application/merge-patch+json")) {
    return objects_.merge_patch(*path, query, body);
  }
  return refusal(415, "UnsupportedMediaType", request.content_type);
}

std::string FakeApiServer::events_after(const ApiPath& path, const Query& query, int64_t& version,
                                        size_t& position) {
  std::string lines;
  const auto& history = objects_.history();
  if (position > history.size()) position = 0;  // expired meanwhile
  auto selected = [&](const Json& object) {
    auto labels = query.find("labelSelector");
    auto fields = query.find("fieldSelector");
    return object.is_object() && (labels == query.end() || matches_labels(object, labels->second)) &&
           (fields == query.end() || matches_fields(object, fields->second));
  };
  for (; position < history.size(); ++position) {
    const HistoryEntry& entry = history[position];
    if (entry.version <= version) continue;
    version = entry.version;
    if (entry.collection != path.collection()) continue;
    if (!path.ns.empty() && entry.object["metadata"].value("namespace", "") != path.ns) continue;
    const bool now = entry.type != "DELETED" && selected(entry.object);
    const bool was = selected(entry.before);
    if (now) lines += line(was ? "MODIFIED" : "ADDED", entry.object);
    else if (was) lines += line("DELETED", entry.object);
  }
  return lines;
}

bool FakeApiServer::watch(int fd, const Request& request) {
  using std::chrono::milliseconds;
  auto path = ApiPath::parse(request.call.path);
  const Query& query = request.call.query;
  auto number = [&](const char* name, int64_t otherwise) {
    auto it = query.find(name);
    return it == query.end() || it->second.empty() ? otherwise : std::stoll(it->second);
  };
  int64_t version = number("resourceVersion", 0);
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(number("timeoutSeconds", 1800));
  size_t position = 0;
  std::unique_lock lock(mutex_);
  if (!path || version < objects_.oldest_version()) {
    Answer expired = refusal(410, "Expired", "too old resource version");
    lock.unlock();
    return send_all(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                            chunk(line("ERROR", expired.body)) + "0\r\n\r\n");
  }
  const int epoch = watch_epoch_;
  lock.unlock();
  if (!send_all(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) return false;
  lock.lock();
  bool silenced = false;
  while (!stopping_) {
    if (epoch != watch_epoch_) {
      if (torn_) send_all(fd, "400\r\n{\"type\":\"ADDED\",\"obj");
      return false;
    }
    if (std::chrono::steady_clock::now() >= end) {
      return send_all(fd, "0\r\n\r\n");
    }
    silenced |= frozen_;
    std::string lines = silenced ? "" : events_after(*path, query, version, position);
    if (lines.empty()) {
      bool woken = changed_.wait_for(lock, milliseconds(bookmark_ms_)) == std::cv_status::no_timeout;
      if (woken || silenced || frozen_ || epoch != watch_epoch_) continue;
      lines = events_after(*path, query, version, position);
      version = std::max(version, objects_.version());
      if (lines.empty()) {
        lines = line("BOOKMARK", {{"metadata", {{"resourceVersion", std::to_string(version)}}}});
      }
    }
    lock.unlock();
    const bool sent = send_all(fd, chunk(lines));
    lock.lock();
    if (!sent) return false;
  }
  return false;
}

}  // namespace sluice_tests
