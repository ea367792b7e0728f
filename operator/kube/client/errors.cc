#include "operator/kube/client/errors.h"

#include <nlohmann/json.hpp>
#include <string>

namespace sluice_operator::kube {

using broker::Code;
using broker::Status;

namespace {

std::string text_at(const nlohmann::json& object, const char* field) {
  auto it = object.find(field);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Code to_code(int http_code, const std::string& reason, bool is_write) {
  switch (http_code) {
    case 400:
    case 422: return Code::kInvalidArgument;
    case 401:
    case 403: return Code::kPermissionDenied;
    case 404: return Code::kNotFound;
    case 405:
    case 406:
    case 415: return Code::kUnsupported;
    case 409: return reason == "AlreadyExists" ? Code::kAlreadyExists : Code::kConflict;
    case 410: return Code::kOutOfRange;
    case 413: return Code::kTooLarge;
    case 429: return Code::kUnavailable;
  }
  if (http_code >= 500) return is_write ? Code::kTimeout : Code::kUnavailable;
  return Code::kInternal;
}

}  // namespace

Status api_error(int http_code, std::string_view body, bool is_write) {
  auto parsed = nlohmann::json::parse(body, nullptr, false);
  std::string reason, message;
  if (parsed.is_object()) {
    reason = text_at(parsed, "reason");
    message = text_at(parsed, "message");
  } else {
    message = std::string(body.substr(0, 200));
  }
  std::string text = std::to_string(http_code);
  if (!reason.empty()) text += " " + reason;
  if (!message.empty()) text += ": " + message;
  return Status(to_code(http_code, reason, is_write), text);
}

}  // namespace sluice_operator::kube
