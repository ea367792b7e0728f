// sluice-operator: one binary, several subcommands. A subcommand gets the arguments behind its name
// and returns the process's exit status.
#include <cstdio>
#include <string>
#include <vector>

#include "operator/coordinator/coordinator_command.h"
#include "operator/reconcile/operator.h"

namespace {

struct Subcommand {
  const char* name;
  const char* summary;
  int (*run)(const std::vector<std::string>& args);
};

const Subcommand kSubcommands[] = {
    {"run", "reconcile and coordinate clusters on Kubernetes",
     sluice_operator::reconcile::run_operator},
    {"coordinator", "coordinate a cluster without Kubernetes",
     sluice_operator::coordinator::run_coordinator},
};

void print_usage(FILE* out) {
  std::fputs("Usage: sluice-operator SUBCOMMAND [flags]\n\n", out);
  for (const auto& subcommand : kSubcommands) {
    std::fprintf(out, "  %-12s %s\n", subcommand.name, subcommand.summary);
  }
  std::fputs("\n  --help       this text; behind a subcommand, its flags\n"
             "  --version    the version\n", out);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h") {
    print_usage(stdout);
    return 0;
  }
  if (name == "--version") {
    std::puts("sluice-operator " SLUICE_VERSION);
    return 0;
  }
  for (const auto& subcommand : kSubcommands) {
    if (name == subcommand.name) return subcommand.run({argv + 2, argv + argc});
  }
  if (name.empty()) {
    std::fputs("sluice-operator: a subcommand is missing\n\n", stderr);
  } else {
    std::fprintf(stderr, "sluice-operator: unknown subcommand %s\n\n", name.c_str());
  }
  print_usage(stderr);
  return 2;
}
