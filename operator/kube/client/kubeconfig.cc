// The one file that meets yaml-cpp's exceptions for kubeconfig files.
#include <yaml-cpp/yaml.h>

#include "operator/kube/client/base64.h"
#include "operator/kube/client/config.h"

namespace sluice_operator::kube {

using broker::Code;
using broker::Result;
using broker::Status;

namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;

Status invalid(const std::string& what) { return Status(Code::kInvalidArgument, "kubeconfig: " + what); }

std::string text_of(const YAML::Node& node) {
  return node && node.IsScalar() ? node.as<std::string>() : std::string();
}

std::string absolute(const std::string& file, const std::string& dir) {
  return file.empty() || file[0] == '/' ? file : dir + "/" + file;
}

// The entry called `name` of a list of {name, KIND: {...}}.
Result<YAML::Node> named(const YAML::Node& list, const std::string& name, const char* kind) {
  if (list && list.IsSequence()) {
    for (const auto& entry : list) {
      if (entry.IsMap() && text_of(entry["name"]) == name) return YAML::Node(entry[kind]);
    }
  }
  return invalid(std::string("there is no ") + kind + " called '" + name + "'");
}

// FIELD-data (base64) or else the content of the file FIELD.
Result<std::string> pem(broker::env::FileSystem& fs, const YAML::Node& node, const std::string& field,
                        const std::string& dir) {
  if (std::string data = text_of(node[field + "-data"]); !data.empty()) {
    auto decoded = base64_decode(data);
    if (!decoded) return invalid(field + "-data is not base64");
    return *decoded;
  }
  std::string file = text_of(node[field]);
  if (file.empty()) return std::string();
  return broker::env::read_file(fs, absolute(file, dir), kFileBytesMax);
}

Status read_cluster(broker::env::FileSystem& fs, const YAML::Node& cluster, const std::string& dir,
                    ClientConfig& config) {
  if (!cluster.IsMap()) return invalid("the cluster is empty");
  config.server = text_of(cluster["server"]);
  if (!config.server.starts_with("https://") && !config.server.starts_with("http://")) {
    return invalid("the cluster's server must begin with https://, not '" + config.server + "'");
  }
  while (config.server.ends_with('/')) config.server.pop_back();
  for (const char* field : {"tls-server-name", "proxy-url"}) {
    if (cluster[field]) return invalid(std::string(field) + " is not supported");
  }
  config.verify_server = text_of(cluster["insecure-skip-tls-verify"]) != "true";
  ASSIGN_OR_RETURN(config.ca_pem, pem(fs, cluster, "certificate-authority", dir));
  return {};
}

Status read_user(broker::env::FileSystem& fs, const YAML::Node& user, const std::string& dir,
                 ClientConfig& config) {
  if (!user.IsMap()) return {};  // anonymous
  if (user["exec"] || user["auth-provider"]) {
    std::string command = user["exec"] ? text_of(user["exec"]["command"]) : "auth-provider";
    return invalid("the user needs the credential plugin '" + command +
                   "', which sluice-operator does not run; use a token or a client certificate");
  }
  if (user["username"] || user["as"]) {
    return invalid("basic authentication and impersonation are not supported");
  }
  ASSIGN_OR_RETURN(config.client_cert_pem, pem(fs, user, "client-certificate", dir));
  ASSIGN_OR_RETURN(config.client_key_pem, pem(fs, user, "client-key", dir));
  if (config.client_cert_pem.empty() != config.client_key_pem.empty()) {
    return invalid("client-certificate and client-key must be given together");
  }
  config.token = text_of(user["token"]);
  config.token_file = absolute(text_of(user["tokenFile"]), dir);
  return {};
}

Result<ClientConfig> read(broker::env::FileSystem& fs, const YAML::Node& root, std::string context,
                          const std::string& dir) {
  if (!root.IsMap()) return invalid("not a kubeconfig file");
  if (context.empty()) context = text_of(root["current-context"]);
  if (context.empty()) return invalid("there is no current-context; give --context");
  ASSIGN_OR_RETURN(YAML::Node chosen, named(root["contexts"], context, "context"));
  if (!chosen.IsMap()) return invalid("the context '" + context + "' is empty");
  ClientConfig config;
  ASSIGN_OR_RETURN(YAML::Node cluster, named(root["clusters"], text_of(chosen["cluster"]), "cluster"));
  RETURN_IF_ERROR(read_cluster(fs, cluster, dir, config));
  if (std::string name = text_of(chosen["user"]); !name.empty()) {
    ASSIGN_OR_RETURN(YAML::Node user, named(root["users"], name, "user"));
    RETURN_IF_ERROR(read_user(fs, user, dir, config));
  }
  config.ns = text_of(chosen["namespace"]);
  if (config.ns.empty()) config.ns = "default";
  return config;
}

}  // namespace

Result<ClientConfig> parse_kubeconfig(broker::env::FileSystem& fs, const std::string& text,
                                      const std::string& context, const std::string& dir) {
  try {
    return read(fs, YAML::Load(text), context, dir);
  } catch (const YAML::Exception& error) {
    return invalid(error.what());
  }
}

}  // namespace sluice_operator::kube
