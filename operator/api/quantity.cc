#include "operator/api/quantity.h"

#include <cmath>
#include <cstdlib>
#include <map>

namespace sluice_operator::api {

std::optional<double> quantity(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str()) return std::nullopt;
  static const std::map<std::string, double> kSuffixes = {
      {"", 1},        {"n", 1e-9},    {"u", 1e-6},    {"m", 1e-3},    {"k", 1e3},
      {"M", 1e6},     {"G", 1e9},     {"T", 1e12},    {"P", 1e15},    {"E", 1e18},
      {"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50},
      {"Ei", 0x1p60}};
  auto suffix = kSuffixes.find(end);
  if (suffix == kSuffixes.end()) return std::nullopt;
  return number * suffix->second;
}

int compare_quantities(const std::string& a, const std::string& b) {
  auto x = quantity(a), y = quantity(b);
  if (!x || !y || std::abs(*x - *y) <= 1e-12 * std::abs(*x)) return 0;
  return *x < *y ? -1 : 1;
}

}  // namespace sluice_operator::api
