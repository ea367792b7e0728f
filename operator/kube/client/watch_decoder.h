#pragma once
// Cuts the bytes of a watch into events: one JSON document per line, in chunks that end anywhere.
// Pure; owned by one watch.
#include <functional>
#include <string>
#include <string_view>

#include "broker/base/status.h"
#include "operator/kube/client/json.h"

namespace sluice_operator::kube {

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark };
  Type type;
  Json& object;  // the handler may move it out
};
using WatchHandler = std::function<void(WatchEvent)>;

class WatchDecoder {
 public:
  static constexpr size_t kLineBytesMax = 16 << 20;
  explicit WatchDecoder(const WatchHandler& handler) : handler_(handler) {}
  // Hands over every event that is complete now. Fails for good at an ERROR event (kOutOfRange
  // when the server has forgotten the resourceVersion) and at anything that is not an event.
  broker::Status feed(std::string_view bytes);

 private:
  broker::Status line(std::string_view text);
  const WatchHandler& handler_;
  std::string partial_;
};

}  // namespace sluice_operator::kube
