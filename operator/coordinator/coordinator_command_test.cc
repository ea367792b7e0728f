// Flags of `sluice-operator coordinator`.
#include "operator/coordinator/coordinator_command.h"

#include <gtest/gtest.h>

namespace sluice_operator::coordinator {
namespace {

TEST(CoordinatorFlags, BothFormsOfAFlag) {
  auto flags = parse_coordinator_flags(
      {"--metadata", "file:/d", "--listen=127.0.0.1:0", "--brokers=3", "--cluster", "c"});
  ASSERT_TRUE(flags.ok());
  EXPECT_EQ(flags->metadata_dir, "/d");
  EXPECT_EQ(flags->listen, "127.0.0.1:0");
  EXPECT_EQ(flags->brokers, 3);
  EXPECT_EQ(flags->cluster, "c");
}

TEST(CoordinatorFlags, RefusesWithTheFlagsName) {
  const std::vector<std::string> good = {"--metadata=file:/d", "--listen=h:1"};
  auto why = [&](std::vector<std::string> more) {
    more.insert(more.begin(), good.begin(), good.end());
    auto flags = parse_coordinator_flags(more);
    return flags.ok() ? "" : flags.status().message();
  };
  EXPECT_EQ(why({}), "");
  EXPECT_NE(why({"--colour=red"}).find("--colour"), std::string::npos);
  EXPECT_NE(why({"--cluster"}).find("--cluster"), std::string::npos);
  EXPECT_NE(why({"--metadata=kubernetes"}).find("--metadata"), std::string::npos);
  EXPECT_NE(why({"--listen=9443"}).find("--listen"), std::string::npos);
  EXPECT_NE(why({"--brokers=many"}).find("--brokers"), std::string::npos);
  EXPECT_NE(why({"--tls-ca=x"}).find("--tls-cert"), std::string::npos);
  EXPECT_NE(why({"--log-level=loud"}).find("--log-level"), std::string::npos);
}

}  // namespace
}  // namespace sluice_operator::coordinator
