// The simulation proves something only if its oracle notices. Each test breaks one rule in the
// harness, not in the product, and demands that a promise is reported broken. And a seed must replay.
#include <gtest/gtest.h>

#include <unistd.h>

#include "broker/base/log.h"
#include "tests/sim/simulation.h"

namespace broker::sim {
namespace {

constexpr uint64_t kSeedsMax = 40;

// The first violation that the seeds find; empty when none does.
std::string first_violation(Mutation mutation) {
  configure_log("off", "text");
  for (uint64_t seed = 1; seed <= kSeedsMax; seed++) {
    RunOptions options;
    options.seed = seed;
    options.steps = 40;
    options.mutation = mutation;
    options.memory = mutation == Mutation::kLostTailVotes;
    auto result = run_simulation(options);
    if (!result.ok()) return "seed " + std::to_string(seed) + ": " + result.violation;
  }
  return {};
}

TEST(SimCheckers, NoticeDisksThatDoNotSync) {
  std::string violation = first_violation(Mutation::kDisksLie);
  EXPECT_NE(violation, "");
  std::printf("%s\n", violation.c_str());
}

TEST(SimCheckers, NoticeAnAcknowledgementThatComesTooEarly) {
  std::string violation = first_violation(Mutation::kEarlyAck);
  EXPECT_TRUE(violation.find("lost") != std::string::npos ||
              violation.find("two batches were acknowledged") != std::string::npos)
      << violation;
  std::printf("%s\n", violation.c_str());
}

TEST(SimCheckers, NoticeAReplicaThatVotesWithoutItsTail) {
  std::string violation = first_violation(Mutation::kLostTailVotes);
  EXPECT_NE(violation, "");
  std::printf("%s\n", violation.c_str());
}

// The brokers themselves may notice first, and end.
TEST(SimCheckersDeathTest, NoticeALostDiskThatVotes) {
  auto run = [] {
    std::string violation = first_violation(Mutation::kLostDiskVotes);
    std::fprintf(stderr, "%s\n", violation.c_str());
    _exit(violation.empty() ? 0 : 1);
  };
  EXPECT_EXIT(run(), [](int status) { return status != 0; }, "invariant broken|seed [0-9]+: .");
}

TEST(Simulation, ASeedReplaysExactly) {
  configure_log("off", "text");
  for (uint64_t seed : {7u, 8u, 9u}) {
    RunOptions options;
    options.seed = seed;
    options.steps = 30;
    auto first = run_simulation(options);
    auto second = run_simulation(options);
    EXPECT_EQ(first.hash, second.hash) << "seed " << seed;
    EXPECT_EQ(first.events, second.events) << "seed " << seed;
    options.seed = seed + 100;
    EXPECT_NE(run_simulation(options).hash, first.hash) << "seeds do not matter";
  }
}

}  // namespace
}  // namespace broker::sim
