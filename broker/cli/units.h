#pragma once
// Numbers, sizes, durations and points in time as people write them. Pure.
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/base/status.h"

namespace broker::cli {

Result<int64_t> parse_number(std::string_view text, int64_t low, int64_t high);
// "4096", "64k", "4MiB", "1.5GB": k, M, G and KiB, MiB, GiB are powers of 1024; kB, MB, GB of 1000.
Result<int64_t> parse_bytes(std::string_view text);
// "500ms", "30s", "15m", "12h", "7d", "1h30m"; "forever" is -1.
Result<int64_t> parse_duration_ms(std::string_view text);
// Unix milliseconds, or "2026-01-31T12:00:00Z", or "2026-01-31", all UTC.
Result<int64_t> parse_time_ms(std::string_view text);
// "TAB", "\t", "\0", else as it is.
std::string parse_separator(std::string_view text);

std::string format_bytes(double bytes);       // "1.5 MiB"
std::string format_duration(int64_t ms);      // "7d", "1h30m"; -1 is "forever"

}  // namespace broker::cli
