#pragma once
// What a thread is working on, in every line that it logs: fields before the line's own, as long as
// the context lives. Made by whoever hands work to others' code (the operator's controllers).
#include "broker/base/log.h"

namespace broker {

// Nested ones add up, and must end in the opposite order.
class LogContext {
 public:
  explicit LogContext(LogFields fields);
  ~LogContext();
  LogContext(const LogContext&) = delete;
  LogContext& operator=(const LogContext&) = delete;
  // To the innermost of this thread; nothing without one.
  static void add(LogField field);

 private:
  size_t before_;
};

}  // namespace broker
