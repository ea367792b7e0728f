#pragma once
// Kubernetes quantities ("500m", "1Gi") as numbers. Pure.
#include <optional>
#include <string>

namespace sluice_operator::api {

// Nothing when the text is no quantity.
std::optional<double> quantity(const std::string& text);
// Less than, equal to or greater than 0 as `a` is smaller than, as large as or larger than `b`; 0
// when either is no quantity.
int compare_quantities(const std::string& a, const std::string& b);

}  // namespace sluice_operator::api
