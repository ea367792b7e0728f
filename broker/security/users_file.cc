#include "broker/security/users_file.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <yaml-cpp/yaml.h>

#include <set>

#include "broker/security/authorizer.h"
#include "broker/security/scram.h"

namespace broker::security {
namespace {

Status bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

Status check_keys(const YAML::Node& node, const std::set<std::string>& known,
                  const std::string& what) {
  if (!node.IsMap()) return bad(what + ": expected a map");
  for (const auto& entry : node) {
    auto key = entry.first.as<std::string>("");
    if (!known.count(key)) return bad(what + ": unknown field '" + key + "'");
  }
  return {};
}

Status read_acl(const YAML::Node& node, const std::string& what, sluice::v1::User& user) {
  RETURN_IF_ERROR(
      check_keys(node, {"resource", "name", "prefix", "operations", "deny", "host"}, what));
  sluice::v1::Acl acl;
  acl.set_resource(node["resource"].as<std::string>(""));
  auto resource = parse_resource(acl.resource());
  if (!resource.ok()) return bad(what + ".resource: " + resource.status().message());
  acl.set_name(node["name"].as<std::string>(*resource == Resource::kCluster ? kClusterName : ""));
  if (acl.name().empty()) return bad(what + ".name: a name, its beginning, or \"*\"");
  acl.set_prefix(node["prefix"].as<bool>(false));
  acl.set_deny(node["deny"].as<bool>(false));
  acl.set_host(node["host"].as<std::string>(""));
  if (!node["operations"].IsSequence()) return bad(what + ".operations: a list is required");
  for (const auto& operation : node["operations"]) {
    acl.set_operation(operation.as<std::string>(""));
    auto parsed = parse_operation(acl.operation());
    if (!parsed.ok()) return bad(what + ".operations: " + parsed.status().message());
    *user.add_acls() = acl;
  }
  return {};
}

Status read_access_key(const YAML::Node& node, const std::string& what, sluice::v1::User& user) {
  RETURN_IF_ERROR(check_keys(node, {"accessKeyId", "secretAccessKey"}, what));
  auto* key = user.add_access_keys();
  key->set_id(node["accessKeyId"].as<std::string>(""));
  key->set_secret(node["secretAccessKey"].as<std::string>(""));
  if (key->id().empty()) return bad(what + ".accessKeyId is required");
  if (key->secret().empty()) return bad(what + ".secretAccessKey is required");
  return {};
}

Status read_user(const YAML::Node& node, const std::string& what, sluice::v1::User& user) {
  RETURN_IF_ERROR(check_keys(node, {"name", "password", "accessKeys", "acls"}, what));
  user.set_name(node["name"].as<std::string>(""));
  if (user.name().empty()) return bad(what + ".name is required");
  if (node["password"]) {
    auto password = node["password"].as<std::string>("");
    if (password.empty()) return bad(what + ".password is empty");
    for (const char* mechanism : {kScramSha256, kScramSha512}) {
      *user.add_scram() = make_credential(mechanism, password, random_bytes(20));
    }
  }
  size_t at = 0;
  for (const auto& key : node["accessKeys"]) {
    RETURN_IF_ERROR(read_access_key(key, what + ".accessKeys[" + std::to_string(at++) + "]", user));
  }
  at = 0;
  for (const auto& acl : node["acls"]) {
    RETURN_IF_ERROR(read_acl(acl, what + ".acls[" + std::to_string(at++) + "]", user));
  }
  return {};
}

Result<sluice::v1::Security> read(const YAML::Node& root) {
  sluice::v1::Security out;
  RETURN_IF_ERROR(check_keys(root, {"authorize", "superUsers", "users"}, "users file"));
  out.set_authorize(root["authorize"].as<bool>(true));
  for (const auto& name : root["superUsers"]) out.add_super_users(name.as<std::string>());
  std::set<std::string> seen, keys;
  size_t at = 0;
  for (const auto& node : root["users"]) {
    auto* user = out.add_users();
    RETURN_IF_ERROR(read_user(node, "users[" + std::to_string(at++) + "]", *user));
    if (!seen.insert(user->name()).second) return bad("user '" + user->name() + "' is there twice");
    for (const auto& key : user->access_keys()) {
      if (!keys.insert(key.id()).second) return bad("accessKeyId '" + key.id() + "' is there twice");
    }
  }
  return out;
}

}  // namespace

Result<sluice::v1::Security> parse_users(const std::string& yaml) {
  try {
    return read(YAML::Load(yaml));
  } catch (const YAML::Exception& error) {
    return bad(std::string("users file: ") + error.what());
  }
}

std::string public_salt(const std::string& of) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(of.data()), of.size(),
         reinterpret_cast<unsigned char*>(out.data()));
  return out.substr(0, 20);
}

std::string random_bytes(size_t bytes) {
  std::string out(bytes, '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(bytes)) == 1);
  return out;
}

}  // namespace broker::security
