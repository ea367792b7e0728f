#pragma once
// PURE: usage as status. Status is written at most once a minute while something is counted, and once
// an hour for the time that passes, however much happens. Called by the reconcilers.
#include <cstdint>
#include <optional>

#include "broker/proto/metering.pb.h"
#include "operator/api/stream_cluster.h"

namespace sluice_operator::reconcile {

// The moment that status is to show next: the full minute behind the last count, or the full hour.
// Nothing while status shows it already, at the same prices.
std::optional<int64_t> moment_to_show(int64_t counted_ms, int64_t now_ms,
                                      const std::optional<api::MeteringStatus>& shown,
                                      const sluice::v1::Prices* prices);
// How long until there may be something newer to show, if nothing more is counted.
int64_t ms_to_next_moment(int64_t counted_ms, int64_t now_ms);
// The bill's total.
api::MeteringStatus metering_status(const sluice::v1::Bill& bill);

}  // namespace sluice_operator::reconcile
