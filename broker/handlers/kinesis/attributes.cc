#include "broker/handlers/kinesis/attributes.h"

#include <cstdlib>
#include <sstream>

namespace broker::handlers::kinesis::attributes {
namespace {

constexpr int64_t kDayMs = 24LL * 3600 * 1000;

std::vector<int64_t> times_of_day(std::string_view times, int64_t now_ms) {
  std::istringstream in{std::string(times)};
  std::vector<int64_t> out;
  for (int64_t time; in >> time;) {
    if (time > now_ms - kDayMs) out.push_back(time);
  }
  return out;
}

}  // namespace

std::string_view get(const cluster::Stream& stream, const std::string& name) {
  auto it = stream.map.attributes().find(name);
  return it == stream.map.attributes().end() ? std::string_view() : it->second;
}

int64_t get_number(const cluster::Stream& stream, const std::string& name, int64_t otherwise) {
  std::string text(get(stream, name));
  return text.empty() ? otherwise : std::strtoll(text.c_str(), nullptr, 10);
}

std::map<std::string, std::string> with_prefix(const cluster::Stream& stream,
                                               std::string_view prefix) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : stream.map.attributes()) {
    if (name.starts_with(prefix)) out.emplace(name.substr(prefix.size()), value);
  }
  return out;
}

int count_of_day(std::string_view times, int64_t now_ms) {
  return static_cast<int>(times_of_day(times, now_ms).size());
}

std::string add_to_day(std::string_view times, int64_t now_ms) {
  std::string out;
  for (int64_t time : times_of_day(times, now_ms)) out += std::to_string(time) + " ";
  return out + std::to_string(now_ms);
}

}  // namespace broker::handlers::kinesis::attributes
