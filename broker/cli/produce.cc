// `sluice produce`: lines become records.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <nlohmann/json.hpp>

#include "broker/cli/commands.h"
#include "broker/cli/output.h"
#include "broker/cli/publisher.h"
#include "broker/cli/units.h"

namespace broker::cli {

namespace {

constexpr size_t kRequestBytes = 128 * 1024;
constexpr int kRequestRecords = 1000;

// Lines of a file descriptor. Never waits for more input while there are lines to hand out.
class Lines {
 public:
  explicit Lines(int fd) : fd_(fd) {}
  // False at the end.
  bool next(std::string& line) {
    while (true) {
      size_t end = buffer_.find('\n', at_);
      if (end != std::string::npos) {
        line.assign(buffer_, at_, end - at_);
        at_ = end + 1;
        return true;
      }
      buffer_.erase(0, at_);
      at_ = 0;
      if (!fill()) break;
    }
    if (buffer_.empty()) return false;
    line = std::move(buffer_);
    buffer_.clear();
    return true;
  }
  // True when next() would wait: time to send what there is.
  bool would_wait() const {
    if (buffer_.find('\n', at_) != std::string::npos) return false;
    pollfd ready{fd_, POLLIN, 0};
    return poll(&ready, 1, 0) == 0;
  }

 private:
  bool fill() {
    char chunk[64 * 1024];
    ssize_t got;
    do got = ::read(fd_, chunk, sizeof chunk);
    while (got < 0 && errno == EINTR);
    if (got <= 0) return false;
    buffer_.append(chunk, static_cast<size_t>(got));
    return true;
  }
  int fd_;
  std::string buffer_;
  size_t at_ = 0;
};

// Counts answers and shows how far it is.
class Progress {
 public:
  void answered(const v1::PublishRequest& request, const v1::PublishResponse& response) {
    durability_ = response.durability();
    for (const auto& result : response.results()) {
      if (result.code().empty()) {
        ++stored_;
      } else if (failed_++ == 0) {
        first_error_ = result.code() + ": " + result.message();
      }
    }
    if (shown_ && mono_ms() - last_ms_ >= 200) {
      last_ms_ = mono_ms();
      std::fprintf(stderr, "\r%lld stored", static_cast<long long>(stored_));
    }
  }
  void end_line() const {
    if (shown_ && last_ms_ > 0) std::fprintf(stderr, "\r\033[K");
  }
  int64_t stored() const { return stored_; }
  int64_t failed() const { return failed_; }
  const std::string& first_error() const { return first_error_; }
  bool in_memory() const { return durability_ == v1::DURABILITY_MEMORY; }

 private:
  const bool shown_ = stderr_is_terminal();
  int64_t last_ms_ = 0;
  std::atomic<int64_t> stored_ = 0, failed_ = 0;
  std::atomic<v1::Durability> durability_ = v1::DURABILITY_SYNCED;
  std::string first_error_;
};

struct Form {
  std::string separator;
  std::optional<std::string> key;
  std::optional<int32_t> shard;
  v1::Acks acks = v1::ACKS_ALL;
};

void add_line(const Form& form, std::string line, v1::PublishRequest& request) {
  auto* record = request.add_records();
  if (form.key) record->set_key(*form.key);
  if (form.shard) record->set_shard(*form.shard);
  size_t cut = form.separator.empty() ? std::string::npos : line.find(form.separator);
  if (cut != std::string::npos) {
    record->set_key(line.substr(0, cut));
    line.erase(0, cut + form.separator.size());
  }
  record->set_value(std::move(line));
}

Status publish_lines(Lines& lines, const Form& form, Publisher& publisher) {
  v1::PublishRequest request;
  request.set_acks(form.acks);
  size_t bytes = 0;
  std::string line;
  while (lines.next(line)) {
    bytes += line.size();
    add_line(form, std::move(line), request);
    bool full = bytes >= kRequestBytes || request.records_size() >= kRequestRecords;
    if (!full && !lines.would_wait()) continue;
    RETURN_IF_ERROR(publisher.send(std::move(request)));
    request = v1::PublishRequest();
    request.set_acks(form.acks);
    bytes = 0;
  }
  if (request.records_size() > 0) return publisher.send(std::move(request));
  return {};
}

Result<Form> form_of(const Arguments& arguments) {
  Form form;
  form.separator = parse_separator(arguments.get("key-separator"));
  if (arguments.has("key")) form.key = arguments.get("key");
  if (arguments.has("shard")) {
    ASSIGN_OR_RETURN(int64_t shard, arguments.number("shard", 0, 0, INT32_MAX));
    form.shard = static_cast<int32_t>(shard);
  }
  std::string acks = arguments.get("acks", "all");
  if (acks == "leader") form.acks = v1::ACKS_LEADER;
  else if (acks != "all") {
    return Status(Code::kInvalidArgument, "--acks is all or leader, not '" + acks + "'");
  }
  return form;
}

Result<int> produce(const Arguments& arguments) {
  ASSIGN_OR_RETURN(Form form, form_of(arguments));
  int fd = STDIN_FILENO;
  if (arguments.has("file") && arguments.get("file") != "-") {
    fd = ::open(arguments.get("file").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      return Status(Code::kNotFound, "cannot read " + arguments.get("file") + ": " +
                                         std::strerror(errno));
    }
  }
  ASSIGN_OR_RETURN(int64_t retry_ms, arguments.duration_ms("retry-for", 60'000));
  Client client(arguments);
  Progress progress;
  PublisherOptions options;
  options.stream = arguments.word(0);
  options.retry_for_ms = retry_ms < 0 ? INT64_MAX : retry_ms;
  Publisher publisher(client, options,
                      [&](const auto& request, const auto& response, int64_t) {
                        progress.answered(request, response);
                      });
  Lines lines(fd);
  Status status = publish_lines(lines, form, publisher);
  Status finished = publisher.finish();
  if (status.ok()) status = finished;
  progress.end_line();
  if (fd != STDIN_FILENO) ::close(fd);
  if (publisher.sent_again() > 0) {
    std::fprintf(stderr, "sluice: the connection broke: up to %lld records may be stored twice\n",
                 static_cast<long long>(publisher.sent_again()));
  }
  if (arguments.json()) {
    print(nlohmann::ordered_json{{"stored", progress.stored()},
                                 {"failed", progress.failed()},
                                 {"durability", progress.in_memory() ? "memory" : "synced"}}
              .dump() + "\n");
  } else {
    print(std::to_string(progress.stored()) + " records stored" +
          (progress.in_memory() ? " in memory, to be fsynced" : "") + "\n");
  }
  if (!status.ok()) {
    return status.with_context(std::to_string(progress.stored()) + " records stored, then");
  }
  if (progress.failed() > 0) {
    return Status(Code::kInternal, std::to_string(progress.failed()) +
                                       " records were not stored; the first: " +
                                       progress.first_error());
  }
  return 0;
}

}  // namespace

std::vector<Command> produce_commands() {
  return {{"produce",
           {"STREAM"},
           "Publish lines of standard input, each as a record",
           {{"key-separator", "S", "the key is what stands before S; TAB is a tabulator"},
            {"key", "K", "one key for all records"},
            {"shard", "N", "to this shard of a partitioned stream"},
            {"file", "F", "read this file instead"},
            {"acks", "all|leader", "stored on a majority (default), or on the leader alone"},
            {"retry-for", "DURATION", "how long to try without an answer (default 1m)"}},
           {"seq 100 | sluice produce numbers",
            "sluice produce flights --key-separator TAB --file flights.tsv"},
           produce}};
}

}  // namespace broker::cli
