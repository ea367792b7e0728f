#pragma once
// `sluice-operator coordinator`: a cluster's coordinator without Kubernetes, its metadata in a
// folder. Called by main; runs until SIGTERM or SIGINT.
#include <string>
#include <vector>

#include "broker/base/status.h"

namespace sluice_operator::coordinator {

struct CoordinatorFlags {
  std::string metadata_dir;
  std::string listen;
  std::string cluster = "sluice";
  std::string http;                       // empty: no pages
  int brokers = 0;                        // expected ids 0 to brokers-1; 0: whoever comes
  std::string tls_ca, tls_cert, tls_key;  // PEM files, all or none
  std::string prices;                     // file with a price table; empty: none
  int64_t metering_interval_ms = 60'000;
  std::string log_level = "info", log_format = "text";
};

// Arguments behind the subcommand. kInvalidArgument names the flag that is wrong.
broker::Result<CoordinatorFlags> parse_coordinator_flags(const std::vector<std::string>& args);
extern const char kCoordinatorHelp[];
// The process's exit status.
int run_coordinator(const std::vector<std::string>& args);

}  // namespace sluice_operator::coordinator
