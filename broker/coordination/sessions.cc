// Brokers' sessions: registration, heartbeats, silence, and the metadata pushed to them.
#include <google/protobuf/util/message_differencer.h>

#include "broker/base/log.h"
#include "broker/base/uuid.h"
#include "broker/coordination/core.h"
#include "broker/quotas/entity.h"

namespace broker::coordination {

using sluice::v1::BrokerMessage;
using sluice::v1::CoordinatorMessage;

void Core::on_connect(SessionId id) {
  Session session;
  session.id = id;
  session.heard_ms = now();
  sessions_[id] = session;
  heard_something();
}

void Core::on_message(SessionId id, const BrokerMessage& message) {
  auto it = sessions_.find(id);
  if (it == sessions_.end()) return;  // closed by us, still talking
  Session& session = it->second;
  session.heard_ms = now();
  if (message.message_case() == BrokerMessage::kRegister) {
    on_register(session, message.register_());
    return settle();
  }
  if (session.broker < 0) {
    end_session(id);
    outbox_.close(id);
    return settle();
  }
  switch (message.message_case()) {
    case BrokerMessage::kHeartbeat:
      on_heartbeat(session, message.heartbeat());
      break;
    case BrokerMessage::kNewTermResults:
      on_votes(session, message.new_term_results());
      break;
    case BrokerMessage::kLeaderReports:
      on_reports(session, message.leader_reports());
      break;
    case BrokerMessage::kTransferReady:
      on_transfer_ready(session, message.transfer_ready());
      break;
    case BrokerMessage::kAdmin:
      on_admin(session, message.admin());
      break;
    case BrokerMessage::kUsage:
      on_usage(session, message.usage());
      break;
    case BrokerMessage::kRegister:
    case BrokerMessage::MESSAGE_NOT_SET:
      break;  // a newer broker's message
  }
  settle();
}

void Core::on_disconnect(SessionId id) {
  end_session(id);
  settle();
}

void Core::end_session(SessionId id) {
  auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const int32_t broker = it->second.broker;
  sessions_.erase(it);
  new_terms_.erase(id);
  Peer* peer = find_peer(broker);
  if (!peer || peer->session != id) return;
  peer->session = 0;
  forget_reports(broker);
  log_info("coordinator", "broker disconnected",
           {{"cluster", options_.cluster}, {"broker", broker}});
  set_alive(*peer, false);
}

Status Core::admissible(const Session& session, const sluice::v1::Register& message) {
  if (!loaded_)
    return Status(Code::kUnavailable, "the coordinator has not loaded its metadata yet");
  if (message.cluster() != options_.cluster) {
    return Status(Code::kInvalidArgument, "this is the coordinator of cluster '" +
                                              options_.cluster + "', not of '" + message.cluster() +
                                              "'");
  }
  if (message.broker().id() < 0)
    return Status(Code::kInvalidArgument, "a broker's id is 0 or above");
  if (!Uuid::parse(message.broker().directory())) {
    return Status(Code::kInvalidArgument, "broker.directory is no UUID");
  }
  if (message.process().empty()) return Status(Code::kInvalidArgument, "process is empty");
  const Session* other = session_of(message.broker().id());
  if (!other || other->id == session.id || other->silent) return {};
  if (other->process == message.process() && other->directory == message.broker().directory()) {
    return {};  // the same process dials again before we see its old connection end
  }
  return Status(Code::kAlreadyExists,
                "broker " + std::to_string(message.broker().id()) +
                    " is connected from another process or directory; give each broker its own id");
}

void Core::on_register(Session& session, const sluice::v1::Register& message) {
  Status status = admissible(session, message);
  if (!status.ok()) {
    log_warn("coordinator", "broker refused",
             {{"broker", message.broker().id()}, {"reason", status.message()}});
    CoordinatorMessage refused;
    refused.mutable_refused()->set_reason(status.message());
    const SessionId id = session.id;
    outbox_.send(id, refused);
    outbox_.close(id);
    return end_session(id);
  }
  const int32_t id = message.broker().id();
  Peer& peer = peers_[id];
  if (peer.session != 0 && peer.session != session.id) {
    const SessionId old = peer.session;
    peer.session = 0;
    forget_reports(id);
    sessions_.erase(old);
    new_terms_.erase(old);
    outbox_.close(old);
  }
  bool restarted = !peer.process.empty() && peer.process != message.process();
  peer.info = message.broker();
  peer.certificates.Clear();
  peer.registered = true;
  peer.process = message.process();
  peer.session = session.id;
  session.broker = id;
  session.directory = message.broker().directory();
  session.process = message.process();
  session.registered_ms = session.heard_ms = now();
  if (restarted) process_replaced(id);
  metered_brokers_.insert(id);
  log_info("coordinator", "broker registered",
           {{"cluster", options_.cluster},
            {"broker", id},
            {"directory", session.directory},
            {"zone", broker_message(peer).zone()},
            {"restarted", restarted}});
  CoordinatorMessage welcome;
  welcome.mutable_welcome()->set_cluster_id(cluster_id_);
  welcome.mutable_welcome()->set_heartbeat_ms(static_cast<int32_t>(options_.heartbeat_ms));
  outbox_.send(session.id, welcome);
  peer.info.set_alive(true);
  push_full(session);
  peer.info.set_alive(false);
  set_alive(peer, true);
}

// A broker says again what it leads whenever it is welcomed.
void Core::forget_reports(int32_t broker) {
  for (auto& [id, stream] : streams_) {
    for (const auto& shard : stream.map.shards()) {
      if (!shard.has_leader() || shard.leader() != broker) continue;
      Live& live = stream.live[shard.index()];
      live.report.reset();
      live.transfer.reset();
    }
  }
}

// Rule 4: a restarted leader leads nothing until a new term, unless it is the sole member.
void Core::process_replaced(int32_t broker) {
  for (auto& [id, stream] : streams_) {
    for (const auto& shard : stream.map.shards()) {
      const bool resumes = voters_of(shard).size() == 1 && !in_memory(stream);
      if (!shard.has_leader() || shard.leader() != broker || resumes) continue;
      Live& live = stream.live[shard.index()];
      live.disowned_term = shard.term();
      live.report.reset();
    }
  }
}

void Core::on_heartbeat(Session& session, const sluice::v1::Heartbeat& message) {
  std::set<int32_t> hears(message.hears().begin(), message.hears().end());
  bool stops = message.stopping() && !session.stopping;
  if (hears != session.hears || stops) mark_all_dirty();
  session.hears = std::move(hears);
  session.stopping = message.stopping();
  if (message.has_holdings()) {
    if (Peer* peer = find_peer(session.broker)) take_holdings(*peer, message.holdings());
  }
  if (message.has_certificates()) take_certificates(session.broker, message.certificates());
  if (session.silent) {
    session.silent = false;
    Peer* peer = find_peer(session.broker);
    if (peer && peer->session == session.id) set_alive(*peer, true);
  }
  if (session.stopping) answer_stopping(session);
}

void Core::take_certificates(int32_t broker, const sluice::v1::Certificates& told) {
  Peer* peer = find_peer(broker);
  if (!peer || google::protobuf::util::MessageDifferencer::Equals(told, peer->certificates)) return;
  peer->certificates = told;
  something_changed_ = true;
}

void Core::on_reports(Session& session, const sluice::v1::LeaderReports& message) {
  for (const auto& report : message.reports()) {
    Stream* stream = find_stream_by_id(report.shard().stream_id());
    if (!stream) continue;
    const Shard* shard = find_shard_by_index(stream->map, report.shard().index());
    if (!shard || shard->term() != report.term() || !shard->has_leader() ||
        shard->leader() != session.broker) {
      continue;
    }
    const Replica* leader = leader_replica(*shard);
    if (!leader || leader->directory() != session.directory) continue;
    Live& live = stream->live[shard->index()];
    live.report = report;
    live.unclaimed = 0;
    stream->dirty = true;
    something_changed_ = true;
  }
}

// A coordinator that itself stood still has heard nobody: that is no broker's silence.
void Core::watch_silence() {
  const int64_t time = now();
  const int64_t gap = last_tick_ms_ < 0 ? 0 : time - last_tick_ms_;
  last_tick_ms_ = time;
  for (auto& [id, session] : sessions_) {
    if (gap > options_.silent_ms / 2) session.heard_ms += gap;
    if (session.broker < 0 || session.silent) continue;
    if (time - session.heard_ms <= options_.silent_ms) continue;
    session.silent = true;
    log_warn("coordinator", "broker is silent", {{"broker", session.broker}});
    Peer* peer = find_peer(session.broker);
    if (peer && peer->session == id) set_alive(*peer, false);
  }
}

void Core::set_alive(Peer& peer, bool alive) {
  if (peer.info.alive() == alive) return;
  peer.info.set_alive(alive);
  disturbed();
  mark_all_dirty();
  streams_dirty_ = true;
  something_changed_ = true;
  push_broker(peer);
}

sluice::v1::Broker Core::broker_message(const Peer& peer) const {
  sluice::v1::Broker out = peer.info;
  if (!peer.zone.empty()) out.set_zone(peer.zone);
  out.set_draining(peer.draining);
  for (auto& listener : *out.mutable_listeners()) {
    auto told = peer.listeners.find(listener.name());
    if (told != peer.listeners.end()) *listener.mutable_endpoint() = told->second;
  }
  return out;
}

void Core::push_to_all(const CoordinatorMessage& message) {
  for (const auto& [id, session] : sessions_) {
    if (session.broker >= 0) outbox_.send(id, message);
  }
}

void Core::push_map(const Stream& stream) {
  CoordinatorMessage message;
  message.mutable_metadata()->set_cluster_id(cluster_id_);
  *message.mutable_metadata()->add_streams() = stream.map;
  push_to_all(message);
}

void Core::push_broker(const Peer& peer) {
  if (!peer.registered) return;
  CoordinatorMessage message;
  message.mutable_metadata()->set_cluster_id(cluster_id_);
  *message.mutable_metadata()->add_brokers() = broker_message(peer);
  push_to_all(message);
}

void Core::push_removed(const std::string& stream_id) {
  CoordinatorMessage message;
  message.mutable_metadata()->set_cluster_id(cluster_id_);
  message.mutable_metadata()->add_deleted_stream_ids(stream_id);
  push_to_all(message);
}

void Core::push_full(Session& session) {
  CoordinatorMessage message;
  auto* update = message.mutable_metadata();
  update->set_full(true);
  update->set_cluster_id(cluster_id_);
  for (const auto* map : maps()) *update->add_streams() = *map;
  for (const auto& [id, peer] : peers_) {
    if (peer.registered) *update->add_brokers() = broker_message(peer);
  }
  // Brokers keep the users they know until this coordinator has been told of them.
  if (security_) *update->mutable_security() = *security_;
  add_client_quotas(*update);
  if (!ledger_version_.empty()) *update->mutable_ledger() = stored_ledger_;
  if (prices_) *update->mutable_prices() = *prices_;
  outbox_.send(session.id, message);
}

void Core::set_security(const sluice::v1::Security& security) {
  if (security_ && google::protobuf::util::MessageDifferencer::Equals(security, *security_)) return;
  security_ = security;
  CoordinatorMessage message;
  *message.mutable_metadata()->mutable_security() = security;
  // Users declare quotas, too.
  add_client_quotas(*message.mutable_metadata());
  push_to_all(message);
  check_pending();
  heard_something();
}

// Those in force. Brokers keep what they know until the stored ones are known, and the users who declare
// some where there are such.
void Core::add_client_quotas(sluice::v1::MetadataUpdate& update) const {
  if (!loaded_ || (store_declares_ && !security_)) return;
  *update.mutable_client_quotas() =
      quotas::in_force(client_quotas_, security_ ? &*security_ : nullptr);
}

void Core::push_client_quotas() {
  CoordinatorMessage message;
  message.mutable_metadata()->set_cluster_id(cluster_id_);
  add_client_quotas(*message.mutable_metadata());
  push_to_all(message);
}

Peer* Core::find_peer(int32_t broker) {
  auto it = peers_.find(broker);
  return it == peers_.end() ? nullptr : &it->second;
}

Session* Core::session_of(int32_t broker) {
  Peer* peer = find_peer(broker);
  if (!peer || peer->session == 0) return nullptr;
  auto it = sessions_.find(peer->session);
  return it == sessions_.end() ? nullptr : &it->second;
}

Session* Core::live_session(const Replica& replica) {
  Session* session = session_of(replica.broker());
  if (!session || session->silent || session->directory != replica.directory()) return nullptr;
  return session;
}

}  // namespace broker::coordination
