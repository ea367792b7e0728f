#include "broker/coordination/file_store.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "broker/base/uuid.h"
#include "broker/coordination/shard_map.h"
#include "broker/quotas/entity.h"

namespace broker::coordination {
namespace {

constexpr uint64_t kFileBytesMax = 64 << 20;
constexpr int64_t kProducerIdBlock = 10'000;
constexpr int kFormat = 1;

}  // namespace

Result<std::string> shard_map_to_json(const sluice::v1::ShardMap& map) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.add_whitespace = true;
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(map, &json, options);
  if (!status.ok()) return Status(Code::kInternal, status.ToString());
  return json;
}

Result<sluice::v1::ShardMap> shard_map_from_json(const std::string& json) {
  sluice::v1::ShardMap map;
  auto status = google::protobuf::util::JsonStringToMessage(json, &map);
  if (!status.ok()) return Status(Code::kCorruption, status.ToString());
  return map;
}

Result<std::string> client_quotas_to_json(const sluice::v1::ClientQuotas& quotas) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(quotas, &json, options);
  if (!status.ok()) return Status(Code::kInternal, status.ToString());
  return json;
}

Result<std::string> ledger_to_json(const sluice::v1::MeterLedger& ledger) {
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(ledger, &json);
  if (!status.ok()) return Status(Code::kInternal, status.ToString());
  return json;
}

Result<sluice::v1::ClientQuotas> client_quotas_from_json(const std::string& json) {
  sluice::v1::ClientQuotas quotas;
  auto status = google::protobuf::util::JsonStringToMessage(json, &quotas);
  if (!status.ok()) return Status(Code::kCorruption, status.ToString());
  return quotas;
}

Result<sluice::v1::MeterLedger> ledger_from_json(const std::string& json) {
  sluice::v1::MeterLedger ledger;
  auto status = google::protobuf::util::JsonStringToMessage(json, &ledger);
  if (!status.ok()) return Status(Code::kCorruption, status.ToString());
  return ledger;
}

FileStore::FileStore(env::FileSystem& fs, env::IoQueue& io, env::Random& random, std::string dir)
    : fs_(fs), io_(io), random_(random), dir_(std::move(dir)) {}

FileStore::~FileStore() {
  *alive_ = false;
}

std::string FileStore::path_of(const std::string& stream_id) const {
  return dir_ + "/streams/" + stream_id + ".json";
}

void FileStore::answer(StatusDone done) {
  io_.submit([] { return Status(); }, std::move(done));
}

void FileStore::load(Done<StoreContents> done) {
  auto contents = std::make_shared<StoreContents>();
  auto cluster = std::make_shared<Cluster>();
  io_.submit([this, contents, cluster] { return load_all(*contents, *cluster); },
             [this, contents, cluster, done = std::move(done), alive = alive_](Status status) {
               if (!*alive) return;
               if (!status.ok()) return done(status);
               cluster_ = *cluster;
               next_producer_id_ = durable_reserved_ = cluster_.producer_ids_reserved;
               done(std::move(*contents));
             });
}

Status FileStore::load_all(StoreContents& contents, Cluster& cluster) {
  RETURN_IF_ERROR(fs_.make_dirs(dir_ + "/streams"));
  ASSIGN_OR_RETURN(cluster, load_cluster());
  contents.cluster_id = cluster.id;
  ASSIGN_OR_RETURN(contents.client_quotas, load_client_quotas());
  ASSIGN_OR_RETURN(contents.ledger, load_ledger());
  ASSIGN_OR_RETURN(auto names, fs_.list(dir_ + "/streams"));
  for (const auto& name : names) {
    if (!name.ends_with(".json")) continue;  // a temporary file of a write cut short
    ASSIGN_OR_RETURN(auto stored, read_file_of(name.substr(0, name.size() - 5)));
    if (stored) contents.maps.push_back(std::move(*stored));
  }
  return {};
}

Result<std::optional<StoredLedger>> FileStore::load_ledger() {
  const std::string path = dir_ + "/metering.json";
  if (!fs_.exists(path)) return std::optional<StoredLedger>();
  ASSIGN_OR_RETURN(std::string text, env::read_file(fs_, path, kFileBytesMax));
  auto ledger = ledger_from_json(text);
  if (!ledger.ok()) {
    return Status(Code::kCorruption, path + " is damaged (" + ledger.status().message() +
                                         "): restore it from a copy");
  }
  std::string version = std::to_string(ledger->generation());
  return std::optional(StoredLedger{std::move(*ledger), version});
}

