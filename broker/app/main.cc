// sluice-broker: parse, build, run.
#include <csignal>
#include <cstdio>

#include "broker/app/broker.h"
#include "broker/base/log.h"

int main(int argc, char** argv) {
  using namespace broker;
  auto config = app::parse_command_line({argv + 1, argv + argc});
  if (!config.ok()) {
    std::fprintf(stderr, "sluice-broker: %s\n", config.status().message().c_str());
    return 2;
  }
  if (config->help || config->version) {
    std::fputs(config->help ? app::usage().c_str() : "sluice-broker " SLUICE_VERSION "\n", stdout);
    return 0;
  }
  if (!configure_log(config->log_level, config->log_format)) {
    std::fprintf(stderr, "sluice-broker: --log-level is debug, info, warn or error; --log-format "
                         "is text or json\n");
    return 2;
  }
  // A client that goes while its answer is written is an error of that write, and no more.
  std::signal(SIGPIPE, SIG_IGN);
  app::Broker process(std::move(*config));
  Status started = process.start();
  if (!started.ok()) {
    std::fprintf(stderr, "sluice-broker: %s\n", started.to_string().c_str());
    return 1;
  }
  return process.run();
}
