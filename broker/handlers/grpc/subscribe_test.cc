// Subscribing: no more than the credit goes out, children come after their parents, seals are never
// seen, and what cannot be read is said.
#include "broker/handlers/grpc/subscribe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/handlers/grpc/fake_shards_for_test.h"

namespace broker::handlers::grpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Subscribing {
  FlowWorld& world;
  std::vector<std::string> events;
  std::optional<Status> finished;
  bool taking = true;  // the transport takes what is sent
  std::shared_ptr<SubscribeFlow> flow = world.handlers.subscribe(
      {[this](v1::SubscribeResponse event, size_t bytes) {
         note(event);
         if (taking) world.executor.post([this, bytes] { flow->on_sent(bytes); });
       },
       [this](const Status& status) { finished = status; }});

  void note(const v1::SubscribeResponse& event) {
    for (const auto& record : event.records().records()) {
      events.push_back(std::to_string(event.records().shard()) + ":" + record.value());
    }
    if (event.has_shard_end()) events.push_back("end " + std::to_string(event.shard_end().shard()));
    if (event.event_case() == v1::SubscribeResponse::kCaughtUp) {
      events.push_back("caught up " + std::to_string(event.caught_up()));
    }
  }
  void start(v1::SubscribeRequest request) {
    request.set_stream("s");
    flow->on_request(request);
    world.executor.settle();
  }
  void credit(int64_t bytes) {
    v1::SubscribeRequest request;
    request.set_credit_bytes(bytes);
    flow->on_request(request);
    world.executor.settle();
  }
};

TEST(Subscribe, ReadsThenFollowsTheEnd) {
  FlowWorld world(v1::STREAM_MODE_PARTITIONED);
  world.shards.put(0, "k", "1");
  Subscribing subscribing{world};
  subscribing.start({});
  EXPECT_THAT(subscribing.events, ElementsAre("0:1", "caught up 0"));
  world.shards.put(0, "k", "2");
  world.executor.settle();
  EXPECT_THAT(subscribing.events, ElementsAre("0:1", "caught up 0", "0:2"));
}

TEST(Subscribe, SendsOnlyOnCredit) {
  FlowWorld world(v1::STREAM_MODE_PARTITIONED);
  for (int i = 0; i < 4; ++i) world.shards.put(0, "k", std::to_string(i));
  Subscribing subscribing{world};
  v1::SubscribeRequest request;
  request.set_credit_bytes(1);
  subscribing.start(request);
  EXPECT_THAT(subscribing.events, ElementsAre("0:0"));  // what was begun with credit left
  subscribing.credit(1000);
  EXPECT_THAT(subscribing.events, ElementsAre("0:0", "0:1", "0:2", "0:3", "caught up 0"));
}

