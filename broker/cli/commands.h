#pragma once
// The commands, by file. main.cc puts them together.
#include "broker/cli/arguments.h"

namespace broker::cli {

std::vector<Command> produce_commands();
std::vector<Command> consume_commands();
std::vector<Command> stream_commands();   // stream …, shard …
std::vector<Command> cluster_commands();
std::vector<Command> bill_commands();  // cluster bill, stream bill
std::vector<Command> group_commands();     // group …, through the Kafka door
std::vector<Command> bench_commands();
std::vector<Command> day_two_commands();  // status, drain, undrain, restart, rebalance …
std::vector<Command> move_commands();
std::vector<Command> diff_commands();    // cluster diff
std::vector<Command> report_commands();
std::vector<Command> autoscale_commands();  // autoscale …, why

}  // namespace broker::cli
