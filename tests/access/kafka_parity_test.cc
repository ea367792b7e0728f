// Every API of the Kafka protocol as mallory and as root: requests are made by filling every member
// that names a topic, a group, a transaction or a user, and answers are searched for error codes.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "broker/handlers/kafka/test_broker.h"
#include "tests/access/people.h"

namespace broker::handlers::kafka {
namespace {

enum class Expect {
  kDenied,    // *_AUTHORIZATION_FAILED, or the connection is closed where the answer has no room for it
  kFiltered,  // answered, and what may not be described is left out
  kOpen,      // anybody may
  kNobody,    // refused to everybody, whoever asks
};
struct Row {
  int16_t version;  // one that names topics by name
  Expect expect;
};

const std::map<ApiKey, Row>& rows() {
  static const std::map<ApiKey, Row> all{
      {ApiKey::kProduce, {9, Expect::kDenied}},
      {ApiKey::kFetch, {11, Expect::kDenied}},
      {ApiKey::kListOffsets, {7, Expect::kDenied}},
      {ApiKey::kMetadata, {9, Expect::kDenied}},
      {ApiKey::kOffsetCommit, {8, Expect::kDenied}},
      {ApiKey::kOffsetFetch, {8, Expect::kDenied}},
      {ApiKey::kFindCoordinator, {4, Expect::kDenied}},
      {ApiKey::kJoinGroup, {9, Expect::kDenied}},
      {ApiKey::kHeartbeat, {4, Expect::kDenied}},
      {ApiKey::kLeaveGroup, {5, Expect::kDenied}},
      {ApiKey::kSyncGroup, {5, Expect::kDenied}},
      {ApiKey::kDescribeGroups, {5, Expect::kDenied}},
      {ApiKey::kListGroups, {4, Expect::kFiltered}},
      {ApiKey::kSaslHandshake, {1, Expect::kOpen}},
      {ApiKey::kApiVersions, {3, Expect::kOpen}},
      {ApiKey::kCreateTopics, {5, Expect::kDenied}},
      {ApiKey::kDeleteTopics, {5, Expect::kDenied}},
      {ApiKey::kDeleteRecords, {2, Expect::kDenied}},
      {ApiKey::kInitProducerId, {4, Expect::kDenied}},
      {ApiKey::kOffsetForLeaderEpoch, {4, Expect::kDenied}},
      {ApiKey::kTxnOffsetCommit, {3, Expect::kNobody}},
      {ApiKey::kDescribeAcls, {3, Expect::kDenied}},
      {ApiKey::kCreateAcls, {3, Expect::kDenied}},
      {ApiKey::kDeleteAcls, {3, Expect::kDenied}},
      {ApiKey::kDescribeConfigs, {4, Expect::kDenied}},
      {ApiKey::kAlterConfigs, {2, Expect::kDenied}},
      {ApiKey::kAlterReplicaLogDirs, {2, Expect::kDenied}},
      {ApiKey::kDescribeLogDirs, {4, Expect::kDenied}},
      {ApiKey::kSaslAuthenticate, {2, Expect::kOpen}},
      {ApiKey::kCreatePartitions, {3, Expect::kDenied}},
      {ApiKey::kDeleteGroups, {2, Expect::kDenied}},
      {ApiKey::kElectLeaders, {2, Expect::kDenied}},
      {ApiKey::kIncrementalAlterConfigs, {1, Expect::kDenied}},
      {ApiKey::kAlterPartitionReassignments, {0, Expect::kDenied}},
      {ApiKey::kListPartitionReassignments, {0, Expect::kDenied}},
      {ApiKey::kOffsetDelete, {0, Expect::kDenied}},
      {ApiKey::kDescribeClientQuotas, {1, Expect::kDenied}},
      {ApiKey::kAlterClientQuotas, {1, Expect::kDenied}},
      {ApiKey::kDescribeUserScramCredentials, {0, Expect::kDenied}},
      {ApiKey::kAlterUserScramCredentials, {0, Expect::kDenied}},
      {ApiKey::kDescribeQuorum, {2, Expect::kDenied}},
      {ApiKey::kUpdateFeatures, {2, Expect::kDenied}},
      {ApiKey::kDescribeCluster, {1, Expect::kOpen}},
      {ApiKey::kDescribeProducers, {0, Expect::kDenied}},
      {ApiKey::kUnregisterBroker, {0, Expect::kDenied}},
      {ApiKey::kDescribeTransactions, {0, Expect::kDenied}},
      {ApiKey::kListTransactions, {0, Expect::kFiltered}},
      {ApiKey::kConsumerGroupHeartbeat, {1, Expect::kDenied}},
      {ApiKey::kConsumerGroupDescribe, {1, Expect::kDenied}},
      {ApiKey::kListConfigResources, {1, Expect::kDenied}},
      {ApiKey::kDescribeTopicPartitions, {0, Expect::kDenied}},
  };
  return all;
}

// Members by their names; a message that has none of them is left as it is.
template <class T>
void fill(T& value);
template <class T>
void fill(std::vector<T>& list);
template <class T>
void fill(std::optional<T>& value) {
  fill(value.emplace());
}
template <class T>
void fill(std::vector<T>& list) {
  fill(list.emplace_back());
}
template <class T>
void fill(T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    value = "secret";
  } else if constexpr (std::is_class_v<T>) {
#define SL_FILL(member) \
  if constexpr (requires { value.member; }) fill(value.member);
    SL_FILL(topics)
    SL_FILL(topic_names)
    SL_FILL(topic)
    SL_FILL(topic_name)
    SL_FILL(name)
    SL_FILL(topic_partitions)
    SL_FILL(partitions)
    SL_FILL(partition_indexes)
    SL_FILL(groups)
    SL_FILL(group_id)
    SL_FILL(group_ids)
    SL_FILL(groups_names)
    SL_FILL(coordinator_keys)
    SL_FILL(transactional_ids)
    SL_FILL(resources)
    SL_FILL(resource_name)
    SL_FILL(dirs)
    SL_FILL(path)
    SL_FILL(entries)
    SL_FILL(entity)
    SL_FILL(entity_type)
    SL_FILL(ops)
    SL_FILL(protocols)
    SL_FILL(protocol_type)
    SL_FILL(protocol_name)
    SL_FILL(feature_updates)
    SL_FILL(creations)
    SL_FILL(filters)
    SL_FILL(upsertions)
    SL_FILL(feature)
#undef SL_FILL
    if constexpr (requires { value.resource_type; }) value.resource_type = 2;  // a topic
    if constexpr (requires { value.acks; }) value.acks = -1;
    if constexpr (requires { value.num_partitions; }) value.num_partitions = 1;
  }
}

template <class T>
void collect(const T& value, std::set<int16_t>& codes);
template <class T>
void collect(const std::vector<T>& list, std::set<int16_t>& codes);
template <class T>
void collect(const std::optional<T>& value, std::set<int16_t>& codes) {
  if (value) collect(*value, codes);
}
template <class T>
void collect(const std::vector<T>& list, std::set<int16_t>& codes) {
  for (const T& item : list) collect(item, codes);
}
template <class T>
void collect(const T& value, std::set<int16_t>& codes) {
  if constexpr (requires { value.error_code; }) {
    if (value.error_code != 0) codes.insert(value.error_code);
  }
#define SL_COLLECT(member) \
  if constexpr (requires { value.member; }) collect(value.member, codes);
  SL_COLLECT(topics)
  SL_COLLECT(partitions)
  SL_COLLECT(responses)
  SL_COLLECT(results)
  SL_COLLECT(filter_results)
  SL_COLLECT(groups)
  SL_COLLECT(coordinators)
  SL_COLLECT(entries)
  SL_COLLECT(transaction_states)
  SL_COLLECT(replica_election_results)
  SL_COLLECT(partition_result)
#undef SL_COLLECT
}

struct Told {
  bool closed = false;
  std::set<int16_t> codes;
  bool denied() const {
    for (Error error : {Error::kTopicAuthorizationFailed, Error::kGroupAuthorizationFailed,
                        Error::kClusterAuthorizationFailed,
                        Error::kTransactionalIdAuthorizationFailed}) {
      if (codes.contains(wire::wire(error))) return true;
    }
    return closed;
  }
};

template <class Request, class Response>
Told ask(TestBroker& broker, int16_t version) {
  Request request;
  fill(request);
  auto pending = broker.send<Response>(version, request);
  EXPECT_TRUE(broker.world.run_until([&] { return pending->answered || pending->closed; },
                                     60'000'000));
  Told told;
  told.closed = pending->closed;
  if (pending->answered) collect(pending->response, told.codes);
  return told;
}

using Ask = Told (*)(TestBroker&, int16_t);
const std::map<ApiKey, Ask>& asks() {
#define SL_ASK(Name) {ApiKey::k##Name, ask<wire::Name##Request, wire::Name##Response>},
  static const std::map<ApiKey, Ask> all{SL_KAFKA_FOR_EACH_API(SL_ASK)};
#undef SL_ASK
  return all;
}

class KafkaParity : public testing::Test {
 protected:
  KafkaParity() : broker_({}, &authorizer_) {
    authorizer_.update(sluice_tests::denied_and_super());
    broker_.create_stream("secret", v1::STREAM_MODE_PARTITIONED, 1);
  }
  void become(const std::string& user) {
    broker_.client = std::make_shared<Client>();
    broker_.client->principal.user = user;
  }
  security::Authorizer authorizer_;
  TestBroker broker_;
};

TEST_F(KafkaParity, EveryApiIsDeniedToMallory) {
  ASSERT_EQ(asks().size(), handlers().size());
  for (const auto& [key, ask] : asks()) {
    const auto name = wire::find_api(static_cast<int16_t>(key))->name;
    auto row = rows().find(key);
    ASSERT_NE(row, rows().end()) << name << " has no row: say what right it asks for";
    become("mallory");
    Told told = ask(broker_, row->second.version);
    EXPECT_EQ(told.denied(), row->second.expect == Expect::kDenied)
        << name << " " << testing::PrintToString(told.codes) << (told.closed ? " closed" : "");
    if (row->second.expect == Expect::kNobody) {
      EXPECT_FALSE(told.codes.empty()) << name;
    }
  }
  EXPECT_NE(broker_.metadata.find("secret"), nullptr) << "mallory has deleted it";
}

TEST_F(KafkaParity, NoApiIsDeniedToRoot) {
  for (const auto& [key, ask] : asks()) {
    const auto name = wire::find_api(static_cast<int16_t>(key))->name;
    become("root");
    Told told = ask(broker_, rows().at(key).version);
    EXPECT_FALSE(told.denied()) << name << " " << testing::PrintToString(told.codes);
  }
}

TEST_F(KafkaParity, ListsLeaveOutWhatMayNotBeDescribed) {
  auto topics_of = [&](const std::string& user) {
    become(user);
    wire::MetadataRequest request;  // null: all of them
    return broker_.call<wire::MetadataResponse>(9, request).topics.size();
  };
  EXPECT_EQ(topics_of("mallory"), 0u);
  EXPECT_GE(topics_of("root"), 1u);
}

}  // namespace
}  // namespace broker::handlers::kafka
