#include "broker/cli/redact.h"

#include <algorithm>
#include <cctype>

#include <nlohmann/json.hpp>

namespace broker::cli {

using Json = nlohmann::json;

namespace {

bool sounds_secret(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"password", "passwd", "secret", "token", "credential", "apikey",
                           "api_key", "api-key", "access_key", "access-key", "private"}) {
    if (name.find(word) != std::string::npos) return true;
  }
  return false;
}

void redact_environment(Json& list) {
  for (auto& variable : list) {
    if (!variable.is_object() || !variable.contains("value")) continue;
    const auto& name = variable["name"];
    if (name.is_string() && sounds_secret(name.get<std::string>())) variable["value"] = kRemoved;
  }
}

void redact_annotations(Json& annotations) {
  annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
  for (auto& [name, value] : annotations.items()) {
    if (sounds_secret(name)) value = kRemoved;
  }
}

void redact_everywhere(Json& value) {
  if (value.is_string()) {
    value = redact_text(value.get<std::string>());
    return;
  }
  if (value.is_object()) {
    if (value.contains("env") && value["env"].is_array()) redact_environment(value["env"]);
    if (value.contains("annotations") && value["annotations"].is_object()) {
      redact_annotations(value["annotations"]);
    }
    const bool secret = value.value("kind", Json()) == "Secret";
    for (const char* field : {"data", "stringData"}) {
      if (secret && value.contains(field)) value[field] = kRemoved;
    }
    value.erase("managedFields");
  }
  if (value.is_structured()) {
    for (auto& item : value) redact_everywhere(item);
  }
}

bool ends_url(char c) {
  return std::isspace(static_cast<unsigned char>(c)) || c == '/' || c == '"' || c == '\'' ||
         c == '<' || c == '>';
}

}  // namespace

void redact(Json& object) { redact_everywhere(object); }

std::string redact_text(std::string text) {
  for (size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    size_t end = at + 3, sign = std::string::npos;
    for (; end < text.size() && !ends_url(text[end]); ++end) {
      if (text[end] == '@') sign = end;  // the last: passwords may hold one
    }
    if (sign != std::string::npos) text.replace(at + 3, sign - at - 3, kRemoved);
  }
  return text;
}

}  // namespace broker::cli
