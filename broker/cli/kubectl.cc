#include "broker/cli/kubectl.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

extern char** environ;

namespace broker::cli {

namespace {

constexpr const char* kProgram = "kubectl";

struct Child {
  pid_t pid = 0;
  int out = -1, err = -1;  // ours to close

  static Result<Child> start(std::vector<std::string> words);
  void close_pipes() {
    for (int* fd : {&out, &err}) {
      if (*fd >= 0) close(*fd);
      *fd = -1;
    }
  }
  // Its exit status; 128 and the signal where one ended it, as shells say.
  int wait() const {
    int state = 0;
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  }
};

Result<Child> Child::start(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0) return Status(Code::kIoError, std::strerror(errno));
  if (pipe2(err, O_CLOEXEC) != 0) {
    Status failed(Code::kIoError, std::strerror(errno));
    close(out[0]);
    close(out[1]);
    return failed;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
  Child child;
  int failed = posix_spawnp(&child.pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(err[1]);
  child.out = out[0];
  child.err = err[0];
  if (!failed) return child;
  child.close_pipes();
  return Status(Code::kUnavailable,
                std::string(kProgram) + " cannot be run: " + std::strerror(failed));
}

// Reads once from whichever pipe has something; false when neither has a writer any more.
bool read_some(Child& child, std::string& out, std::string& err) {
  if (child.out < 0 && child.err < 0) return false;
  pollfd fds[2] = {{child.out, POLLIN, 0}, {child.err, POLLIN, 0}};
  if (poll(fds, 2, -1) < 0) return errno == EINTR;
  for (auto [fd, text, ready] : {std::tuple{&child.out, &out, fds[0].revents},
                                 std::tuple{&child.err, &err, fds[1].revents}}) {
    if (!ready) continue;  // a closed one never is
    char buffer[65536];
    ssize_t got = read(*fd, buffer, sizeof buffer);
    if (got > 0) {
      text->append(buffer, static_cast<size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      close(*fd);
      *fd = -1;
    }
  }
  return true;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

std::vector<Option> Kubectl::options() {
  return {{"namespace", "NS", "-n for short (default: that of kubectl's context)"},
          {"context", "NAME", "of the kubeconfig (default: its current one)"},
          {"kubeconfig", "FILE", "as kubectl takes it"}};
}

Kubectl::Kubectl(const Arguments& arguments) : everywhere_(arguments.has("all-namespaces")) {
  for (const char* name : {"namespace", "context", "kubeconfig"}) {
    if (arguments.has(name)) flags_.push_back(std::string("--") + name + "=" + arguments.get(name));
  }
}

std::vector<std::string> Kubectl::command(std::vector<std::string> words) const {
  words.insert(words.begin(), kProgram);
  // Of two namespaces kubectl takes the last: the call's own wins over the command line's.
  const bool placed = std::any_of(words.begin(), words.end(), [](const auto& word) {
    return word == "-n" || word == "--namespace" || word == "--all-namespaces";
  });
  for (const auto& flag : flags_) {
    if (!placed || !flag.starts_with("--namespace=")) words.push_back(flag);
  }
  return words;
}

Result<Kubectl::Output> Kubectl::run(std::vector<std::string> words) const {
  ASSIGN_OR_RETURN(Child child, Child::start(command(std::move(words))));
  Output output;
  while (read_some(child, output.text, output.complaints)) {}
  child.close_pipes();
  output.exit_status = child.wait();
  return output;
}

Result<std::string> Kubectl::text(std::vector<std::string> words) const {
  ASSIGN_OR_RETURN(Output output, run(std::move(words)));
  if (output.exit_status == 0) return std::move(output.text);
  std::string why = trimmed(output.complaints);
  return Status(Code::kUnavailable,
                "kubectl: " + (why.empty() ? "exit status " + std::to_string(output.exit_status)
                                           : why));
}

Result<nlohmann::json> Kubectl::json(std::vector<std::string> words) const {
  words.insert(words.end(), {"-o", "json"});
  ASSIGN_OR_RETURN(std::string out, text(std::move(words)));
  auto object = nlohmann::json::parse(out, nullptr, false);
  if (object.is_object()) return object;
  return Status(Code::kUnavailable, "kubectl did not print a JSON object");
}

Result<std::vector<nlohmann::json>> Kubectl::list(const std::string& kinds) const {
  std::vector<std::string> words = {"get", kinds};
  if (everywhere_) words.push_back("--all-namespaces");
  ASSIGN_OR_RETURN(auto answer, json(std::move(words)));
  std::vector<nlohmann::json> items;
  for (auto& item : answer["items"]) items.push_back(std::move(item));
  return items;
}

Result<PortForward> PortForward::open(const Kubectl& kubectl, const std::string& target, int port) {
  ASSIGN_OR_RETURN(Child child, Child::start(kubectl.command({"port-forward", "--address=127.0.0.1",
                                                              target, ":" + std::to_string(port)})));
  std::string out, err;
  const std::string said = "Forwarding from ";
  while (true) {
    size_t at = out.find(said), end = out.find(" -> ", at == std::string::npos ? 0 : at);
    if (at != std::string::npos && end != std::string::npos) {
      at += said.size();
      // Its pipes stay open: it writes a line for each connection.
      return PortForward(child.pid, out.substr(at, end - at));
    }
    if (!read_some(child, out, err)) break;
  }
  child.close_pipes();
  child.wait();
  return Status(Code::kUnavailable, "kubectl port-forward: " + trimmed(err.empty() ? out : err));
}

PortForward::PortForward(PortForward&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), address_(std::move(other.address_)) {}

PortForward::~PortForward() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
}

}  // namespace broker::cli