TEST(Subscribe, ASlowLineHoldsItBackDespiteCredit) {
  FlowWorld world(v1::STREAM_MODE_PARTITIONED);
  for (int i = 0; i < 40; ++i) world.shards.put(0, "k", std::string(300'000, 'x'));
  Subscribing subscribing{world};
  subscribing.taking = false;
  v1::SubscribeRequest request;
  request.set_credit_bytes(1'000'000'000);
  subscribing.start(request);
  EXPECT_GT(subscribing.events.size(), 10u);
  EXPECT_LT(subscribing.events.size(), 20u);
}

TEST(Subscribe, ChildrenComeAfterTheirParents) {
  FlowWorld world(v1::STREAM_MODE_ELASTIC);
  world.shards.put(0, "k", "a");
  world.split(0);
  world.shards.put(1, "k", "b");
  world.shards.put(2, "k", "c");
  Subscribing subscribing{world};
  v1::SubscribeRequest request;
  request.set_follow_children(true);
  subscribing.start(request);
  ASSERT_GE(subscribing.events.size(), 3u);
  EXPECT_EQ(subscribing.events[0], "0:a");
  EXPECT_EQ(subscribing.events[1], "caught up 0");
  EXPECT_EQ(subscribing.events[2], "end 0");
  EXPECT_THAT(subscribing.events, testing::Contains("1:b"));
  EXPECT_THAT(subscribing.events, testing::Contains("2:c"));
}

TEST(Subscribe, AMergedShardWaitsForBothParents) {
  FlowWorld world(v1::STREAM_MODE_ELASTIC);
  world.split(0);
  world.shards.put(1, "k", "left");
  world.shards.put(2, "k", "right");
  Subscribing subscribing{world};
  v1::SubscribeRequest request;
  request.set_follow_children(true);
  request.set_credit_bytes(1);  // one event at a time
  subscribing.start(request);
  for (int32_t parent : {1, 2}) {
    world.shards.seal(parent);
    world.map.mutable_shards(parent)->set_end_offset(world.shards.logs[parent].end.value);
  }
  world.add_shard({}, {1, 2});
  world.push();
  world.shards.put(3, "k", "child");
  world.executor.settle();
  EXPECT_THAT(subscribing.events, testing::Not(testing::Contains("3:child")));
  subscribing.credit(100'000);
  EXPECT_EQ(subscribing.events.back(), "caught up 3");
  EXPECT_EQ(subscribing.events[subscribing.events.size() - 2], "3:child");
  EXPECT_THAT(subscribing.events, testing::Contains("end 1"));
  EXPECT_THAT(subscribing.events, testing::Contains("end 2"));
}

TEST(Subscribe, WithoutFollowingItEndsWithItsShards) {
  FlowWorld world(v1::STREAM_MODE_ELASTIC);
  world.shards.put(0, "k", "a");
  Subscribing subscribing{world};
  subscribing.start({});
  world.shards.seal(0);
  world.executor.settle();
  EXPECT_FALSE(subscribing.finished);  // sealed, but its children are not known yet
  world.map.mutable_shards(0)->set_end_offset(2);
  world.add_shard({}, {0});
  world.push();
  world.executor.advance(100);
  EXPECT_EQ(subscribing.events.back(), "end 0");
  ASSERT_TRUE(subscribing.finished);
  EXPECT_TRUE(subscribing.finished->ok());
}

TEST(Subscribe, SaysWhichOffsetsThereAre) {
  FlowWorld world(v1::STREAM_MODE_PARTITIONED);
  world.shards.put(0, "k", "a");
  Subscribing subscribing{world};
  v1::SubscribeRequest request;
  request.add_positions()->set_offset(7);
  subscribing.start(request);
  ASSERT_TRUE(subscribing.finished);
  EXPECT_EQ(subscribing.finished->code(), Code::kOutOfRange);
  EXPECT_THAT(subscribing.finished->message(), HasSubstr("shard 0 of stream 's': it has 0..1"));
}

TEST(Subscribe, GoesOnFromASequenceNumber) {
  FlowWorld world(v1::STREAM_MODE_ELASTIC);
  for (int i = 0; i < 4; ++i) world.shards.put(0, "k", std::to_string(i));
  std::vector<std::string> numbers;
  Subscribing first{world};
  first.flow = world.handlers.subscribe(
      {[&](v1::SubscribeResponse event, size_t) {
         for (const auto& record : event.records().records()) {
           numbers.push_back(record.sequence_number());
         }
       },
       [](const Status&) {}});
  v1::SubscribeRequest request;
  request.set_sequence_numbers(true);
  first.start(request);
  ASSERT_EQ(numbers.size(), 4u);
  Subscribing second{world};
  request.set_sequence_numbers(false);
  request.add_positions()->set_sequence_number(numbers[2]);
  second.start(request);
  EXPECT_THAT(second.events, ElementsAre("0:2", "0:3", "caught up 0"));
  Subscribing third{world};
  request.mutable_positions(0)->set_sequence_number("12");
  third.start(request);
  ASSERT_TRUE(third.finished);
  EXPECT_EQ(third.finished->code(), Code::kInvalidArgument);
}

TEST(Subscribe, RefusesNonsense) {
  FlowWorld world(v1::STREAM_MODE_PARTITIONED);
  auto code_for = [&](auto change) {
    Subscribing subscribing{world};
    v1::SubscribeRequest request;
    change(request);
    subscribing.start(request);
    return subscribing.finished ? subscribing.finished->code() : Code::kOk;
  };
  EXPECT_EQ(code_for([](auto& r) { r.set_credit_bytes(-1); }), Code::kInvalidArgument);
  EXPECT_EQ(code_for([](auto& r) { r.add_positions()->set_shard(5); }), Code::kNotFound);
  EXPECT_EQ(code_for([](auto& r) { r.add_positions(), r.add_positions(); }),
            Code::kInvalidArgument);
}

TEST(Subscribe, ACancelledCallSaysNothingMore) {
  FlowWorld world(v1::STREAM_MODE_PARTITIONED);
  Subscribing subscribing{world};
  subscribing.start({});
  subscribing.flow->cancel();
  subscribing.events.clear();
  world.shards.put(0, "k", "late");
  world.executor.advance(10'000);
  EXPECT_THAT(subscribing.events, IsEmpty());
  EXPECT_FALSE(subscribing.finished);
}

}  // namespace
}  // namespace broker::handlers::grpc
