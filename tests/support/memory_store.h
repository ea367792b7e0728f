#pragma once
// MetadataStore in memory for tests: answers come when the test lets them, and any write can be
// made to conflict with somebody else's, to time out with or without effect, or to fail. It
// outlives the coordinators that are crashed over it. Single-threaded.
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "broker/coordination/metadata_store.h"
#include "broker/quotas/entity.h"
#include "broker/security/acls/acls.h"

namespace broker::coordination {

enum class WriteFault { kNone, kConflict, kTimeoutDone, kTimeoutLost, kUnavailable };

class MemoryStore : public MetadataStore {
 public:
  // ---- the test's side ----
  // Runs the answers that are due.
  void deliver() {
    auto due = std::move(answers_);
    answers_.clear();
    for (auto& answer : due) answer();
  }
  // Answers to a process that is gone.
  void drop_answers() { answers_.clear(); }
  bool idle() const { return answers_.empty(); }
  // Asked before each write with its number (1, 2, ...).
  std::function<WriteFault(int)> fault;
  // Called after each write has had its effect (or not), before the answer.
  std::function<void(int)> after_write;
  int writes() const { return writes_; }
  int writes_of(const std::string& stream) const {
    auto it = writes_by_stream_.find(stream);
    return it == writes_by_stream_.end() ? 0 : it->second;
  }
  std::map<std::string, StoredMap> maps;  // by stream id
  bool down = false;
  bool declares = false;
  std::vector<StreamDeclaration> declarations;
  std::vector<StreamDeclaration> updates;  // as clients had them changed
  std::function<bool()> fail_update;
  sluice::v1::ClientQuotas client_quotas;
  std::map<std::string, std::vector<sluice::v1::Acl>>
      acls;  // by user: those whom somebody declares
  std::vector<sluice::v1::AlterScram> altered_scram;
  std::optional<StoredLedger> ledger;
  int ledger_writes = 0;
  std::function<WriteFault(int)> ledger_fault;

  // ---- MetadataStore ----
  void set_listener(Listener*) override {}
  void load(Done<StoreContents> done) override {
    answers_.push_back([this, done] {
      if (down) return done(Status(Code::kUnavailable, "down"));
      StoreContents contents;
      contents.cluster_id = "4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11";
      for (const auto& [id, stored] : maps) contents.maps.push_back(stored);
      if (declares) contents.declarations = declarations;
      contents.client_quotas = client_quotas;
      contents.ledger = ledger;
      done(contents);
    });
  }
  void read_map(const std::string& id, const std::string& name,
                Done<std::optional<StoredMap>> done) override {
    answers_.push_back([this, id, name, done] {
      if (down) return done(Status(Code::kUnavailable, "down"));
      auto it = maps.find(id);
      if (it == maps.end()) it = find_by_name(name);
      done(it == maps.end() ? std::optional<StoredMap>() : std::optional(it->second));
    });
  }
  void write_map(const sluice::v1::ShardMap& map, const std::string& expected,
                 Done<std::string> done) override {
    const int number = ++writes_;
    ++writes_by_stream_[map.stream()];
    WriteFault what = down ? WriteFault::kUnavailable : fault ? fault(number) : WriteFault::kNone;
    Result<std::string> answer = perform(map, expected, what);
    if (after_write) after_write(number);
    answers_.push_back([done, answer] { done(answer); });
  }
  void remove_map(const std::string& id, const std::string&, const std::string& expected,
                  StatusDone done) override {
    Status status;
    const int number = ++writes_;
    auto it = maps.find(id);
    if (down) {
      status = Status(Code::kUnavailable, "down");
    } else if (it != maps.end() && it->second.version != expected) {
      status = Status(Code::kConflict, "changed");
    } else if (it != maps.end()) {
      maps.erase(it);
    }
    if (after_write) after_write(number);
    answers_.push_back([done, status] { done(status); });
  }
  void create_stream(const StreamDeclaration&, StatusDone done) override { ok(done); }
  void update_stream(const StreamDeclaration& declaration, StatusDone done) override {
    if (down || (fail_update && fail_update())) {
      answers_.push_back([done] { done(Status(Code::kUnavailable, "down")); });
      return;
    }
    updates.push_back(declaration);
    ok(done);
  }
  void delete_stream(const std::string&, StatusDone done) override { ok(done); }
  void alter_client_quotas(const sluice::v1::AlterClientQuotas& change,
                           Done<sluice::v1::ClientQuotas> done) override {
    if (!down) quotas::apply(change, client_quotas);
    answers_.push_back([this, done, down = down] {
      if (down) return done(Status(Code::kUnavailable, "down"));
      done(client_quotas);
    });
  }
  void create_acls(const sluice::v1::CreateAcls& change, StatusDone done) override {
    Status status;
    auto user = acls.find(change.user());
    if (down) {
      status = Status(Code::kUnavailable, "down");
    } else if (user == acls.end()) {
      status = Status(Code::kNotFound, "no such user");
    } else {
      user->second.insert(user->second.end(), change.acls().begin(), change.acls().end());
    }
    answers_.push_back([done, status] { done(status); });
  }
  void delete_acls(const sluice::v1::DeleteAcls& change,
                   Done<std::vector<sluice::v1::DeletedAcls>> done) override {
    std::vector<sluice::v1::DeletedAcls> out;
    for (const auto& filter : change.filters()) {
      auto& found = out.emplace_back();
      for (auto& [name, list] : acls) {
        std::erase_if(list, [&, &user = name](const auto& acl) {
          if (!security::acls::matches(filter, user, acl)) return false;
          auto& deleted = *found.add_acls();
          deleted.set_user(user);
          *deleted.mutable_acl() = acl;
          deleted.set_code("OK");
          return true;
        });
      }
    }
    answers_.push_back([done, out] { done(out); });
  }
  void alter_scram(const sluice::v1::AlterScram& change, StatusDone done) override {
    Status status;
    if (down) status = Status(Code::kUnavailable, "down");
    if (status.ok() && !acls.contains(change.user())) {
      status = Status(Code::kNotFound, "no such user");
    }
    if (status.ok()) altered_scram.push_back(change);
    answers_.push_back([done, status] { done(status); });
  }
  void allocate_producer_ids(int32_t count, Done<int64_t> done) override {
    int64_t first = next_producer_id_;
    next_producer_id_ += count;
    answers_.push_back([done, first] { done(first); });
  }

