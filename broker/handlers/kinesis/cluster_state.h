#pragma once
// What the brokers of a cluster share for this door: the secret of iterators and tokens, and the
// account's settings. Kept in the attributes of an internal stream of one shard, because that is
// the store that the coordinator swaps atomically and pushes to every broker; clients of any door
// see neither. Made at first use, so that a cluster without Kinesis has none. Reactor only.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/handlers/kinesis/context.h"

namespace broker::handlers::kinesis {

inline constexpr const char* kInternalStream = "__sluice_kinesis";

class ClusterState {
 public:
  explicit ClusterState(Services& services) : services_(services) {}

  // The secret, once it is there; `done` may run before this returns.
  void with_secret(std::function<void(const Result<std::string>&)> done);
  // The account's setting of this name, empty when there is none.
  std::string setting(const std::string& name) const;
  void set_setting(const std::string& name, const std::string& value,
                   std::function<void(const Status&)> done);

 private:
  std::string known_secret() const;
  void make_secret();
  void create_stream(std::function<void(const Status&)> done);
  void set_attribute(const std::string& name, const std::string& value, bool only_if_absent,
                     std::function<void(const Status&)> done);
  void answer_waiting(const Result<std::string>& secret);

  Services& services_;
  std::vector<std::function<void(const Result<std::string>&)>> waiting_;
};

}  // namespace broker::handlers::kinesis
