#pragma once
// Structured logging: a level, a component, a fixed message and key=value fields, as text or JSON
// lines on standard error. Thread-safe. Never log secrets or record contents.
//   log_info("storage", "recovered", {{"shards", 12}, {"ms", took_ms}});
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

namespace broker {

struct LogField {
  std::string_view key;
  std::string value;
  bool is_number = false;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), is_number(true) {}
  template <class T>
    requires(std::integral<T> || std::floating_point<T>)
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)), is_number(true) {}
};
using LogFields = std::initializer_list<LogField>;

enum class LogLevel { kDebug, kInfo, kWarn, kError };

// level: debug|info|warn|error|off, format: text|json. False when a word is unknown.
bool configure_log(std::string_view level, std::string_view format);
// From now on; false when the word is unknown.
bool set_log_level(std::string_view level);
void log_line(LogLevel level, std::string_view component, std::string_view message, LogFields fields);
bool log_enabled(LogLevel level);

inline void log_debug(std::string_view c, std::string_view m, LogFields f = {}) {
  if (log_enabled(LogLevel::kDebug)) log_line(LogLevel::kDebug, c, m, f);
}
inline void log_info(std::string_view c, std::string_view m, LogFields f = {}) {
  log_line(LogLevel::kInfo, c, m, f);
}
inline void log_warn(std::string_view c, std::string_view m, LogFields f = {}) {
  log_line(LogLevel::kWarn, c, m, f);
}
inline void log_error(std::string_view c, std::string_view m, LogFields f = {}) {
  log_line(LogLevel::kError, c, m, f);
}

}  // namespace broker
