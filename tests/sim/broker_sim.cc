// Runs the simulation:
//   broker_sim --seed N [--steps S] [--verbose]      one run, exactly as before
//   broker_sim --seeds FILE [--fresh N]              every seed of a file, then N fresh ones
//   broker_sim --from N --count N | --budget-seconds S
// Ends with "N passed, N failed"; a failure prints its seed and the promise that was broken.
#include <csignal>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <malloc.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "tests/sim/simulation.h"

namespace {

using broker::sim::RunOptions;
using broker::sim::RunResult;
using broker::sim::run_simulation;

char crash_line[128];

// A broken invariant of the code itself aborts: say which seed it was.
void on_abort(int) {
  ssize_t ignored = write(2, crash_line, strlen(crash_line));
  (void)ignored;
}

struct Totals {
  int passed = 0, failed = 0;
  int64_t virtual_us = 0;
  uint64_t events = 0, records = 0, acknowledged = 0;
  std::map<std::string, uint64_t> faults;
};

void run_seed(const RunOptions& options, Totals& totals, bool quiet) {
  std::snprintf(crash_line, sizeof crash_line, "FAIL seed %llu steps %d: aborted\n",
                static_cast<unsigned long long>(options.seed), options.steps);
  RunResult r = run_simulation(options);
  totals.virtual_us += r.virtual_us;
  totals.events += r.events;
  totals.records += r.records;
  totals.acknowledged += r.acknowledged;
  for (const auto& [kind, count] : r.faults) totals.faults[kind] += count;
  (r.ok() ? totals.passed : totals.failed)++;
  if (r.ok() && quiet) return;
  std::printf("%s seed %llu steps %d: hash %016llx, %.1f s, %llu events, %llu records committed, "
              "%llu lost from memory, %llu acknowledged, %llu unknown, %llu batches read, %llu metadata writes%s%s\n",
              r.ok() ? "ok  " : "FAIL", static_cast<unsigned long long>(options.seed),
              options.steps, static_cast<unsigned long long>(r.hash),
              static_cast<double>(r.virtual_us) / 1e6, static_cast<unsigned long long>(r.events),
              static_cast<unsigned long long>(r.records),
              static_cast<unsigned long long>(r.lost),
              static_cast<unsigned long long>(r.acknowledged),
              static_cast<unsigned long long>(r.unknown), static_cast<unsigned long long>(r.read),
              static_cast<unsigned long long>(r.metadata_writes), r.ok() ? "" : "\n     ",
              r.violation.c_str());
  std::fflush(stdout);
}

// "SEED [STEPS] # why it is kept" a line.
bool run_file(const char* path, RunOptions options, Totals& totals) {
  std::ifstream file(path);
  if (!file) return false;
  const int steps = options.steps;
  for (std::string line; std::getline(file, line);) {
    unsigned long long seed = 0;
    int own_steps = 0;
    int fields = std::sscanf(line.c_str(), "%llu %d", &seed, &own_steps);
    if (fields < 1) continue;
    options.seed = seed;
    options.steps = fields == 2 ? own_steps : steps;
    run_seed(options, totals, true);
  }
  return true;
}

int usage() {
  std::fprintf(stderr,
               "usage: broker_sim [--seed N] [--steps N] [--memory] [--verbose] [--log LEVEL] [--seeds FILE] "
               "[--fresh N] [--from N] [--count N] [--budget-seconds N]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // simulated files are large strings, often copied
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  RunOptions options;
  const char* seeds = nullptr;
  const char* log = nullptr;
  unsigned long long from = 0, count = 0, fresh = 0, budget = 0;
  bool one = false;
  for (int i = 1; i < argc; i++) {
    std::string flag = argv[i];
    if (flag == "--verbose") {
      options.verbose = true;
      continue;
    }
    if (flag == "--memory") {
      options.memory = true;
      continue;
    }
    if (i + 1 >= argc) return usage();
    const char* value = argv[++i];
    if (flag == "--seed") options.seed = std::strtoull(value, nullptr, 10), one = true;
    else if (flag == "--steps") options.steps = std::atoi(value);
    else if (flag == "--seeds") seeds = value;
    else if (flag == "--log") log = value;
    else if (flag == "--fresh") fresh = std::strtoull(value, nullptr, 10);
    else if (flag == "--from") from = std::strtoull(value, nullptr, 10);
    else if (flag == "--count") count = std::strtoull(value, nullptr, 10);
    else if (flag == "--budget-seconds") budget = std::strtoull(value, nullptr, 10);
    else return usage();
  }
  broker::configure_log(log ? log : "off", "text");
  std::signal(SIGABRT, on_abort);
  Totals totals;
  auto began = std::chrono::steady_clock::now();
  auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  if (one) run_seed(options, totals, false);
  if (seeds && !run_file(seeds, options, totals)) return usage();
  if (fresh > 0 || (budget > 0 && from == 0)) {
    from = std::random_device()() % 1'000'000'000ULL * 1000;
    std::printf("fresh seeds from %llu\n", from);
    count = fresh;
  }
  for (uint64_t i = 0; i < count || (budget > 0 && seconds() < static_cast<double>(budget)); i++) {
    options.seed = from + i;
    run_seed(options, totals, true);
  }
  std::printf("%.2f simulated hours, %llu events, %llu records committed, %llu acknowledged, "
              "%.0f s\n",
              static_cast<double>(totals.virtual_us) / 3.6e9,
              static_cast<unsigned long long>(totals.events),
              static_cast<unsigned long long>(totals.records),
              static_cast<unsigned long long>(totals.acknowledged), seconds());
  std::printf("faults:");
  for (const auto& [kind, count] : totals.faults) {
    std::printf(" %s=%llu", kind.c_str(), static_cast<unsigned long long>(count));
  }
  std::printf("\n%d passed, %d failed\n", totals.passed, totals.failed);
  return totals.failed == 0 && totals.passed > 0 ? 0 : 1;
}
