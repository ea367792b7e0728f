#pragma once
// Base64 as in Secrets and kubeconfig files. Pure.
#include <optional>
#include <string>
#include <string_view>

namespace sluice_operator::kube {

std::string base64_encode(std::string_view bytes);
// Nothing when the text is not base64; line breaks and spaces are skipped.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace sluice_operator::kube
