#include "operator/metadata/secrets.h"

#include <nlohmann/json.hpp>

#include "operator/kube/client/base64.h"

namespace sluice_operator::metadata {

using kube::Json;

std::string data_of(const Json& secret, const std::string& key) {
  if (!secret.is_object()) return {};
  auto data = secret.find("data");
  if (data == secret.end() || !data->is_object() || !data->contains(key)) return {};
  const auto& text = (*data)[key];
  return text.is_string() ? kube::base64_decode(text.get<std::string>()).value_or("") : "";
}

bool owned_by(const Json& object, const std::string& uid) {
  for (const auto& owner : object.at("metadata").value("ownerReferences", Json::array())) {
    if (owner.value("uid", std::string()) == uid) return true;
  }
  return false;
}

}  // namespace sluice_operator::metadata