void FileStore::read_ledger(Done<std::optional<StoredLedger>> done) {
  auto stored = std::make_shared<std::optional<StoredLedger>>();
  io_.submit(
      [this, stored] {
        auto read = load_ledger();
        if (read.ok()) *stored = std::move(*read);
        return read.status();
      },
      [stored, done = std::move(done), alive = alive_](Status status) {
        if (!*alive) return;
        if (!status.ok()) return done(status);
        done(std::move(*stored));
      });
}

void FileStore::write_ledger(const sluice::v1::MeterLedger& ledger,
                             const std::string& expected_version, Done<std::string> done) {
  const std::string version = std::to_string(ledger.generation());
  io_.submit(
      [this, ledger, expected_version] {
        ASSIGN_OR_RETURN(auto before, load_ledger());
        if ((before ? before->version : "") != expected_version) {
          return Status(Code::kConflict,
                        "the ledger has version " + (before ? before->version : "none"));
        }
        ASSIGN_OR_RETURN(std::string json, ledger_to_json(ledger));
        Status status = env::write_file_atomically(fs_, dir_ + "/metering.json", json + "\n");
        if (!status.ok()) return Status(Code::kTimeout, status.message());
        return status;
      },
      [version, done = std::move(done), alive = alive_](Status status) {
        if (!*alive) return;
        if (!status.ok()) return done(status);
        done(version);
      });
}

Result<FileStore::Cluster> FileStore::load_cluster() {
  const std::string path = dir_ + "/cluster.json";
  Cluster cluster;
  if (!fs_.exists(path)) {
    const uint64_t high = random_.next();
    cluster.id = Uuid::from_random(high, random_.next()).to_string();
    RETURN_IF_ERROR(store_cluster(cluster));
    return cluster;
  }
  ASSIGN_OR_RETURN(std::string text, env::read_file(fs_, path, kFileBytesMax));
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("format") || !json["format"].is_number_integer() ||
      !json.contains("clusterId") || !json["clusterId"].is_string() ||
      !json.contains("producerIdsReserved") || !json["producerIdsReserved"].is_number_integer()) {
    return Status(Code::kCorruption, path + " is damaged: restore it from a copy");
  }
  if (json["format"].get<int>() != kFormat) {
    return Status(Code::kUnsupported, path + " was written by another version of Sluice");
  }
  cluster.id = json["clusterId"].get<std::string>();
  cluster.producer_ids_reserved = json["producerIdsReserved"].get<int64_t>();
  return cluster;
}

Status FileStore::store_cluster(const Cluster& cluster) {
  nlohmann::ordered_json json = {{"format", kFormat},
                                 {"clusterId", cluster.id},
                                 {"producerIdsReserved", cluster.producer_ids_reserved}};
  return env::write_file_atomically(fs_, dir_ + "/cluster.json", json.dump(2) + "\n");
}

Result<sluice::v1::ClientQuotas> FileStore::load_client_quotas() {
  const std::string path = dir_ + "/client-quotas.json";
  if (!fs_.exists(path)) return sluice::v1::ClientQuotas();
  ASSIGN_OR_RETURN(std::string text, env::read_file(fs_, path, kFileBytesMax));
  auto quotas = client_quotas_from_json(text);
  if (quotas.ok()) return quotas;
  return Status(Code::kCorruption, path + " is damaged (" + quotas.status().message() +
                                       "): restore it from a copy, or remove it to lift all quotas");
}

void FileStore::alter_client_quotas(const sluice::v1::AlterClientQuotas& change,
                                    Done<sluice::v1::ClientQuotas> done) {
  auto all = std::make_shared<sluice::v1::ClientQuotas>();
  io_.submit(
      [this, change, all] {
        ASSIGN_OR_RETURN(*all, load_client_quotas());
        quotas::apply(change, *all);
        ASSIGN_OR_RETURN(std::string json, client_quotas_to_json(*all));
        return env::write_file_atomically(fs_, dir_ + "/client-quotas.json", json + "\n");
      },
      [all, done = std::move(done), alive = alive_](Status status) {
        if (!*alive) return;
        if (!status.ok()) return done(status);
        done(std::move(*all));
      });
}

void FileStore::refuse(StatusDone done) {
  io_.submit([] { return Status(); },
             [done = std::move(done), alive = alive_](Status) {
               if (!*alive) return;
               done(Status(Code::kPolicyViolation,
                           "without Kubernetes users, their passwords and ACLs are declared in the "
                           "users file "
                           "(sluice-broker --users): edit it and start the broker again"));
             });
}

void FileStore::create_acls(const sluice::v1::CreateAcls&, StatusDone done) {
  refuse(std::move(done));
}

