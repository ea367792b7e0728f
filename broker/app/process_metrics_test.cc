// The process' own figures are there and move.
#include "broker/app/process_metrics.h"

#include <gtest/gtest.h>

namespace broker::app {
namespace {

double value_of(const std::string& page, const std::string& name) {
  auto at = page.find("\n" + name + " ");
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? -1 : std::strtod(page.c_str() + at + name.size() + 2, nullptr);
}

TEST(ProcessMetrics, ShowsProcessorTimeAndSpace) {
  Metrics metrics;
  ProcessMetrics process(metrics, "/");
  process.refresh();
  double before = value_of(metrics.expose(), "sluice_process_cpu_seconds_total");
  do {
    process.refresh();
  } while (value_of(metrics.expose(), "sluice_process_cpu_seconds_total") <= before);
  auto page = metrics.expose();
  EXPECT_GT(value_of(page, "sluice_process_cpu_cores"), 0);
  EXPECT_GT(value_of(page, "sluice_process_memory_bytes"), 0);
  EXPECT_GT(value_of(page, "sluice_volume_used_bytes"), 0);
  EXPECT_GE(value_of(page, "sluice_volume_capacity_bytes"),
            value_of(page, "sluice_volume_used_bytes"));
}

}  // namespace
}  // namespace broker::app
