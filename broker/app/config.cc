#include "broker/app/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <functional>

namespace broker::app {
namespace {

struct Setting {
  const char* name;
  const char* value;  // what it takes, for the help; null for a switch
  const char* help;
};

constexpr Setting kSettings[] = {
    {"dev", nullptr, "one broker alone: no coordinator, replication 1, loopback only by default"},
    {"config", "FILE", "YAML file with any of these settings; the command line wins"},
    {"data", "DIR", "data directory, made when missing (required)"},
    {"cluster", "NAME", "name of the cluster (required unless --dev)"},
    {"broker-id", "N", "number of this broker, remembered in the data directory"},
    {"coordinator", "H:P", "where the coordinator listens (required unless --dev)"},
    {"advertise", "HOST", "name or address that clients and brokers reach this broker by"},
    {"zone", "ZONE", "failure domain; in Kubernetes the operator knows it"},
    {"kafka", "H:P", "Kafka listener, default port 9092; H:P;tls;sasl or ;mtls asks clients for that"},
    {"kafka-listeners", "LIST", "more of them: NAME=H:P[;tls][;sasl|;mtls][;advertise=H:P],NAME=..."},
    {"grpc", "H:P", "gRPC listener, default port 9090; ;tls and ;mtls as with --kafka"},
    {"kinesis", "H:P", "Kinesis listener (HTTP), default port 4567; H:P;tls for HTTPS"},
    {"kinesis-credentials", "FILE", "access keys that may sign (YAML), read again when it changes; without them and --users, --dev takes any"},
    {"kinesis-any-key", nullptr, "verify no signatures; only for a Kinesis listener on loopback"},
    {"kinesis-operation-rates", nullptr, "AWS's rates of Kinesis's operations on streams; default true, false with --dev"},
    {"replication", "H:P", "listener for other brokers, default port 9095"},
    {"metrics", "H:P", "HTTP listener for /metrics, /livez, /readyz, default port 9644"},
    {"tls-ca", "FILE", "CA for the coordinator and other brokers (PEM); with --tls-cert, --tls-key"},
    {"tls-cert", "FILE", "this broker's certificate (PEM)"},
    {"tls-key", "FILE", "its key (PEM)"},
    {"client-tls-cert", "FILE", "certificate shown to clients (PEM), default --tls-cert"},
    {"client-tls-key", "FILE", "its key (PEM), default --tls-key"},
    {"client-tls-ca", "FILE", "CA of clients' certificates (PEM), default --tls-ca"},
    {"users", "FILE", "with --dev: users, passwords, access keys and rights (YAML); a cluster's come from its coordinator"},
    {"auto-create-topics", nullptr, "Kafka clients that ask for a missing topic create it; default true"},
    {"num-partitions", "N", "partitions of a topic that does not say how many; default 1"},
    {"group-initial-rebalance-delay-ms", "N", "a new consumer group waits so long for more members; default 3000, 0 with --dev"},
    {"group-max-size", "N", "members that a consumer group may have; no limit by default"},
    {"catch-up-bytes-per-s", "N", "old records sent to replicas that are behind, all together; default 134217728, 0: no limit"},
    {"log-level", "LEVEL", "debug, info, warn or error; default info"},
    {"log-format", "FORMAT", "text or json; default text"},
    {"help", nullptr, "this text"},
    {"version", nullptr, "the version"},
};

const Setting* find_setting(std::string_view name) {
  for (const auto& setting : kSettings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

Status bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

using Values = std::map<std::string, std::string>;

Status read_config_file(const std::string& path, Values& values) {
  YAML::Node root;
  try {
    root = YAML::LoadFile(path);
  } catch (const YAML::Exception& error) {
    return bad("--config " + path + ": " + error.what());
  }
  if (root.IsNull()) return {};
  if (!root.IsMap()) return bad("--config " + path + ": expected a map of settings");
  for (const auto& entry : root) {
    auto name = entry.first.as<std::string>();
    if (!find_setting(name) || name == "config" || name == "help" || name == "version") {
      return bad("--config " + path + ": unknown setting '" + name + "'");
    }
    if (!entry.second.IsScalar()) {
      return bad("--config " + path + ": '" + name + "' must be a single value");
    }
    values.emplace(name, entry.second.as<std::string>());  // the command line was there first
  }
  return {};
}

Status read_arguments(const std::vector<std::string>& arguments, Values& values) {
  for (size_t i = 0; i < arguments.size(); i++) {
    std::string name = arguments[i];
    if (name.rfind("--", 0) != 0) return bad("unexpected argument '" + name + "'; see --help");
    name = name.substr(2);
    std::string value = "true";
    auto equals = name.find('=');
    bool inline_value = equals != std::string::npos;
    if (inline_value) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    const Setting* setting = find_setting(name);
    if (!setting) return bad("unknown option --" + name + "; see --help");
    if (setting->value && !inline_value) {
      if (++i == arguments.size()) return bad("--" + name + " needs a value: " + setting->value);
      value = arguments[i];
    }
    if (!setting->value && inline_value && value != "true" && value != "false") {
      return bad("--" + name + " is a switch: true or false");
    }
    values[name] = value;
  }
  return {};
}

Status take_switch(const Values& values, const char* name, bool& out) {
  auto it = values.find(name);
  if (it == values.end()) return Status();
  if (it->second != "true" && it->second != "false") {
    return bad(std::string(name) + " is true or false, not '" + it->second + "'");
  }
  out = it->second == "true";
  return Status();
}

Status take_address(const Values& values, const char* name, bool dev, uint16_t port, Address& out) {
  auto it = values.find(name);
  if (it == values.end()) {
    out = {dev ? "127.0.0.1" : "0.0.0.0", port};
    return {};
  }
  ASSIGN_OR_RETURN(out, parse_address(it->second, std::string("--") + name));
  return {};
}

Status check_certificate(const ClientListener& listener, const Config& config) {
  if (!listener.tls || (!config.client_tls_cert.empty() && !config.client_tls_key.empty())) return {};
  return bad("a listener with tls needs --client-tls-cert and --client-tls-key");
}

Status take_listeners(const Values& values, Config& config) {
  if (auto it = values.find("kafka"); it != values.end()) {
    ASSIGN_OR_RETURN(config.kafka, parse_listener(it->second, "--kafka"));
  } else {
    config.kafka.address = {config.dev ? "127.0.0.1" : "0.0.0.0", 9092};
  }
  if (auto it = values.find("grpc"); it != values.end()) {
    ASSIGN_OR_RETURN(config.grpc, parse_listener(it->second, "--grpc"));
    if (config.grpc.authentication == ClientAuthentication::kSasl || config.grpc.advertise) {
      return bad("--grpc takes ;tls or ;mtls");
    }
  } else {
    config.grpc.address = {config.dev ? "127.0.0.1" : "0.0.0.0", 9090};
  }
  auto it = values.find("kafka-listeners");
  std::string_view left = it == values.end() ? std::string_view() : it->second;
  while (!left.empty()) {
    std::string_view one = left.substr(0, left.find(','));
    left.remove_prefix(std::min(left.size(), one.size() + 1));
    size_t equals = one.find('=');
    std::string name(one.substr(0, std::min(equals, one.size())));
    if (equals == one.npos || name.empty()) {
      return bad("--kafka-listeners '" + std::string(one) + "': expected NAME=HOST:PORT");
    }
    ASSIGN_OR_RETURN(auto listener,
                     parse_listener(one.substr(equals + 1), "--kafka-listeners " + name));
    listener.name = name;
    for (const auto& other : config.kafka_listeners) {
      if (other.name == name) return bad("--kafka-listeners: '" + name + "' is there twice");
    }
    config.kafka_listeners.push_back(std::move(listener));
  }
  RETURN_IF_ERROR(check_certificate(config.kafka, config));
  RETURN_IF_ERROR(check_certificate(config.grpc, config));
  for (const auto& listener : config.kafka_listeners) {
    RETURN_IF_ERROR(check_certificate(listener, config));
  }
  return {};
}

template <class T>
Status take_count(const Values& values, const char* name, T low, T& out) {
  auto it = values.find(name);
  if (it == values.end()) return {};
  const char* last = it->second.data() + it->second.size();
  auto [end, error] = std::from_chars(it->second.data(), last, out);
  if (error == std::errc() && end == last && out >= low) return {};
  return bad(std::string("--") + name + " '" + it->second + "': expected a number from " +
             std::to_string(low) + " on");
}

Status take_tls(const Values& values, Config& config) {
  auto get = [&](const char* name) {
    auto it = values.find(name);
    return it == values.end() ? std::string() : it->second;
  };
  config.tls_ca = get("tls-ca");
  config.tls_cert = get("tls-cert");
  config.tls_key = get("tls-key");
  int given = !config.tls_ca.empty() + !config.tls_cert.empty() + !config.tls_key.empty();
  if (given != 0 && given != 3) {
    return bad("--tls-ca, --tls-cert and --tls-key go together: give all three or none");
  }
  config.client_tls_ca = get("client-tls-ca");
  config.client_tls_cert = get("client-tls-cert");
  config.client_tls_key = get("client-tls-key");
  if (config.client_tls_cert.empty() != config.client_tls_key.empty()) {
    return bad("--client-tls-cert and --client-tls-key go together");
  }
  if (config.client_tls_cert.empty()) {
    config.client_tls_cert = config.tls_cert;
    config.client_tls_key = config.tls_key;
  }
  if (config.client_tls_ca.empty()) config.client_tls_ca = config.tls_ca;
  return {};
}

Status take_kinesis(const Values& values, Config& config) {
  if (auto it = values.find("kinesis"); it != values.end()) {
    ASSIGN_OR_RETURN(config.kinesis, parse_listener(it->second, "--kinesis"));
    if (config.kinesis.authentication != ClientAuthentication::kNone || config.kinesis.advertise) {
      return bad("--kinesis takes ;tls: who asks is told by the signature");
    }
    RETURN_IF_ERROR(check_certificate(config.kinesis, config));
  } else {
    config.kinesis.address = {config.dev ? "127.0.0.1" : "0.0.0.0", 4567};
  }
  if (auto file = values.find("kinesis-credentials"); file != values.end()) {
    config.kinesis_credentials = file->second;
  }
  auto any = values.find("kinesis-any-key");
  const bool asked = any != values.end() && any->second == "true";
  if (asked && !config.kinesis_credentials.empty()) {
    return bad("--kinesis-any-key verifies nothing: leave out it or --kinesis-credentials");
  }
  if (asked && !config.kinesis.address.host.starts_with("127.") && config.kinesis.address.host != "::1") {
    return bad("--kinesis-any-key lets everyone in: only with --kinesis on loopback, as in "
               "127.0.0.1:4567");
  }
  // With users, who signs matters: theirs are the keys.
  config.kinesis_any_key =
      asked || (config.dev && config.kinesis_credentials.empty() && config.users.empty());
  return {};
}

}  // namespace

Result<ClientListener> parse_listener(std::string_view text, std::string_view what) {
  ClientListener out;
  std::string_view address = text.substr(0, text.find(';'));
  ASSIGN_OR_RETURN(out.address, parse_address(address, what));
  std::string_view left = text.substr(address.size());
  while (!left.empty()) {
    left.remove_prefix(1);
    std::string_view word = left.substr(0, left.find(';'));
    left.remove_prefix(word.size());
    if (word == "tls") {
      out.tls = true;
    } else if (word == "sasl") {
      out.authentication = ClientAuthentication::kSasl;
    } else if (word == "mtls") {
      out.tls = true;
      out.authentication = ClientAuthentication::kClientCertificate;
    } else if (word.starts_with("advertise=")) {
      ASSIGN_OR_RETURN(out.advertise, parse_address(word.substr(10), what));
    } else {
      return bad(std::string(what) + ": unknown word '" + std::string(word) +
                 "'; there are tls, sasl, mtls and advertise=H:P");
    }
  }
  return out;
}

Result<Address> parse_address(std::string_view text, std::string_view what) {
  auto colon = text.rfind(':');
  int port = -1;
  if (colon != std::string_view::npos) {
    const char* first = text.data() + colon + 1;
    const char* last = text.data() + text.size();
    auto [end, error] = std::from_chars(first, last, port);
    if (error != std::errc() || end != last) port = -1;
  }
  if (port < 0 || port > 65535) {
    return bad(std::string(what) + " '" + std::string(text) + "': expected HOST:PORT, as in " +
               "127.0.0.1:9092");
  }
  std::string host(text.substr(0, colon));
  return Address{host.empty() ? "0.0.0.0" : host, static_cast<uint16_t>(port)};
}

Result<Config> parse_command_line(const std::vector<std::string>& arguments) {
  Values values;
  RETURN_IF_ERROR(read_arguments(arguments, values));
  Config config;
  config.help = values.contains("help");
  config.version = values.contains("version");
  if (config.help || config.version) return config;
  if (auto file = values.find("config"); file != values.end()) {
    std::string path = file->second;
    RETURN_IF_ERROR(read_config_file(path, values));
  }
  auto take = [&](const char* name, std::string& out) {
    if (auto it = values.find(name); it != values.end()) out = it->second;
  };
  config.dev = values.contains("dev") && values["dev"] == "true";
  take("data", config.data);
  take("cluster", config.cluster);
  take("coordinator", config.coordinator);
  take("advertise", config.advertise);
  take("zone", config.zone);
  take("users", config.users);
  RETURN_IF_ERROR(take_switch(values, "auto-create-topics", config.auto_create_topics));
  config.kinesis_operation_rates = !config.dev;
  RETURN_IF_ERROR(take_switch(values, "kinesis-operation-rates", config.kinesis_operation_rates));
  RETURN_IF_ERROR(take_count(values, "num-partitions", 1, config.num_partitions));
  if (config.dev) config.group_initial_rebalance_delay_ms = 0;
  RETURN_IF_ERROR(take_count(values, "group-initial-rebalance-delay-ms", 0,
                             config.group_initial_rebalance_delay_ms));
  RETURN_IF_ERROR(take_count<int64_t>(values, "catch-up-bytes-per-s", 0,
                                      config.catch_up_bytes_per_s));
  RETURN_IF_ERROR(take_count(values, "group-max-size", 1, config.group_max_size));
  take("log-level", config.log_level);
  take("log-format", config.log_format);
  if (config.data.empty()) return bad("--data DIR is required: where the records are kept");
  if (auto id = values.find("broker-id"); id != values.end()) {
    const char* last = id->second.data() + id->second.size();
    auto [end, error] = std::from_chars(id->second.data(), last, config.broker.value);
    if (error != std::errc() || end != last || config.broker.value < 0) {
      return bad("--broker-id '" + id->second + "': expected a number from 0 on");
    }
  } else if (!config.dev) {
    return bad("--broker-id N is required: each broker of a cluster has its own number");
  }
  if (config.dev && !config.coordinator.empty()) {
    return bad("--dev runs without a coordinator: leave out one of --dev and --coordinator");
  }
  if (!config.dev && !config.users.empty()) {
    return bad("--users is for --dev: the users of a cluster come from its coordinator");
  }
  if (!config.dev && config.coordinator.empty()) {
    return bad("--coordinator H:P is required (or --dev for one broker alone)");
  }
  if (!config.dev && !values.contains("cluster")) return bad("--cluster NAME is required");
  RETURN_IF_ERROR(take_tls(values, config));
  RETURN_IF_ERROR(take_listeners(values, config));
  RETURN_IF_ERROR(take_kinesis(values, config));
  RETURN_IF_ERROR(take_address(values, "replication", config.dev, config.dev ? 0 : 9095,
                               config.replication));
  RETURN_IF_ERROR(take_address(values, "metrics", config.dev, 9644, config.metrics));
  if (config.advertise.empty()) {
    config.advertise = config.kafka.address.host == "0.0.0.0" ? "localhost" : config.kafka.address.host;
  }
  return config;
}

std::string usage() {
  std::string text =
      "sluice-broker stores and serves the shards of a Sluice cluster.\n\n"
      "  sluice-broker --dev --data DIR\n"
      "  sluice-broker --cluster NAME --broker-id N --data DIR --coordinator H:P --advertise HOST\n\n";
  for (const auto& setting : kSettings) {
    std::string left = std::string("  --") + setting.name;
    if (setting.value) left += std::string(" ") + setting.value;
    left.resize(std::max<size_t>(left.size() + 1, 24), ' ');
    text += left + setting.help + "\n";
  }
  return text;
}

}  // namespace broker::app