void FileStore::delete_acls(const sluice::v1::DeleteAcls&,
                            Done<std::vector<sluice::v1::DeletedAcls>> done) {
  refuse([done = std::move(done)](Status status) { done(status); });
}

void FileStore::alter_scram(const sluice::v1::AlterScram&, StatusDone done) {
  refuse(std::move(done));
}

Result<std::optional<StoredMap>> FileStore::read_file_of(const std::string& stream_id) {
  const std::string path = path_of(stream_id);
  if (!fs_.exists(path)) return std::optional<StoredMap>();
  ASSIGN_OR_RETURN(std::string text, env::read_file(fs_, path, kFileBytesMax));
  auto map = shard_map_from_json(text);
  Status status = map.ok() ? check_map(*map, nullptr) : map.status();
  if (status.ok() && map->stream_id() != stream_id) {
    status = Status(Code::kCorruption, "it holds stream " + map->stream_id());
  }
  if (!status.ok()) {
    return Status(Code::kCorruption,
                  path + " is damaged (" + status.message() + "): restore it from a copy");
  }
  std::string version = std::to_string(map->generation());
  return std::optional(StoredMap{std::move(*map), version});
}

void FileStore::read_map(const std::string& stream_id, const std::string&,
                         Done<std::optional<StoredMap>> done) {
  auto stored = std::make_shared<std::optional<StoredMap>>();
  io_.submit(
      [this, stream_id, stored] {
        auto read = read_file_of(stream_id);
        if (read.ok()) *stored = std::move(*read);
        return read.status();
      },
      [stored, done = std::move(done), alive = alive_](Status status) {
        if (!*alive) return;
        if (!status.ok()) return done(status);
        done(std::move(*stored));
      });
}

void FileStore::write_map(const sluice::v1::ShardMap& map, const std::string& expected_version,
                          Done<std::string> done) {
  const std::string version = std::to_string(map.generation());
  io_.submit(
      [this, map, expected_version] {
        ASSIGN_OR_RETURN(auto before, read_file_of(map.stream_id()));
        if ((before ? before->version : "") != expected_version) {
          return Status(Code::kConflict,
                        "the map has version " + (before ? before->version : "none"));
        }
        ASSIGN_OR_RETURN(std::string json, shard_map_to_json(map));
        Status status = env::write_file_atomically(fs_, path_of(map.stream_id()), json + "\n");
        // A failure after the rename leaves the new content: the caller reads it again.
        if (!status.ok()) return Status(Code::kTimeout, status.message());
        return status;
      },
      [version, done = std::move(done), alive = alive_](Status status) {
        if (!*alive) return;
        if (!status.ok()) return done(status);
        done(version);
      });
}

void FileStore::remove_map(const std::string& stream_id, const std::string&,
                           const std::string& expected_version, StatusDone done) {
  io_.submit(
      [this, stream_id, expected_version] {
        ASSIGN_OR_RETURN(auto before, read_file_of(stream_id));
        if (!before) return Status();
        if (before->version != expected_version) {
          return Status(Code::kConflict, "the map has version " + before->version);
        }
        RETURN_IF_ERROR(fs_.remove(path_of(stream_id)));
        return fs_.sync_dir(dir_ + "/streams");
      },
      [done = std::move(done), alive = alive_](Status status) {
        if (*alive) done(status);
      });
}

void FileStore::create_stream(const StreamDeclaration&, StatusDone done) {
  answer(std::move(done));
}
void FileStore::update_stream(const StreamDeclaration&, StatusDone done) {
  answer(std::move(done));
}
void FileStore::delete_stream(const std::string&, StatusDone done) {
  answer(std::move(done));
}

void FileStore::allocate_producer_ids(int32_t count, Done<int64_t> done) {
  const int64_t first = next_producer_id_;
  const int64_t end = first + count;
  next_producer_id_ = end;
  bool reserve = end > cluster_.producer_ids_reserved;
  if (reserve) cluster_.producer_ids_reserved = end + kProducerIdBlock;
  io_.submit(
      [this, reserve, cluster = cluster_] { return reserve ? store_cluster(cluster) : Status(); },
      [this, first, end, reserve, reserved = cluster_.producer_ids_reserved, done = std::move(done),
       alive = alive_](Status status) {
        if (!*alive) return;
        if (reserve && status.ok()) durable_reserved_ = std::max(durable_reserved_, reserved);
        if (status.ok() && end > durable_reserved_) {
          status = Status(Code::kIoError, "an earlier reservation of producer ids failed");
        }
        if (status.ok()) return done(first);
        // Reserve again with the next request.
        cluster_.producer_ids_reserved = durable_reserved_;
        done(status);
      });
}

}  // namespace broker::coordination
