#include "broker/cli/kubectl.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

extern char** environ;

namespace broker::cli {

Result<std::string> kubectl_get(const std::string& kind, const std::string& ns) {
  std::vector<std::string> words = {"kubectl", "get", kind, "-o", "json"};
  if (!ns.empty()) words.insert(words.end(), {"-n", ns});
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return Status(Code::kIoError, std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
  pid_t pid = 0;  // its complaints go to our standard error
  int failed = posix_spawnp(&pid, "kubectl", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_fds[1]);
  std::string text;
  char buffer[65536];
  ssize_t got = 0;
  while (!failed && ((got = read(pipe_fds[0], buffer, sizeof buffer)) > 0 ||
                     (got < 0 && errno == EINTR))) {
    if (got > 0) text.append(buffer, static_cast<size_t>(got));
  }
  close(pipe_fds[0]);
  if (failed) {
    return Status(Code::kUnavailable, std::string("kubectl cannot be run: ") +
                                          std::strerror(failed) + "; --file takes its JSON instead");
  }
  int state = 0;
  while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {}
  if (!WIFEXITED(state) || WEXITSTATUS(state) != 0) {
    return Status(Code::kUnavailable, "kubectl could not get the streams");
  }
  return text;
}

}  // namespace broker::cli
