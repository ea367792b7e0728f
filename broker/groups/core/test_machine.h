#pragma once
// A group machine with streams, a clock and a log of its own, for tests: every step's records are
// kept, every answer goes out at once, and after each step the log can be replayed into a second
// machine that must hold the same.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/groups/core/consumer_protocol.h"
#include "broker/groups/core/machine.h"

namespace broker::groups {

class TestTopics : public Topics {
 public:
  Topic& add(const std::string& name, int32_t shards, bool elastic = false) {
    Topic topic;
    ++next_;
    topic.id = Uuid::from_random(next_ * 7919, next_);
    topic.name = name;
    topic.elastic = elastic;
    for (int32_t i = 0; i < shards; ++i) topic.shards.push_back({i, {}, 0});
    return topics_[name] = topic;
  }
  void remove(const std::string& name) { topics_.erase(name); }
  Topic& at(const std::string& name) { return topics_.at(name); }
  std::optional<Topic> find(std::string_view name) const override {
    auto it = topics_.find(std::string(name));
    if (it == topics_.end()) return std::nullopt;
    return it->second;
  }
  std::optional<std::string> name_of(const Uuid& id) const override {
    for (const auto& [name, topic] : topics_) {
      if (topic.id == id) return name;
    }
    return std::nullopt;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, topic] : topics_) out.push_back(name);
    return out;
  }

 private:
  std::map<std::string, Topic> topics_;
  uint64_t next_ = 1;
};

// The answer to a request that may come later.
template <class T>
class Answer {
 public:
  Reply<T> reply() {
    return [state = state_](T result) {
      EXPECT_FALSE(state->has_value()) << "answered twice";
      *state = std::move(result);
    };
  }
  bool came() const { return state_->has_value(); }
  const T& operator*() const { return state_->value(); }
  const T* operator->() const { return &state_->value(); }

 private:
  std::shared_ptr<std::optional<T>> state_ = std::make_shared<std::optional<T>>();
};

inline std::string subscription(const std::vector<std::string>& topics,
                                const NamedAssignment& owned = {}) {
  std::string bytes;
  ByteWriter out(bytes);
  auto text = [&](const std::string& v) {
    out.i16(static_cast<int16_t>(v.size()));
    out.bytes(v);
  };
  out.i16(1);
  out.i32(static_cast<int32_t>(topics.size()));
  for (const auto& topic : topics) text(topic);
  out.i32(-1);
  out.i32(static_cast<int32_t>(owned.size()));
  for (const auto& [topic, partitions] : owned) {
    text(topic);
    out.i32(static_cast<int32_t>(partitions.size()));
    for (int32_t p : partitions) out.i32(p);
  }
  return bytes;
}

class TestMachine {
 public:
  explicit TestMachine(Settings s = {}) : settings(s) { reset(); }

  template <class T, class Call>
  Answer<T> ask(Call call) {
    Answer<T> answer;
    step([&](Effects& fx) { call(answer.reply(), fx); });
    return answer;
  }
  template <class Call>
  void step(Call call) {
    Effects fx;
    call(fx);
    log.insert(log.end(), fx.puts.begin(), fx.puts.end());
    for (auto& answer : fx.answers) answer.send();
  }
  void pass(int64_t ms) {
    // Timer by timer, as the driver does.
    int64_t end = now.mono_ms + ms;
    while (true) {
      auto next = machine->next_deadline();
      int64_t to = next && *next < end ? std::max(*next, now.mono_ms) : end;
      now.wall_ms += to - now.mono_ms;
      now.mono_ms = to;
      step([&](Effects& fx) { machine->tick(now, fx); });
      if (to == end) return;
    }
  }
  // A new leader's machine over the same log.
  void fail_over() {
    reset();
    for (const Put& put : log) {
      ASSERT_TRUE(machine->replay(put.key, put.value).ok());
    }
    machine->loaded(now);
  }