  void write_ledger(const sluice::v1::MeterLedger& next, const std::string& expected,
                    Done<std::string> done) override {
    const int number = ++ledger_writes;
    WriteFault what = down           ? WriteFault::kUnavailable
                      : ledger_fault ? ledger_fault(number)
                                     : WriteFault::kNone;
    Result<std::string> answer = perform(next, expected, what);
    answers_.push_back([done, answer] { done(answer); });
  }
  void read_ledger(Done<std::optional<StoredLedger>> done) override {
    answers_.push_back([this, done] {
      if (down) return done(Status(Code::kUnavailable, "down"));
      done(ledger);
    });
  }

 private:
  // Names are unique, as those of Kubernetes objects.
  std::map<std::string, StoredMap>::iterator find_by_name(const std::string& name) {
    return std::find_if(maps.begin(), maps.end(),
                        [&](const auto& entry) { return entry.second.map.stream() == name; });
  }
  void ok(StatusDone done) {
    answers_.push_back([done] { done(Status()); });
  }

  Result<std::string> perform(const sluice::v1::ShardMap& map, const std::string& expected,
                              WriteFault what) {
    if (what == WriteFault::kUnavailable) return Status(Code::kUnavailable, "down");
    if (what == WriteFault::kTimeoutLost) return Status(Code::kTimeout, "lost");
    auto it = maps.find(map.stream_id());
    if (it == maps.end() && find_by_name(map.stream()) != maps.end()) {
      return Status(Code::kConflict, "another stream has the name");
    }
    if (what == WriteFault::kConflict && it != maps.end()) {
      // Somebody else's write, which changes nothing that matters.
      it->second.map.set_generation(it->second.map.generation() + 1);
      it->second.version = "v" + std::to_string(++versions_);
    }
    if ((it == maps.end() ? "" : it->second.version) != expected) {
      return Status(Code::kConflict, "changed");
    }
    maps[map.stream_id()] = {map, "v" + std::to_string(++versions_)};
    if (what == WriteFault::kTimeoutDone) return Status(Code::kTimeout, "no answer");
    return maps[map.stream_id()].version;
  }

  Result<std::string> perform(const sluice::v1::MeterLedger& next, const std::string& expected,
                              WriteFault what) {
    if (what == WriteFault::kUnavailable) return Status(Code::kUnavailable, "down");
    if (what == WriteFault::kTimeoutLost) return Status(Code::kTimeout, "lost");
    if (what == WriteFault::kConflict && ledger) ledger->version = "l" + std::to_string(++versions_);
    if ((ledger ? ledger->version : "") != expected) return Status(Code::kConflict, "changed");
    ledger = {next, "l" + std::to_string(++versions_)};
    if (what == WriteFault::kTimeoutDone) return Status(Code::kTimeout, "no answer");
    return ledger->version;
  }

  std::deque<std::function<void()>> answers_;
  std::map<std::string, int> writes_by_stream_;
  int writes_ = 0;
  int versions_ = 0;
  int64_t next_producer_id_ = 0;
};

}  // namespace broker::coordination
