#pragma once
// The broker's settings: command line over configuration file over defaults. Pure but for reading
// the file; used by main.
#include <map>
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/status.h"

namespace broker::app {

struct Address {
  std::string host;
  uint16_t port = 0;
  std::string to_string() const { return host + ":" + std::to_string(port); }
};
// "H:P", ":P" (every interface). `what` names the setting in errors.
Result<Address> parse_address(std::string_view text, std::string_view what);

struct Config {
  bool dev = false;
  bool help = false, version = false;
  std::string data;
  std::string cluster = "dev";
  BrokerId broker{0};
  std::string coordinator;  // H:P; H may be a DNS name with several addresses
  std::string advertise;    // host that clients and brokers reach this one by
  std::string zone;
  Address kafka, grpc, replication, metrics;
  std::string tls_ca, tls_cert, tls_key;
  std::string log_level = "info", log_format = "text";
};

// Settings by name without the dashes; values as text. Errors name the setting and the fix.
Result<Config> parse_command_line(const std::vector<std::string>& arguments);
std::string usage();

}  // namespace broker::app
