// Every transition of a shard map: what it does, what it refuses, and that check_map() sees what
// would be wrong.
#include "broker/coordination/shard_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/coordination/file_store.h"

namespace broker::coordination {
namespace {

using sluice::v1::STREAM_MODE_ELASTIC;
using sluice::v1::STREAM_MODE_PARTITIONED;

Replica replica(int32_t broker, const std::string& directory = "") {
  Replica r;
  r.set_broker(broker);
  r.set_directory(directory.empty() ? "d" + std::to_string(broker) : directory);
  return r;
}

StreamConfig config(sluice::v1::StreamMode mode, int shards, int replication = 3) {
  StreamConfig c;
  c.set_mode(mode);
  c.set_partitions(shards);
  c.set_replication(replication);
  c.set_retention_ms(-1);
  c.set_retention_bytes(-1);
  c.set_record_bytes_max(1 << 20);
  if (mode == STREAM_MODE_ELASTIC) c.set_shards_min(1), c.set_shards_max(8);
  return c;
}

ShardMap make(sluice::v1::StreamMode mode, int shards) {
  std::vector<std::vector<Replica>> ensembles(shards, {replica(0), replica(1), replica(2)});
  auto map = make_map({"4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11", "s", "c", config(mode, shards), 7},
                      ensembles);
  CHECK(map.ok());
  return *map;
}

// A map on the way to its next write.
struct Writer {
  explicit Writer(ShardMap first) : map(std::move(first)) {}
  ShardMap map;
  template <class Change>
  Status write(Change change) {
    ShardMap next = map;
    next.set_generation(map.generation() + 1);
    RETURN_IF_ERROR(change(next));
    RETURN_IF_ERROR(check_map(next, &map));
    map = next;
    return {};
  }
};

TEST(ShardMap, BeginsWithOpenShardsInTermZero) {
  ShardMap map = make(STREAM_MODE_ELASTIC, 3);
  EXPECT_TRUE(check_map(map, nullptr).ok());
  EXPECT_EQ(map.shards_size(), 3);
  EXPECT_EQ(map.next_index(), 3);
  EXPECT_EQ(map.shards(0).term(), 0);
  EXPECT_FALSE(map.shards(0).has_leader());
  EXPECT_EQ(map.shards(1).opened_generation(), 1);
  EXPECT_EQ(find_shard(map, 0)->index(), 0);
  EXPECT_EQ(find_shard(map, kHashKeyMax)->index(), 2);
}

TEST(ShardMap, RefusesBadNamesAndConfigs) {
  for (const char* name : {"", ".", "..", "a b", "ä", "a/b"}) {
    EXPECT_EQ(check_stream_name(name).code(), Code::kInvalidArgument) << name;
  }
  EXPECT_FALSE(check_stream_name(std::string(250, 'a')).ok());
  EXPECT_TRUE(check_stream_name(std::string(249, 'a')).ok());
  auto broken = [](auto change) {
    StreamConfig c = config(STREAM_MODE_ELASTIC, 1);
    change(c);
    return check_config(c).code() == Code::kInvalidArgument;
  };
  EXPECT_TRUE(check_config(config(STREAM_MODE_ELASTIC, 1)).ok());
  EXPECT_TRUE(broken([](StreamConfig& c) { c.set_partitions(0); }));
  EXPECT_TRUE(broken([](StreamConfig& c) { c.set_replication(0); }));
  EXPECT_TRUE(broken([](StreamConfig& c) { c.set_min_insync(4); }));
  EXPECT_TRUE(broken([](StreamConfig& c) { c.set_shards_max(0); }));
  EXPECT_TRUE(broken([](StreamConfig& c) { c.set_retention_ms(-2); }));
  EXPECT_TRUE(broken([](StreamConfig& c) { c.set_mode(STREAM_MODE_PARTITIONED); }));
}

TEST(ShardMap, TermsAndLeadersOnlyGoForward) {
  Writer w(make(STREAM_MODE_PARTITIONED, 1));
  ASSERT_TRUE(w.write([](ShardMap& m) { return set_leader(m, 0, 0, 1); }).ok());
  EXPECT_EQ(w.write([](ShardMap& m) { return set_leader(m, 0, 0, 2); }).code(), Code::kFenced);
  ASSERT_TRUE(w.write([](ShardMap& m) { return raise_term(m, 0, 0, 5); }).ok());
  EXPECT_FALSE(w.map.shards(0).has_leader());
  EXPECT_EQ(w.write([](ShardMap& m) { return raise_term(m, 0, 4, 6); }).code(), Code::kFenced);
  EXPECT_EQ(w.write([](ShardMap& m) { return raise_term(m, 0, 5, 5); }).code(), Code::kFenced);
  EXPECT_EQ(w.write([](ShardMap& m) { return set_leader(m, 0, 5, 9); }).code(), Code::kInternal);
  EXPECT_EQ(w.write([](ShardMap& m) { return raise_term(m, 7, 0, 1); }).code(), Code::kNotFound);
  // Past the transitions, the checker sees it too.
  EXPECT_FALSE(w.write([](ShardMap& m) {
                  m.mutable_shards(0)->set_term(1);
                  return Status();
                }).ok());
}

TEST(ShardMap, MovesOneReplicaThroughBothEnsembles) {
  Writer w(make(STREAM_MODE_PARTITIONED, 1));
  ASSERT_TRUE(w.write([](ShardMap& m) { return set_leader(m, 0, 0, 0); }).ok());
  EXPECT_EQ(
      w.write([](ShardMap& m) { return begin_joint(m, 0, 0, replica(3), replica(2)); }).code(),
      Code::kConflict);  // no such learner yet
  ASSERT_TRUE(w.write([](ShardMap& m) { return add_learner(m, 0, replica(3)); }).ok());
  EXPECT_EQ(w.write([](ShardMap& m) { return add_learner(m, 0, replica(4)); }).code(),
            Code::kConflict);
  ASSERT_TRUE(
      w.write([](ShardMap& m) { return begin_joint(m, 0, 0, replica(3), replica(2)); }).ok());
  const Shard& s = w.map.shards(0);
  EXPECT_EQ(s.term(), 1);
  EXPECT_FALSE(s.has_leader());
  EXPECT_TRUE(s.learners().empty());
  EXPECT_EQ(voters_of(s).size(), 4u);
  // {0, 2} is a majority of the old ensemble only.
  EXPECT_FALSE(
      has_majority(s, [](const Replica& r) { return r.broker() == 0 || r.broker() == 2; }));
  EXPECT_TRUE(has_majority(s, [](const Replica& r) { return r.broker() < 2; }));
  EXPECT_FALSE(w.write([](ShardMap& m) { return finish_joint(m, 0, 1); }).ok());
  ASSERT_TRUE(w.write([](ShardMap& m) { return set_leader(m, 0, 1, 2); }).ok());
  EXPECT_FALSE(w.write([](ShardMap& m) { return finish_joint(m, 0, 1); }).ok());  // 2 leaves
  ASSERT_TRUE(w.write([](ShardMap& m) { return raise_term(m, 0, 1, 2); }).ok());
  ASSERT_TRUE(w.write([](ShardMap& m) { return set_leader(m, 0, 2, 3); }).ok());
  ASSERT_TRUE(w.write([](ShardMap& m) { return finish_joint(m, 0, 2); }).ok());
  EXPECT_TRUE(contains_replica(w.map.shards(0).replicas(), replica(3)));
  EXPECT_FALSE(contains_replica(w.map.shards(0).replicas(), replica(2)));
}

TEST(ShardMap, CheckerRefusesLeapsInMembership) {
  Writer w(make(STREAM_MODE_PARTITIONED, 1));
  auto leap = [&](auto change) {
    return w
        .write([&](ShardMap& m) {
          change(*m.mutable_shards(0));
          return Status();
        })
        .code();
  };
  EXPECT_EQ(leap([](Shard& s) { *s.mutable_replicas(2) = replica(3); }), Code::kInternal);
  EXPECT_EQ(leap([](Shard& s) {
              s.set_term(1);
              for (int b : {0, 3, 4}) *s.add_next_replicas() = replica(b);
            }),
            Code::kInternal);
  EXPECT_EQ(leap([](Shard& s) {
              for (int b : {0, 1, 3}) *s.add_next_replicas() = replica(b);
            }),
            Code::kInternal);  // no new term
  EXPECT_EQ(leap([](Shard& s) { *s.add_replicas() = replica(2, "other"); }), Code::kInternal);
}

TEST(ShardMap, SplitsInTwoWrites) {
  Writer w(make(STREAM_MODE_ELASTIC, 1));
  auto ranges = ranges_of_split(w.map, 0, {}, 3);
  ASSERT_TRUE(ranges.ok());
  ASSERT_TRUE(w.write([&](ShardMap& m) { return begin_split(m, 0, *ranges); }).ok());
  EXPECT_EQ(w.map.shards(0).state(), sluice::v1::SHARD_STATE_SEALING);
  EXPECT_EQ(w.write([&](ShardMap& m) { return begin_split(m, 0, *ranges); }).code(),
            Code::kConflict);
  ASSERT_TRUE(w.write([&](ShardMap& m) { return open_children(m, {{0, 100}}, 9); }).ok());
  const Shard& parent = w.map.shards(0);
  EXPECT_EQ(parent.state(), sluice::v1::SHARD_STATE_CLOSED);
  EXPECT_EQ(parent.end_offset(), 100);
  EXPECT_EQ(parent.children_size(), 3);
  for (int i = 1; i <= 3; ++i) {
    const Shard& child = w.map.shards(i);
    EXPECT_EQ(child.index(), i);
    EXPECT_EQ(child.opened_generation(), w.map.generation());
    EXPECT_GT(child.opened_generation(), parent.opened_generation());
    EXPECT_EQ(child.replicas_size(), 3);
    EXPECT_EQ(child.parents(0), 0);
  }
  EXPECT_EQ(find_shard(w.map, 0)->index(), 1);
}

TEST(ShardMap, MergesNeighboursWhenBothAreSealed) {
  Writer w(make(STREAM_MODE_ELASTIC, 4));
  EXPECT_EQ(w.write([](ShardMap& m) { return begin_merge(m, 0, 2); }).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(w.write([](ShardMap& m) { return begin_merge(m, 1, 1); }).code(),
            Code::kInvalidArgument);
  ASSERT_TRUE(w.write([](ShardMap& m) { return begin_merge(m, 2, 1); }).ok());
  auto cut = *ranges_of_split(w.map, 0, {"5"}, 0);
  ASSERT_TRUE(w.write([&](ShardMap& m) { return begin_split(m, 0, cut); }).ok());
  EXPECT_EQ(reshard_family(w.map, 2), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(reshard_family(w.map, 0), (std::vector<int32_t>{0}));
  EXPECT_FALSE(w.write([](ShardMap& m) { return open_children(m, {{1, 5}}, 1); }).ok());
  ASSERT_TRUE(w.write([](ShardMap& m) { return open_children(m, {{2, 8}, {1, 5}}, 1); }).ok());
  const Shard& child = w.map.shards(4);
  EXPECT_EQ(child.parents_size(), 2);
  EXPECT_EQ(find_shard_by_index(w.map, 1)->end_offset(), 5);
  EXPECT_EQ(find_shard_by_index(w.map, 2)->end_offset(), 8);
}

// A part of each old shard goes to another new one: three become four, each from two at most.
TEST(ShardMap, RetilesNeighboursInOneStep) {
  Writer w(make(STREAM_MODE_ELASTIC, 4));
  auto whole = *parse_range(w.map.shards(0).hash_range());
  whole.last = parse_range(w.map.shards(2).hash_range())->last;
  const auto four = *split_equally(whole, 4);
  std::vector<std::string> at;
  for (size_t i = 1; i < 4; ++i) at.push_back(format_hash_key(four[i].first));
  auto into = ranges_of_retile(w.map, {2, 0, 1}, at);
  ASSERT_TRUE(into.ok());
  EXPECT_EQ(*into, four);
  w.map.mutable_shards(1)->mutable_replicas()->SwapElements(0, 2);
  ASSERT_TRUE(w.write([&](ShardMap& m) { return begin_retile(m, {2, 0, 1}, *into); }).ok());
  EXPECT_EQ(reshard_family(w.map, 1), (std::vector<int32_t>{0, 1, 2}));
  EXPECT_TRUE(reshard_family(w.map, 3).empty());
  EXPECT_EQ(w.write([](ShardMap& m) { return begin_merge(m, 2, 3); }).code(), Code::kConflict);
  EXPECT_FALSE(w.write([](ShardMap& m) { return open_children(m, {{0, 5}, {1, 6}}, 1); }).ok());
  ASSERT_TRUE(
      w.write([](ShardMap& m) { return open_children(m, {{2, 7}, {0, 5}, {1, 6}}, 1); }).ok());
  auto list = [](const auto& numbers) { return std::vector<int32_t>(numbers.begin(), numbers.end()); };
  using Indexes = std::vector<int32_t>;
  EXPECT_EQ(list(w.map.shards(4).parents()), (Indexes{0}));
  EXPECT_EQ(list(w.map.shards(5).parents()), (Indexes{0, 1}));
  EXPECT_EQ(list(w.map.shards(6).parents()), (Indexes{1, 2}));
  EXPECT_EQ(list(w.map.shards(7).parents()), (Indexes{2}));
  EXPECT_EQ(list(w.map.shards(0).children()), (Indexes{4, 5}));
  EXPECT_EQ(list(w.map.shards(1).children()), (Indexes{5, 6}));
  EXPECT_EQ(list(w.map.shards(2).children()), (Indexes{6, 7}));
  EXPECT_EQ(w.map.shards(2).end_offset(), 7);
  // Each where most of its keys were: two thirds of the second are shard 1's.
  EXPECT_EQ(w.map.shards(5).replicas(0).broker(), w.map.shards(1).replicas(0).broker());
  EXPECT_NE(w.map.shards(4).replicas(0).broker(), w.map.shards(5).replicas(0).broker());
  EXPECT_TRUE(check_map(w.map, nullptr).ok());
}

TEST(ShardMap, RetilingHasClearLimits) {
  Writer w(make(STREAM_MODE_ELASTIC, 4));
  const auto old = [&](int i) { return *parse_range(w.map.shards(i).hash_range()); };
  auto refusal = [&](const std::vector<int32_t>& indexes, const std::vector<KeyRange>& into) {
    return w.write([&](ShardMap& m) { return begin_retile(m, indexes, into); }).message();
  };
  const KeyRange all{old(0).first, old(2).last};
  EXPECT_THAT(refusal({0, 1, 2}, {all}), testing::HasSubstr("keys of 3 shards"));
  EXPECT_THAT(refusal({0, 1}, {old(0), old(1)}), testing::HasSubstr("with the same keys"));
  EXPECT_THAT(refusal({0, 2}, {all}), testing::HasSubstr("not adjacent"));
  EXPECT_THAT(refusal({0, 0}, {old(0)}), testing::HasSubstr("named twice"));
  EXPECT_THAT(refusal({0, 1}, *split_equally(old(0), 3)), testing::HasSubstr("do not cover"));
  EXPECT_THAT(refusal({0, 9}, {all}), testing::HasSubstr("no shard 9"));
  EXPECT_THAT(refusal({}, {all}), testing::HasSubstr("no shard is named"));
  EXPECT_THAT(refusal({0, 1}, *split_equally({old(0).first, old(1).last}, 31)),
              testing::HasSubstr("shards_max"));
  EXPECT_EQ(ranges_of_retile(w.map, {}, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(ranges_of_retile(w.map, {0, 1}, {"x"}).code(), Code::kInvalidArgument);
  EXPECT_EQ(open_shard_count(w.map), 4);
}

TEST(ShardMap, ReshardingHasClearLimits) {
  Writer w(make(STREAM_MODE_ELASTIC, 1));
  EXPECT_EQ(ranges_of_split(w.map, 3, {}, 2).code(), Code::kNotFound);
  EXPECT_EQ(ranges_of_split(w.map, 0, {"x"}, 0).code(), Code::kInvalidArgument);
  EXPECT_EQ(ranges_of_split(w.map, 0, {"0"}, 0).code(), Code::kInvalidArgument);
  EXPECT_EQ(ranges_of_split(w.map, 0, {}, 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(
      w.write([](ShardMap& m) { return begin_split(m, 0, *split_equally(KeyRange{}, 9)); }).code(),
      Code::kPolicyViolation);
  EXPECT_EQ(w.write([](ShardMap& m) {
               return begin_split(m, 0, {{0, 4}, {6, kHashKeyMax}});
             }).code(),
            Code::kInvalidArgument);
  ShardMap topic = make(STREAM_MODE_PARTITIONED, 2);
  EXPECT_EQ(begin_merge(topic, 0, 1).code(), Code::kPolicyViolation);
  EXPECT_EQ(ranges_of_split(topic, 0, {}, 2).code(), Code::kPolicyViolation);
}

TEST(ShardMap, PartitionsGrowAndSettingsChange) {
  Writer w(make(STREAM_MODE_PARTITIONED, 2));
  StreamConfig more = w.map.config();
  more.set_partitions(3);
  ASSERT_TRUE(w.write([&](ShardMap& m) {
                 RETURN_IF_ERROR(update_config(m, more));
                 return add_partitions(m, {{replica(0), replica(1), replica(2)}}, 1);
               }).ok());
  EXPECT_EQ(w.map.shards_size(), 3);
  more.set_partitions(1);
  EXPECT_EQ(w.write([&](ShardMap& m) { return update_config(m, more); }).code(),
            Code::kInvalidArgument);
  StreamConfig from;
  from.set_retention_ms(5);
  from.set_mode(STREAM_MODE_ELASTIC);
  StreamConfig into = w.map.config();
  EXPECT_TRUE(merge_config(into, from, {"retention_ms"}).ok());
  EXPECT_EQ(into.retention_ms(), 5);
  EXPECT_FALSE(merge_config(into, from, {"nonsense"}).ok());
  EXPECT_FALSE(merge_config(into, from, {"mode"}).ok());
}

TEST(ShardMap, AttributesChangeTogetherOrNotAtAll) {
  ShardMap map = make(STREAM_MODE_ELASTIC, 1);
  ASSERT_TRUE(change_attributes(map, {{{"a", "1"}, {"b", ""}}, {}, {{"a", ""}}}).ok());
  EXPECT_EQ(map.attributes_size(), 2);
  EXPECT_EQ(change_attributes(map, {{{"a", "2"}}, {}, {{"a", ""}}}).code(), Code::kConflict);
  EXPECT_EQ(change_attributes(map, {{{"a", "2"}}, {"b"}, {{"a", "0"}}}).code(), Code::kConflict);
  EXPECT_EQ(map.attributes().at("a"), "1");
  EXPECT_TRUE(map.attributes().contains("b"));
  ASSERT_TRUE(change_attributes(map, {{{"a", "2"}}, {"b", "none"}, {{"a", "1"}}}).ok());
  EXPECT_EQ(map.attributes().at("a"), "2");
  EXPECT_FALSE(map.attributes().contains("b"));
  const std::string big(kAttributesBytesMax, 'x');
  EXPECT_EQ(change_attributes(map, {{{"c", big}}, {}, {}}).code(), Code::kTooLarge);
  EXPECT_EQ(change_attributes(map, {{{"", "x"}}, {}, {}}).code(), Code::kInvalidArgument);
  EXPECT_EQ(map.attributes_size(), 1);
}

TEST(ShardMap, JsonRoundTrip) {
  ShardMap map = make(STREAM_MODE_ELASTIC, 2);
  map.mutable_shards(0)->set_leader(0);
  (*map.mutable_attributes())["kinesis.tag/a b"] = "\"c\"";
  auto json = shard_map_to_json(map);
  ASSERT_TRUE(json.ok());
  EXPECT_NE(json->find("\"hashRange\""), std::string::npos);
  EXPECT_NE(json->find("\"leader\": 0"), std::string::npos);
  auto back = shard_map_from_json(*json);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->SerializeAsString(), map.SerializeAsString());
  EXPECT_FALSE(back->shards(1).has_leader());
  EXPECT_EQ(shard_map_from_json("{\"strem\": 1}").code(), Code::kCorruption);
}

}  // namespace
}  // namespace broker::coordination
