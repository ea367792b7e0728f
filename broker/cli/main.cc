// The `sluice` command line: finds the command, runs it, says in one sentence what went wrong.
// Exit status: 0 success, 1 failure, 2 a wrong command line.
#include <csignal>
#include <cstdio>
#include <iterator>

#include "broker/cli/commands.h"
#include "broker/cli/output.h"

namespace {

using namespace broker::cli;

std::vector<Command> all_commands() {
  std::vector<Command> all;
  for (auto make : {produce_commands, consume_commands, stream_commands, cluster_commands,
                    bill_commands, group_commands, bench_commands, autoscale_commands, day_two_commands,
                    move_commands, diff_commands, report_commands}) {
    auto some = make();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

int fail(const broker::Status& status) {
  std::fflush(stdout);
  std::fprintf(stderr, "sluice: %s\n", status.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);
  const auto commands = all_commands();
  auto invocation = parse_command_line(commands, std::vector<std::string>(argv + 1, argv + argc));
  if (!invocation.ok()) {
    fail(invocation.status());
    return 2;
  }
  if (invocation->help) {
    print(help_text(commands, invocation->topic));
    return argc > 1 ? 0 : 2;
  }
  if (invocation->version) {
    print("sluice " SLUICE_VERSION "\n");
    return 0;
  }
  auto status = invocation->command->run(invocation->arguments);
  if (!status.ok()) return fail(status.status());
  if (std::fflush(stdout) != 0) {
    return fail(broker::Status(broker::Code::kIoError, "the output cannot be written"));
  }
  return *status;
}
