#include "operator/kube/client/watch_decoder.h"

#include <nlohmann/json.hpp>

#include "operator/kube/client/errors.h"

namespace sluice_operator::kube {

using broker::Code;
using broker::Status;

Status WatchDecoder::feed(std::string_view bytes) {
  while (true) {
    size_t end = bytes.find('\n');
    if (end == std::string_view::npos) break;
    if (partial_.empty()) {
      RETURN_IF_ERROR(line(bytes.substr(0, end)));
    } else {
      partial_.append(bytes.substr(0, end));
      Status status = line(partial_);
      partial_.clear();
      if (partial_.capacity() > (64 << 10)) partial_.shrink_to_fit();
      RETURN_IF_ERROR(status);
    }
    bytes.remove_prefix(end + 1);
  }
  if (partial_.size() + bytes.size() > kLineBytesMax) {
    return Status(Code::kTooLarge, "a watch event is longer than 16 MiB");
  }
  partial_.append(bytes);
  return {};
}

static Status error_event(const Json& object) {
  auto code = object.find("code");
  int number = code != object.end() && code->is_number_integer() ? code->get<int>() : 500;
  return api_error(number, object.dump(-1, ' ', false, Json::error_handler_t::replace), false);
}

Status WatchDecoder::line(std::string_view text) {
  if (text.find_first_not_of(" \r\t") == std::string_view::npos) return {};
  auto event = Json::parse(text, nullptr, false);
  if (!event.is_object() || !event.contains("type") || !event["type"].is_string() ||
      !event.contains("object") || !event["object"].is_object()) {
    return Status(Code::kUnavailable, "a watch answered something that is not an event");
  }
  const auto& type = event["type"].get_ref<const std::string&>();
  Json& object = event["object"];
  if (type == "ADDED") handler_({WatchEvent::Type::kAdded, object});
  else if (type == "MODIFIED") handler_({WatchEvent::Type::kModified, object});
  else if (type == "DELETED") handler_({WatchEvent::Type::kDeleted, object});
  else if (type == "BOOKMARK") handler_({WatchEvent::Type::kBookmark, object});
  else if (type == "ERROR") return error_event(object);
  return {};  // a type of some later Kubernetes
}

}  // namespace sluice_operator::kube
