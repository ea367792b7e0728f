#pragma once
// What the Kinesis door keeps in a stream's attributes, by name. Used by this door's operations;
// "limits" is read by broker/partition, "kinesis.mode" by whoever scales streams.
#include <string>
#include <string_view>

#include "broker/cluster/metadata.h"

namespace broker::handlers::kinesis::attributes {

inline constexpr std::string_view kPrefix = "kinesis.";
inline constexpr const char* kMode = "kinesis.mode";  // PROVISIONED or ON_DEMAND
// Unix times (ms) of what AWS counts over 24 hours, separated by spaces.
inline constexpr const char* kModeChanges = "kinesis.mode-changes";
inline constexpr const char* kCountChanges = "kinesis.count-changes";
inline constexpr const char* kEncryptionChanges = "kinesis.encryption-changes";
inline constexpr const char* kEncryptionStops = "kinesis.encryption-stops";
inline constexpr const char* kTargetShards = "kinesis.target-shards";  // UpdateShardCount goes on
inline constexpr const char* kRecordKib = "kinesis.record-kib";
inline constexpr const char* kWarmMibps = "kinesis.warm-mibps";
inline constexpr const char* kEncryptionKey = "kinesis.encryption-key";  // absent: not encrypted
inline constexpr const char* kMonitoring = "kinesis.monitoring";  // metrics, separated by spaces
inline constexpr const char* kPolicy = "kinesis.policy";
inline constexpr const char* kTag = "kinesis.tag/";                   // + key
inline constexpr const char* kConsumer = "kinesis.consumer/";         // + name: created, Unix ms
inline constexpr const char* kConsumerTag = "kinesis.consumer-tag/";  // + consumer + "/" + key
inline constexpr const char* kConsumerPolicy = "kinesis.consumer-policy/";  // + consumer

// Empty when there is none.
std::string_view get(const cluster::Stream& stream, const std::string& name);
int64_t get_number(const cluster::Stream& stream, const std::string& name, int64_t otherwise);
// Those whose name begins with `prefix`, without it, by name.
std::map<std::string, std::string> with_prefix(const cluster::Stream& stream,
                                               std::string_view prefix);

// How many times of such a list are within the last day; the list with `now_ms` at its end and
// without what is older.
int count_of_day(std::string_view times, int64_t now_ms);
std::string add_to_day(std::string_view times, int64_t now_ms);

}  // namespace broker::handlers::kinesis::attributes
