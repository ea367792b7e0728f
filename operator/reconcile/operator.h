#pragma once
// `sluice-operator run`: the operator in Kubernetes. Waits for the Lease; the active replica watches
// the resources, reconciles them and coordinates their clusters. A replica that loses the Lease
// ends, and Kubernetes starts it afresh. Called by main.
#include <string>
#include <vector>

namespace sluice_operator::reconcile {

// The process's exit status.
int run_operator(const std::vector<std::string>& arguments);

}  // namespace sluice_operator::reconcile
