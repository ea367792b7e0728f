// Requests that change metadata, from brokers' clients and from the operator: checked, done, and
// answered when what they ask for serves.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "broker/base/log.h"
#include "broker/coordination/core.h"
#include "broker/quotas/entity.h"

namespace broker::coordination {

using sluice::v1::AdminRequest;
using sluice::v1::AdminResponse;

void Core::on_admin(Session& session, const AdminRequest& request) {
  admin(request, [this, id = session.id](const AdminResponse& response) {
    if (!sessions_.count(id)) return;
    sluice::v1::CoordinatorMessage message;
    *message.mutable_admin() = response;
    outbox_.send(id, message);
  });
}

void Core::admin(const AdminRequest& request, Coordinator::AdminDone done) {
  PendingAdmin pending;
  pending.id = request.id();
  pending.done = std::move(done);
  pending.deadline_ms = now() + options_.admin_ms;
  if (!loaded_) {
    return answer(pending,
                  Status(Code::kUnavailable, "the coordinator has not loaded its metadata yet"));
  }
  auto with_stream = [&](const std::string& name, auto act) {
    Stream* stream = find_stream(name);
    if (!stream) return answer(pending, Status(Code::kNotFound, "no stream '" + name + "'"));
    act(*stream);
  };
  switch (request.request_case()) {
    case AdminRequest::kCreateStream:
      admin_create(request.create_stream(), pending);
      break;
    case AdminRequest::kDeleteStream:
      admin_delete(request.delete_stream(), pending);
      break;
    case AdminRequest::kUpdateStream:
      admin_update(request.update_stream(), pending);
      break;
    case AdminRequest::kSplitShard:
      with_stream(request.split_shard().stream(),
                  [&](Stream& s) { queue_split(s, request.split_shard(), pending); });
      break;
    case AdminRequest::kMergeShards:
      with_stream(request.merge_shards().stream(),
                  [&](Stream& s) { queue_merge(s, request.merge_shards(), pending); });
      break;
    case AdminRequest::kRetileShards:
      with_stream(request.retile_shards().stream(),
                  [&](Stream& s) { queue_retile(s, request.retile_shards(), pending); });
      break;
    case AdminRequest::kReassignShard:
      with_stream(request.reassign_shard().stream(),
                  [&](Stream& s) { admin_reassign(s, request.reassign_shard(), pending); });
      break;
    case AdminRequest::kElectPreferred:
      with_stream(request.elect_preferred().stream(),
                  [&](Stream& s) { admin_elect_preferred(s, request.elect_preferred(), pending); });
      break;
    case AdminRequest::kAlterClientQuotas:
      admin_client_quotas(request.alter_client_quotas(), pending);
      break;
    case AdminRequest::kCreateAcls:
      admin_create_acls(request.create_acls(), pending);
      break;
    case AdminRequest::kDeleteAcls:
      admin_delete_acls(request.delete_acls(), pending);
      break;
    case AdminRequest::kAlterScram:
      admin_alter_scram(request.alter_scram(), pending);
      break;
    case AdminRequest::kAllocateProducerIds:
      admin_producer_ids(request.allocate_producer_ids(), pending);
      break;
    case AdminRequest::kSetAttributes:
      with_stream(request.set_attributes().stream(),
                  [&](Stream& s) { admin_attributes(s, request.set_attributes(), pending); });
      break;
    case AdminRequest::REQUEST_NOT_SET:
      answer(pending, Status(Code::kUnsupported, "the coordinator does not know this request"));
  }
}

void Core::answer(const PendingAdmin& pending, const Status& status,
                  const std::vector<int32_t>& shards) {
  AdminResponse response;
  response.set_id(pending.id);
  response.set_code(std::string(to_string(status.code())));
  response.set_message(status.message());
  response.set_stream_id(pending.stream_id);
  for (int32_t shard : shards) response.add_shards(shard);
  response.mutable_deleted_acls()->Add(pending.deleted.begin(), pending.deleted.end());
  pending.done(response);
}

void Core::await(PendingAdmin pending) {
  pending_.push_back(std::move(pending));
}

void Core::admin_create(const sluice::v1::CreateStream& request, PendingAdmin pending) {
  pending.kind = PendingAdmin::kCreate;
  pending.stream = request.name();
  StreamConfig config = resolve(request.config(), nullptr);
  Status status = check_stream_name(request.name());
  if (status.ok()) status = check_config(config);
  bool exists = declared_.count(request.name()) > 0 || find_stream(request.name()) ||
                std::any_of(pending_.begin(), pending_.end(), [&](const PendingAdmin& other) {
                  return other.kind == PendingAdmin::kCreate && other.stream == request.name();
                });
  if (status.ok() && exists) {
    status = Status(Code::kAlreadyExists, "stream '" + request.name() + "' exists");
  }
  // Where brokers are only away (a restart, a new coordinator) the stream waits for them.
  if (status.ok()) status = can_be_placed_later(broker_infos(), config.replication());
  if (!status.ok() || request.validate_only()) return answer(pending, status);
  StreamDeclaration declaration{
      request.name(), config, {request.attributes().begin(), request.attributes().end()}};
  ShardMap trial;
  status = change_attributes(trial, {declaration.attributes, {}, {}});
  if (!status.ok()) return answer(pending, status);
  store_.create_stream(declaration, [this, declaration, pending, alive = alive_](Status status) {
    if (!*alive) return;
    if (!status.ok()) return answer(pending, status);
    declared_[declaration.name] = declaration;
    streams_dirty_ = true;
    await(pending);
    settle();
  });
}

void Core::admin_attributes(Stream& stream, const sluice::v1::SetAttributes& request,
                            PendingAdmin pending) {
  pending.stream_id = stream.map.stream_id();
  AttributeChange change{{request.set().begin(), request.set().end()},
                         {request.remove().begin(), request.remove().end()},
                         {request.expected().begin(), request.expected().end()}};
  Edit edit;
  edit.what = "set attributes";
  edit.apply = [change](ShardMap& map) { return change_attributes(map, change); };
  edit.done = [this, pending](const Status& status) { answer(pending, status); };
  queue(stream, std::move(edit));
}

void Core::admin_delete(const sluice::v1::DeleteStream& request, PendingAdmin pending) {
  pending.kind = PendingAdmin::kDelete;
  pending.stream = request.name();
  Stream* stream = find_stream(request.name());
  if (!stream) {
    return answer(pending, Status(Code::kNotFound, "no stream '" + request.name() + "'"));
  }
  pending.stream_id = stream->map.stream_id();
  store_.delete_stream(request.name(), [this, pending, alive = alive_](Status status) {
    if (!*alive) return;
    if (!status.ok() && status.code() != Code::kNotFound) return answer(pending, status);
    await(pending);
    // Where others hold the declaration they say when it is withdrawn, and whether data stays.
    if (!store_declares_) return stream_withdrawn(pending.stream, false);
    settle();
  });
}

void Core::admin_update(const sluice::v1::UpdateStream& request, PendingAdmin pending) {
  pending.kind = PendingAdmin::kUpdate;
  pending.stream = request.name();
  Stream* stream = find_stream(request.name());
  if (!stream) {
    return answer(pending, Status(Code::kNotFound, "no stream '" + request.name() + "'"));
  }
  pending.stream_id = stream->map.stream_id();
  StreamDeclaration declaration{request.name(), stream->map.config()};
  std::vector<std::string> fields(request.fields().begin(), request.fields().end());
  Status status = merge_config(declaration.config, request.config(), fields);
  declaration.config = resolve(declaration.config, &stream->map);
  ShardMap trial = stream->map;
  if (status.ok()) status = update_config(trial, declaration.config);
  if (status.ok() && (declaration.config.replication() > stream->map.config().replication() ||
                      declaration.config.partitions() > stream->map.config().partitions())) {
    status = can_be_placed_later(broker_infos(), declaration.config.replication());
  }
  if (!status.ok()) return answer(pending, status);
  pending.config = declaration.config;
  auto declared = declared_.find(request.name());
  if (declared != declared_.end() && declared->second.config.replication() == 0 &&
      std::find(fields.begin(), fields.end(), "replication") == fields.end()) {
    declaration.config.clear_replication();  // nobody has set it
  }
  store_.update_stream(declaration, [this, declaration, pending, alive = alive_](Status status) {
    if (!*alive) return;
    if (!status.ok()) return answer(pending, status);
    declared_[declaration.name] = declaration;
    streams_dirty_ = true;
    await(pending);
    settle();
  });
}

void Core::admin_client_quotas(const sluice::v1::AlterClientQuotas& request,
                               PendingAdmin pending) {
  Status status = quotas::check_change(request, security_ ? &*security_ : nullptr);
  if (!status.ok() || request.validate_only() || request.ops().empty()) {
    return answer(pending, status);
  }
  store_.alter_client_quotas(
      request, [this, pending, alive = alive_](Result<sluice::v1::ClientQuotas> all) {
        if (!*alive) return;
        if (!all.ok()) return answer(pending, all.status());
        client_quotas_ = std::move(*all);
        // Before the answer: whoever asked knows it by then.
        push_client_quotas();
        answer(pending, Status());
      });
}

void Core::admin_producer_ids(const sluice::v1::AllocateProducerIds& request,
                              PendingAdmin pending) {
  if (request.count() < 1 || request.count() > 1'000'000) {
    return answer(pending, Status(Code::kInvalidArgument, "count must be 1 to 1000000"));
  }
  store_.allocate_producer_ids(request.count(), [pending, alive = alive_](Result<int64_t> first) {
    if (!*alive) return;
    AdminResponse response;
    response.set_id(pending.id);
    response.set_code(std::string(to_string(first.code())));
    response.set_message(first.status().message());
    if (first.ok()) response.set_first_producer_id(*first);
    pending.done(response);
  });
}

// Its leader has said that it leads and has committed what it started with.
bool Core::is_serving(Stream& stream, const Shard& shard) {
  const Live& live = stream.live[shard.index()];
  return shard.has_leader() && live.report && live.report->term() == shard.term() &&
         live.report->committed();
}

bool Core::finished(const PendingAdmin& pending, Status& status, std::vector<int32_t>& shards) {
  const bool late = now() >= pending.deadline_ms;
  // They are durable, and hold as soon as the resource has been looked at.
  if (pending.kind == PendingAdmin::kAcls) return late || acls_are_in_force(pending);
  if (pending.kind == PendingAdmin::kScram) return late || scram_is_in_force(pending.scram);
  if (pending.kind == PendingAdmin::kDelete) {
    if (late) status = Status(Code::kTimeout, "the stream is still being deleted; that goes on");
    return late || !streams_.count(pending.stream_id);
  }
  Stream* stream = find_stream(pending.stream);
  if (!stream) {
    std::string problem = stream_problem(pending.stream);
    if (problem.empty()) problem = "stream '" + pending.stream + "' is not there yet";
    if (late) status = Status(Code::kTimeout, problem);
    return late;
  }
  bool done = true;
  if (pending.kind == PendingAdmin::kElect) {
    const Shard* shard = find_shard_by_index(stream->map, pending.shards.at(0));
    done = !shard || (shard->has_leader() && shard->leader() == shard->replicas(0).broker() &&
                      is_serving(*stream, *shard));
    if (!done && late) status = Status(Code::kTimeout, "leadership has not moved yet");
    return done || late;
  }
  if (pending.kind == PendingAdmin::kReshard) {
    std::set<int32_t> children;
    for (int32_t index : pending.shards) {
      const Shard* parent = find_shard_by_index(stream->map, index);
      if (parent) children.insert(parent->children().begin(), parent->children().end());
    }
    shards.assign(children.begin(), children.end());
    if (shards.empty()) {
      if (late) status = Status(Code::kTimeout, "the shard is still being sealed; that goes on");
      return late;
    }
    for (int32_t child : shards) {
      const Shard* shard = find_shard_by_index(stream->map, child);
      done &= !shard || is_serving(*stream, *shard);
    }
    return done || late;
  }
  if (pending.kind == PendingAdmin::kUpdate &&
      !google::protobuf::util::MessageDifferencer::Equals(pending.config, stream->map.config())) {
    if (late) status = Status(Code::kTimeout, "the change has not been written yet; that goes on");
    return late;
  }
  for (const auto& shard : stream->map.shards()) done &= is_serving(*stream, shard);
  return done || late;
}

void Core::check_pending() {
  for (auto it = pending_.begin(); it != pending_.end();) {
    Status status;
    std::vector<int32_t> shards;
    if (!finished(*it, status, shards)) {
      ++it;
      continue;
    }
    PendingAdmin pending = std::move(*it);
    it = pending_.erase(it);
    if (pending.kind == PendingAdmin::kCreate) {
      const Stream* stream = find_stream(pending.stream);
      if (stream) pending.stream_id = stream->map.stream_id();
      // The client was told that it failed; nobody else wants the stream.
      if (!stream && !store_declares_) declared_.erase(pending.stream);
    }
    answer(pending, status, shards);
  }
}

}  // namespace broker::coordination
