#include "tests/sim/metadata_store.h"

#include "broker/quotas/entity.h"

namespace broker::sim {

int64_t SimMetadataStore::delay_us() {
  SimRandom& random = executor_.world().random();
  const auto& faults = stored_.faults;
  bool slow = faults.slow_one_in && random.one_in(faults.slow_one_in);
  return random.between(200, slow ? 1'500'000 : 3'000);
}

SimMetadataStore::Fault SimMetadataStore::draw(bool write) {
  SimRandom& random = executor_.world().random();
  const auto& faults = stored_.faults;
  if (faults.down) return random.one_in(2) ? Fault::kRefused : Fault::kLost;
  if (!faults.one_in || !random.one_in(faults.one_in)) return Fault::kNone;
  return write ? static_cast<Fault>(1 + random.below(5)) : static_cast<Fault>(1 + random.below(2));
}

const char* SimMetadataStore::name_of(Fault fault) {
  static const char* names[] = {"",
                                "refused",
                                "no answer, no effect",
                                "no answer, but carried out",
                                "no answer, carried out late",
                                "conflict"};
  return names[static_cast<int>(fault)];
}

template <class T>
void SimMetadataStore::call(bool write, std::function<Result<T>()> effect, Done<T> done) {
  SimWorld& world = executor_.world();
  const Fault fault = draw(write);
  trace_.mix(static_cast<uint64_t>(fault) + (write ? 100 : 0));
  const auto& faults = stored_.faults;
  if (write) stored_.asked_writes++;
  const bool chosen = write && stored_.asked_writes == faults.crash_at_write;
  const bool dies =
      chosen || (write && faults.crash_one_in && world.random().one_in(faults.crash_one_in));
  const bool dies_first = chosen ? faults.crash_before : dies && world.random().one_in(2);
  auto answer = [this, done](Result<T> result) {
    executor_.schedule_us(delay_us(), [done, result] { done(result); });
  };
  if (dies) {
    trace_.count(dies_first ? "coordinator died before a write" : "coordinator died after a write");
    if (!dies_first) world.schedule(delay_us(), [effect] { (void)effect(); });
    world.schedule(delay_us(), stored_.crash_coordinator);
    return;
  }
  if (fault != Fault::kNone) trace_.count(std::string("API: ") + name_of(fault));
  const Status timeout(Code::kTimeout, "the API server did not answer");
  switch (fault) {
    case Fault::kRefused: return answer(Status(Code::kUnavailable, "the API server is down"));
    case Fault::kLost: return answer(timeout);
    case Fault::kTimeoutDone:
      world.schedule(delay_us(), [effect] { (void)effect(); });
      return answer(timeout);
    case Fault::kTimeoutLater:  // carried out long after the caller gave up
      world.schedule(delay_us() + world.random().between(0, 2'000'000),
                     [effect] { (void)effect(); });
      return answer(timeout);
    case Fault::kConflict: foreign_write(); break;
    case Fault::kNone: break;
  }
  // The request is with the server: it is carried out even if the caller dies meanwhile.
  auto alive = std::weak_ptr<int>(alive_);
  world.schedule(delay_us(), [effect, answer, alive] {
    Result<T> result = effect();
    if (alive.lock()) answer(std::move(result));
  });
}

// Somebody else's write, which changes nothing that matters.
void SimMetadataStore::foreign_write() {
  for (auto& [id, stored] : stored_.maps) {
    if (!executor_.world().random().one_in(2)) continue;
    stored.map.set_generation(stored.map.generation() + 1);
    stored.version = "v" + std::to_string(++stored_.versions);
  }
}

void SimMetadataStore::load(Done<coordination::StoreContents> done) {
  call<coordination::StoreContents>(
      false,
      [&stored = stored_]() -> Result<coordination::StoreContents> {
        coordination::StoreContents contents;
        contents.cluster_id = "4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11";
        for (const auto& [id, map] : stored.maps) contents.maps.push_back(map);
        contents.client_quotas = stored.client_quotas;
        contents.ledger = stored.ledger;
        return contents;
      },
      std::move(done));
}

void SimMetadataStore::read_map(const std::string& id, const std::string& name,
                                Done<std::optional<coordination::StoredMap>> done) {
  call<std::optional<coordination::StoredMap>>(
      false,
      [&stored = stored_, id, name]() -> Result<std::optional<coordination::StoredMap>> {
        auto it = stored.maps.find(id);
        if (it == stored.maps.end()) it = stored.find_by_name(name);
        if (it == stored.maps.end()) return std::optional<coordination::StoredMap>();
        return std::optional(it->second);
      },
      std::move(done));
}

void SimMetadataStore::write_map(const sluice::v1::ShardMap& map, const std::string& expected,
                                 Done<std::string> done) {
  call<std::string>(
      true,
      [&stored = stored_, &trace = trace_, map, expected]() -> Result<std::string> {
        auto it = stored.maps.find(map.stream_id());
        if ((it == stored.maps.end() ? "" : it->second.version) != expected) {
          return Status(Code::kConflict, "somebody else wrote it");
        }
        if (it == stored.maps.end() && stored.find_by_name(map.stream()) != stored.maps.end()) {
          return Status(Code::kConflict, "another stream has the name");
        }
        stored.writes++;
        std::string version = "v" + std::to_string(++stored.versions);
        trace.mix(stored.versions << 8 | static_cast<uint64_t>(map.generation()));
        stored.maps[map.stream_id()] = {map, version};
        return version;
      },
      std::move(done));
}

void SimMetadataStore::remove_map(const std::string& id, const std::string&,
                                  const std::string& expected, StatusDone done) {
  call<bool>(
      true,
      [&stored = stored_, id, expected]() -> Result<bool> {
        auto it = stored.maps.find(id);
        if (it == stored.maps.end()) return true;
        if (it->second.version != expected) return Status(Code::kConflict, "changed");
        stored.maps.erase(it);
        return true;
      },
      [done](Result<bool> result) { done(result.status()); });
}

void SimMetadataStore::create_stream(const coordination::StreamDeclaration&, StatusDone done) {
  executor_.post([done] { done({}); });
}
void SimMetadataStore::update_stream(const coordination::StreamDeclaration&, StatusDone done) {
  executor_.post([done] { done({}); });
}
void SimMetadataStore::delete_stream(const std::string&, StatusDone done) {
  executor_.post([done] { done({}); });
}

void SimMetadataStore::alter_client_quotas(const sluice::v1::AlterClientQuotas& change,
                                           Done<sluice::v1::ClientQuotas> done) {
  call<sluice::v1::ClientQuotas>(
      true,
      [&stored = stored_, change]() -> Result<sluice::v1::ClientQuotas> {
        quotas::apply(change, stored.client_quotas);
        return stored.client_quotas;
      },
      std::move(done));
}

// There are no users in the simulation.
void SimMetadataStore::create_acls(const sluice::v1::CreateAcls&, StatusDone done) {
  executor_.post([done] { done(Status(Code::kPolicyViolation, "no users")); });
}
void SimMetadataStore::delete_acls(const sluice::v1::DeleteAcls&,
                                   Done<std::vector<sluice::v1::DeletedAcls>> done) {
  executor_.post([done] { done(Status(Code::kPolicyViolation, "no users")); });
}
void SimMetadataStore::alter_scram(const sluice::v1::AlterScram&, StatusDone done) {
  executor_.post([done] { done(Status(Code::kPolicyViolation, "no users")); });
}

void SimMetadataStore::allocate_producer_ids(int32_t count, Done<int64_t> done) {
  call<int64_t>(
      true,
      [&stored = stored_, count]() -> Result<int64_t> {
        int64_t first = stored.next_producer_id;
        stored.next_producer_id += count;
        return first;
      },
      std::move(done));
}

void SimMetadataStore::write_ledger(const sluice::v1::MeterLedger& ledger,
                                    const std::string& expected_version, Done<std::string> done) {
  call<std::string>(
      true,
      [&stored = stored_, ledger, expected_version]() -> Result<std::string> {
        if ((stored.ledger ? stored.ledger->version : "") != expected_version) {
          return Status(Code::kConflict, "changed");
        }
        stored.ledger = {ledger, "l" + std::to_string(++stored.versions)};
        return stored.ledger->version;
      },
      std::move(done));
}

void SimMetadataStore::read_ledger(Done<std::optional<coordination::StoredLedger>> done) {
  call<std::optional<coordination::StoredLedger>>(
      false,
      [&stored = stored_]() -> Result<std::optional<coordination::StoredLedger>> {
        return stored.ledger;
      },
      std::move(done));
}

}  // namespace broker::sim
