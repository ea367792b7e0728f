#include "broker/base/log.h"

#include "broker/base/log_context.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <vector>

namespace broker {
namespace {

std::atomic<bool> json_format{false};
thread_local std::vector<LogField> context;
thread_local size_t contexts = 0;

spdlog::logger& logger() {
  static auto instance = [] {
    auto created = std::make_shared<spdlog::logger>(
        "sluice", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_pattern("%v");
    created->flush_on(spdlog::level::debug);
    return created;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
}

std::string timestamp() {
  auto now = std::chrono::system_clock::now();
  auto seconds = std::chrono::system_clock::to_time_t(now);
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:03}Z", text, ms % 1000);
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarn: return "warn";
    case LogLevel::kError: return "error";
  }
  return "info";
}

using AllFields = std::vector<LogField>;

std::string json_line(LogLevel level, std::string_view component, std::string_view message,
                      const AllFields& fields) {
  std::string line = fmt::format(R"({{"time":"{}","level":"{}","component":")", timestamp(),
                                 level_name(level));
  line += component;
  line += "\",\"message\":";
  append_json_string(line, message);
  for (const auto& field : fields) {
    line += ',';
    append_json_string(line, field.key);
    line += ':';
    if (field.is_number) {
      line += field.value;
    } else {
      append_json_string(line, field.value);
    }
  }
  return line + "}";
}

std::string text_line(LogLevel level, std::string_view component, std::string_view message,
                      const AllFields& fields) {
  std::string line = fmt::format("{} {:<5} {}: {}", timestamp(), level_name(level), component,
                                 message);
  for (const auto& field : fields) {
    line += fmt::format(" {}=", field.key);
    if (field.value.find_first_of(" \"\n\t") == std::string::npos && !field.value.empty()) {
      line += field.value;
    } else {
      append_json_string(line, field.value);
    }
  }
  return line;
}

}  // namespace

LogContext::LogContext(LogFields fields) : before_(context.size()) {
  context.insert(context.end(), fields.begin(), fields.end());
  ++contexts;
}

LogContext::~LogContext() {
  context.resize(before_, LogField("", ""));
  --contexts;
}

void LogContext::add(LogField field) {
  if (contexts > 0) context.push_back(std::move(field));
}

bool set_log_level(std::string_view level) {
  if (level == "off") {
    logger().set_level(spdlog::level::off);
    return true;
  }
  for (auto candidate : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
    if (level != level_name(candidate)) continue;
    logger().set_level(to_spdlog(candidate));
    return true;
  }
  return false;
}

bool configure_log(std::string_view level, std::string_view format) {
  if (format != "text" && format != "json") return false;
  json_format = format == "json";
  return set_log_level(level);
}

bool log_enabled(LogLevel level) { return logger().should_log(to_spdlog(level)); }

void log_line(LogLevel level, std::string_view component, std::string_view message,
              LogFields fields) {
  if (!log_enabled(level)) return;
  AllFields all = context;
  all.insert(all.end(), fields.begin(), fields.end());
  logger().log(to_spdlog(level), "{}",
               json_format ? json_line(level, component, message, all)
                           : text_line(level, component, message, all));
}

}  // namespace broker
