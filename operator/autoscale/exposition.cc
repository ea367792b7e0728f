// Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/
#include <cstdlib>

#include "operator/autoscale/load.h"

namespace sluice_operator::autoscale {
namespace {

// Parses `{a="b",c="d"}` from `at` on; false when it is malformed.
bool parse_labels(const std::string& line, size_t& at, std::map<std::string, std::string>& labels) {
  at++;  // '{'
  while (at < line.size() && line[at] != '}') {
    size_t equals = line.find('=', at);
    if (equals == std::string::npos || equals + 1 >= line.size() || line[equals + 1] != '"') {
      return false;
    }
    std::string key = line.substr(at, equals - at);
    std::string value;
    at = equals + 2;
    while (at < line.size() && line[at] != '"') {
      if (line[at] == '\\' && at + 1 < line.size()) {
        at++;
        value += line[at] == 'n' ? '\n' : line[at];
      } else {
        value += line[at];
      }
      at++;
    }
    if (at >= line.size()) return false;
    at++;  // '"'
    if (at < line.size() && line[at] == ',') at++;
    labels.emplace(std::move(key), std::move(value));
  }
  if (at >= line.size()) return false;
  at++;  // '}'
  return true;
}

}  // namespace

std::vector<Sample> parse_exposition(const std::string& text, const std::string& prefix) {
  std::vector<Sample> samples;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    if (text.compare(begin, prefix.size(), prefix) == 0) {
      std::string line = text.substr(begin, end - begin);
      Sample sample;
      size_t at = line.find_first_of("{ ");
      bool good = at != std::string::npos;
      if (good) {
        sample.name = line.substr(0, at);
        if (line[at] == '{') good = parse_labels(line, at, sample.labels);
      }
      if (good) {
        char* rest = nullptr;
        sample.value = std::strtod(line.c_str() + at, &rest);
        if (rest != line.c_str() + at) samples.push_back(std::move(sample));
      }
    }
    begin = end + 1;
  }
  return samples;
}

}  // namespace sluice_operator::autoscale
