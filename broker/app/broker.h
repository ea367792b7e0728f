#pragma once
// One broker process: builds the parts, starts them, drains and stops them. Wiring only. Made by
// main and run on the main thread, which is the reactor.
#include <memory>

#include "broker/app/config.h"

namespace broker::app {

class Broker {
 public:
  explicit Broker(Config config);
  ~Broker();
  // Recovers the data directory and opens the listeners. Blocks.
  Status start();
  // Serves until SIGTERM or SIGINT, then hands leadership over, answers what is in flight and
  // closes the log. Returns the process's exit status.
  int run();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace broker::app