  // --- Classic ---
  JoinRequest join_request(const std::string& member = "", const std::string& group = "g") {
    JoinRequest r;
    r.group = group;
    r.member = member;
    r.client_id = "client";
    r.client_host = "/host";
    r.session_timeout_ms = 10'000;
    r.rebalance_timeout_ms = 60'000;
    r.protocol_type = "consumer";
    r.protocols = {{"range", subscription({"t"})}};
    return r;
  }
  Answer<JoinResult> join(JoinRequest r) {
    return ask<JoinResult>([&](auto reply, Effects& fx) { machine->join(r, now, reply, fx); });
  }
  Answer<SyncResult> sync(SyncRequest r) {
    return ask<SyncResult>([&](auto reply, Effects& fx) { machine->sync(r, now, reply, fx); });
  }
  Answer<SyncResult> sync(const std::string& member, int32_t generation,
                          std::map<std::string, std::string> assignments = {}) {
    SyncRequest r;
    r.group = "g";
    r.member = member;
    r.generation = generation;
    r.assignments = std::move(assignments);
    return sync(r);
  }
  GroupError heartbeat(const std::string& member, int32_t generation,
                       std::optional<std::string> instance = {}) {
    return ask<HeartbeatResult>([&](auto reply, Effects& fx) {
             machine->heartbeat({"g", member, instance, generation}, now, reply, fx);
           })->error;
  }
  LeaveResult leave(std::vector<LeavingMember> members) {
    return *ask<LeaveResult>(
        [&](auto reply, Effects& fx) { machine->leave({"g", members}, now, reply, fx); });
  }
  // A stable group of `count` members with initial delay; their ids, the leader's first.
  std::vector<std::string> stable(int count, std::vector<std::string> instances = {}) {
    std::vector<Answer<JoinResult>> joins;
    for (int i = 0; i < count; ++i) {
      JoinRequest r = join_request();
      if (i < static_cast<int>(instances.size())) r.instance = instances[static_cast<size_t>(i)];
      joins.push_back(join(r));
    }
    pass(2 * settings.initial_rebalance_delay_ms + 1);
    std::vector<std::string> ids{joins.at(0)->leader};
    std::map<std::string, std::string> assignments;
    for (auto& joined : joins) {
      EXPECT_EQ(joined->error, GroupError::kNone);
      if (joined->member != ids.front()) ids.push_back(joined->member);
      assignments[joined->member] = encode_assignment(1, {});
    }
    int32_t generation = joins.at(0)->generation;
    for (const auto& id : ids) {
      auto synced = sync(id, generation, id == ids.front() ? assignments
                                                           : std::map<std::string, std::string>());
      EXPECT_EQ(synced->error, GroupError::kNone);
    }
    EXPECT_EQ(state(), "Stable");
    return ids;
  }
  std::string state(const std::string& group = "g") const {
    for (const auto& summary : machine->list()) {
      if (summary.group == group) return summary.state;
    }
    return "";
  }

  // --- KIP-848 ---
  ConsumerHeartbeatRequest first(const std::string& member, std::vector<std::string> names) {
    ConsumerHeartbeatRequest r;
    r.group = "g";
    r.member = member;
    r.client_id = "client";
    r.rebalance_timeout_ms = 60'000;
    r.names = std::move(names);
    r.owned = Assignment{};
    return r;
  }
  ConsumerHeartbeatResult beat(const ConsumerHeartbeatRequest& r) {
    return *ask<ConsumerHeartbeatResult>(
        [&](auto reply, Effects& fx) { machine->consumer_heartbeat(r, now, reply, fx); });
  }
  ConsumerHeartbeatResult beat(const std::string& member, int32_t epoch,
                               std::optional<Assignment> owned = {}) {
    ConsumerHeartbeatRequest r;
    r.group = "g";
    r.member = member;
    r.client_id = "client";
    r.epoch = epoch;
    r.owned = std::move(owned);
    return beat(r);
  }

  // --- Offsets ---
  CommitRequest commit_request(const std::string& topic, int32_t partition, int64_t offset) {
    CommitRequest r;
    r.group = "g";
    r.version = 9;
    CommitItem item;
    item.topic = topic;
    if (auto found = topics.find(topic)) item.topic_id = found->id;
    item.partition = partition;
    item.offset = offset;
    r.items.push_back(item);
    return r;
  }
  GroupError commit(const CommitRequest& r) {
    auto result =
        ask<CommitResult>([&](auto reply, Effects& fx) { machine->commit(r, now, reply, fx); });
    if (result->error != GroupError::kNone) return result->error;
    return result->items.at(0);
  }
  int64_t committed(const std::string& topic, int32_t partition) {
    FetchOffsetsRequest r;
    r.group = "g";
    r.topics = {{topic, {partition}}};
    auto result = ask<FetchOffsetsResult>(
        [&](auto reply, Effects& fx) { machine->fetch(r, reply, fx); });
    auto& fetched = result->offsets.at(0);
    return fetched.committed ? fetched.committed->offset : -1;
  }

  Settings settings;
  TestTopics topics;
  Now now{1'000'000, 1'700'000'000'000};
  std::vector<Put> log;
  std::unique_ptr<Machine> machine;

 private:
  void reset() {
    machine = std::make_unique<Machine>(settings, topics, [this] {
      ++ids_;
      return Uuid::from_random(ids_ * 2654435761u, ids_);
    });
  }
  uint64_t ids_ = 0;
};

}  // namespace broker::groups
