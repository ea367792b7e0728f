#pragma once
// A Kubernetes API server in this process, on a loopback port, that fails in every way a test asks
// for. It is kept honest by the conformance suite, which also runs against the real one.
#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

#include "operator/kube/client/config.h"
#include "tests/support/fake_api/objects.h"

namespace sluice_tests {

struct ApiCall {
  int number;          // counted from 1, watches included
  std::string method;
  std::string path;    // without the query
  Query query;
  bool is_write() const { return method != "GET"; }
  bool is_watch() const { return query.contains("watch"); }
};

// What happens to a call in place of a proper answer.
struct Fault {
  enum class Kind { kNone, kRefuse, kCloseBefore, kCloseAfter, kDelay };
  Kind kind = Kind::kNone;
  int code = 0;                 // kRefuse
  int retry_after_seconds = -1;  // kRefuse
  int delay_ms = 0;             // kDelay

  static Fault none() { return {}; }
  static Fault refuse(int code, int retry_after = -1) { return {Kind::kRefuse, code, retry_after}; }
  // The connection closes and nothing was done...
  static Fault close_before() { return {Kind::kCloseBefore}; }
  // ...or it was done, and nobody is told.
  static Fault close_after() { return {Kind::kCloseAfter}; }
  static Fault delay(int ms) { return {Kind::kDelay, 0, -1, ms}; }
};

class FakeApiServer {
 public:
  FakeApiServer();
  ~FakeApiServer();
  sluice_operator::kube::ClientConfig client_config() const;

  // Asked about every call, on the server's threads.
  void set_fault(std::function<Fault(const ApiCall&)> fault);
  // Watches get a bookmark after each such time without events.
  void set_bookmark_ms(int ms);
  // Ends every open watch: in the middle of a line, when `torn`.
  void drop_watches(bool torn = false);
  // Watches stay open and silent while it is set; what happens meanwhile is not sent later on them.
  void freeze_watches(bool frozen);
  // All resourceVersions so far are "too old".
  void expire();

  // What the tests themselves do, past every fault. `path` is as in HTTP.
  Answer get(const std::string& path);
  Answer apply(const std::string& path, Json object);
  Answer merge_patch(const std::string& path, const Json& patch);
  Answer remove(const std::string& path);

  std::vector<ApiCall> calls() const;
  int writes() const;  // calls that were not GET
  int count(const std::function<bool(const ApiCall&)>& which) const;
  void forget_calls();

 private:
  struct Request {
    ApiCall call;
    std::string content_type;
    std::string body;
  };
  struct Connection {
    int fd = -1;
    std::thread thread;
  };
  void accept_loop();
  void serve(int fd);
  bool answer_one(int fd, Request request);
  Answer carry_out(const Request& request);
  // False when the connection is over.
  bool watch(int fd, const Request& request);
  // With the lock: events after `version` as lines; moves `version` on.
  std::string events_after(const ApiPath& path, const Query& query, int64_t& version,
                           size_t& position);

  int listen_fd_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Objects objects_;
  std::vector<ApiCall> calls_;
  int call_count_ = 0;
  std::function<Fault(const ApiCall&)> fault_;
  int bookmark_ms_ = 50;
  int watch_epoch_ = 0;
  bool torn_ = false;
  bool frozen_ = false;
  bool stopping_ = false;
  std::list<Connection> connections_;
  std::thread acceptor_;
};

}  // namespace sluice_tests
