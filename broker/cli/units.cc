#include "broker/cli/units.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace broker::cli {

namespace {

Status bad(std::string_view text, const char* expected) {
  return Status(Code::kInvalidArgument, "'" + std::string(text) + "' is not " + expected);
}

// The number at the front of `text`, which is shortened by it; negative when there is none.
double take_number(std::string_view& text) {
  size_t size = 0;
  while (size < text.size() && (std::isdigit(static_cast<unsigned char>(text[size])) ||
                                text[size] == '.')) {
    ++size;
  }
  double value = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + size, value);
  if (error != std::errc() || end != text.data() + size) return -1;
  text.remove_prefix(size);
  return value;
}

double byte_factor(std::string_view unit) {
  if (unit.empty() || unit == "B") return 1;
  const double base = unit.size() == 2 && unit[1] == 'B' && unit != "KB" ? 1000 : 1024;
  if (unit.size() == 3 && unit.substr(1) != "iB") return 0;
  if (unit.size() == 2 && unit[1] != 'B' && unit[1] != 'i') return 0;
  if (unit.size() > 3) return 0;
  switch (unit[0]) {
    case 'k': case 'K': return base;
    case 'm': case 'M': return base * base;
    case 'g': case 'G': return base * base * base;
    case 't': case 'T': return base * base * base * base;
    default: return 0;
  }
}

int64_t time_factor(std::string_view unit) {
  if (unit == "ms") return 1;
  if (unit == "s") return 1000;
  if (unit == "m") return 60'000;
  if (unit == "h") return 3'600'000;
  if (unit == "d") return 86'400'000;
  return 0;
}

}  // namespace

Result<int64_t> parse_number(std::string_view text, int64_t low, int64_t high) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    return Status(Code::kInvalidArgument, "'" + std::string(text) + "' is not a whole number in " +
                                              std::to_string(low) + ".." + std::to_string(high));
  }
  return value;
}

Result<int64_t> parse_bytes(std::string_view text) {
  std::string_view rest = text;
  double value = take_number(rest);
  double bytes = value * byte_factor(rest);
  if (value < 0 || byte_factor(rest) == 0 || bytes > 9e18) {
    return bad(text, "a size such as 4096, 64KiB or 4MiB");
  }
  return static_cast<int64_t>(std::llround(bytes));
}

Result<int64_t> parse_duration_ms(std::string_view text) {
  if (text == "forever" || text == "-1") return -1;
  std::string_view rest = text;
  double total = 0;
  do {
    double value = take_number(rest);
    size_t size = 0;
    while (size < rest.size() && std::isalpha(static_cast<unsigned char>(rest[size]))) ++size;
    int64_t factor = time_factor(rest.substr(0, size));
    total += value * static_cast<double>(factor);
    if (value < 0 || factor == 0 || total > 9e18) {
      return bad(text, "a duration such as 500ms, 30s, 12h, 7d or forever");
    }
    rest.remove_prefix(size);
  } while (!rest.empty());
  return static_cast<int64_t>(std::llround(total));
}

Result<int64_t> parse_time_ms(std::string_view text) {
  if (auto number = parse_number(text, 0, INT64_MAX); number.ok()) return number;
  std::string copy(text);
  for (const char* format : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* end = strptime(copy.c_str(), format, &parts);
    if (end && *end == '\0') return static_cast<int64_t>(timegm(&parts)) * 1000;
  }
  return bad(text, "a time: Unix milliseconds or 2026-01-31T12:00:00Z");
}

std::string parse_separator(std::string_view text) {
  if (text == "TAB" || text == "\\t") return "\t";
  if (text == "\\0") return std::string(1, '\0');
  return std::string(text);
}

std::string format_bytes(double bytes) {
  static const char* const kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 5) {
    bytes /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
  return text;
}

std::string format_duration(int64_t ms) {
  if (ms < 0) return "forever";
  if (ms == 0) return "0s";
  std::string text;
  for (auto [factor, unit] : {std::pair<int64_t, const char*>{86'400'000, "d"},
                              {3'600'000, "h"}, {60'000, "m"}, {1000, "s"}, {1, "ms"}}) {
    if (ms >= factor) text += std::to_string(ms / factor) + unit;
    ms %= factor;
  }
  return text;
}

}  // namespace broker::cli
