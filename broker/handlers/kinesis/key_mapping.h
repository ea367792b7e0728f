#pragma once
// Partition keys of Kinesis and record keys of Kafka, both ways and without loss. A key that is
// legal text in Kinesis is the same bytes in both; every other record key (none, empty, not UTF-8)
// has a form of its own in Kinesis, and so has a record key that looks like such a form. README.md
// tells the rules. Pure; any thread.
#include <optional>
#include <string>
#include <string_view>

namespace broker::handlers::kinesis {

// What GetRecords shows of a record's key. Keys above 256 characters stay as long as they are.
std::string to_partition_key(std::optional<std::string_view> record_key);
// The record key of a partition key: nothing stands for a null key.
std::optional<std::string> to_record_key(std::string_view partition_key);

}  // namespace broker::handlers::kinesis
