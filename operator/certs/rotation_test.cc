// The phases of a CA's replacement: what each waits for, what is trusted in it, and that it survives
// being written down.
#include "operator/certs/rotation.h"

#include <gtest/gtest.h>

namespace sluice_operator::certs {
namespace {

constexpr int64_t kNow = 1'800'000'000;

struct Rotation : testing::Test {
  Rotation() : one(*make_ca("1", kNow)), two(*make_ca("2", kNow)), now{one, {}, "", kNow} {}
  RotationStep step(RotationInput input) const {
    if (input.now_s == 0) input.now_s = kNow;
    return next_step(now, input);
  }
  void take(RotationStep next) { now = after(now, next, two, kNow); }
  KeyPair one, two;
  Authority now;
};

TEST_F(Rotation, GoesThroughItsPhases) {
  EXPECT_EQ(step({}), RotationStep::kNone);
  EXPECT_EQ(step({.asked = true}), RotationStep::kBegin);
  take(RotationStep::kBegin);
  EXPECT_EQ(now.phase(), CaPhase::kTrusting);
  EXPECT_EQ(now.ca, one) << "nobody knows the new one yet";
  EXPECT_EQ(now.bundle(), one.cert + two.cert);

  EXPECT_EQ(step({.asked = true, .reissued_everywhere = true}), RotationStep::kNone);
  EXPECT_EQ(step({.trusted_everywhere = true}), RotationStep::kReissue);
  take(RotationStep::kReissue);
  EXPECT_EQ(now.phase(), CaPhase::kReissuing);
  EXPECT_EQ(now.ca, two);
  EXPECT_EQ(now.bundle(), two.cert + one.cert);

  EXPECT_EQ(step({.trusted_everywhere = true}), RotationStep::kNone);
  EXPECT_EQ(step({.reissued_everywhere = true}), RotationStep::kDropOld);
  take(RotationStep::kDropOld);
  EXPECT_EQ(now.phase(), CaPhase::kStable);
  EXPECT_EQ(now.bundle(), two.cert);
}

TEST_F(Rotation, BeginsByItselfWhenTheCaGrowsOld) {
  EXPECT_EQ(step({.now_s = kNow + kCaDays * 86400 / 2}), RotationStep::kNone);
  EXPECT_EQ(step({.now_s = kNow + kCaDays * 86400 * 7 / 10}), RotationStep::kBegin);
}

TEST_F(Rotation, APhaseLastsForClientsThatNobodyCanAsk) {
  take(RotationStep::kBegin);
  const int64_t hour = 3600;
  EXPECT_EQ(step({.trusted_everywhere = true, .now_s = kNow + hour - 1, .phase_s = hour}),
            RotationStep::kNone);
  EXPECT_EQ(step({.trusted_everywhere = true, .now_s = kNow + hour, .phase_s = hour}),
            RotationStep::kReissue);
}

TEST_F(Rotation, IsReadAsItWasWritten) {
  for (auto next : {RotationStep::kBegin, RotationStep::kReissue, RotationStep::kDropOld}) {
    take(next);
    auto read = read_authority(to_data(now), now.since_s);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, now);
  }
  EXPECT_EQ(read_authority({{"ca.crt", "x"}}, 0).code(), broker::Code::kCorruption);
  EXPECT_EQ(read_authority({{"ca.crt", "x"}, {"ca.key", "y"}, {"next-ca.crt", "z"}}, 0).code(),
            broker::Code::kCorruption);
}

}  // namespace
}  // namespace sluice_operator::certs
