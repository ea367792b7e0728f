#pragma once
// The broker's settings: command line over configuration file over defaults. Pure but for reading
// the file; used by main.
#include <map>
#include <optional>
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

enum class ClientAuthentication { kNone, kSasl, kClientCertificate };

// Where clients connect, and what is asked of them.
struct ClientListener {
  std::string name;  // of Kafka's listeners beside the first
  Address address;
  bool tls = false;
  ClientAuthentication authentication = ClientAuthentication::kNone;
  std::optional<Address> advertise;  // Kafka only; else the broker's host and this listener's port
};
// "H:P[;tls][;sasl|;mtls][;advertise=H:P]"
Result<ClientListener> parse_listener(std::string_view text, std::string_view what);

struct Config {
  bool dev = false;
  bool help = false, version = false;
  std::string data;
  std::string cluster = "dev";
  BrokerId broker{0};
  std::string coordinator;  // H:P; H may be a DNS name with several addresses
  std::string advertise;    // host that clients and brokers reach this one by
  std::string zone;
  ClientListener kafka, grpc, kinesis;
  std::vector<ClientListener> kafka_listeners;  // beside the first, each with its name
  Address replication, metrics;
  std::string kinesis_credentials;  // file of access keys
  bool kinesis_any_key = false;     // nothing is verified: --dev without keys, or asked for on loopback
  std::string tls_ca, tls_cert, tls_key;
  std::string client_tls_ca, client_tls_cert, client_tls_key;  // default: the ones above
  std::string users;  // --dev: who may do what
  bool kinesis_operation_rates = true;
  bool auto_create_topics = true;
  int32_t num_partitions = 1;
  int32_t group_initial_rebalance_delay_ms = 3000;  // 0 with --dev
  int32_t group_max_size = INT32_MAX;
  int64_t catch_up_bytes_per_s = 128 << 20;  // 0: no limit
  std::string log_level = "info", log_format = "text";
};

// Settings by name without the dashes; values as text. Errors name the setting and the fix.
Result<Config> parse_command_line(const std::vector<std::string>& arguments);
std::string usage();

}  // namespace broker::app
