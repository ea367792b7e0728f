#include "broker/cluster/session.h"

#include <google/protobuf/message.h>

#include "broker/base/log.h"
#include "broker/base/utf8.h"

namespace broker::cluster {
namespace {

// A field whose text is none; empty: there is none. The coordinator would take the whole message for
// broken, and with it the session.
std::string field_not_utf8(const google::protobuf::Message& message) {
  using Field = google::protobuf::FieldDescriptor;
  const auto& reflection = *message.GetReflection();
  std::vector<const Field*> fields;
  reflection.ListFields(message, &fields);
  for (const Field* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; i++) {
      if (field->type() == Field::TYPE_STRING) {
        std::string scratch;
        const std::string& text =
            field->is_repeated()
                ? reflection.GetRepeatedStringReference(message, field, i, &scratch)
                : reflection.GetStringReference(message, field, &scratch);
        if (!is_utf8(text)) return std::string(field->name());
      } else if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
        std::string found = field_not_utf8(field->is_repeated()
                                               ? reflection.GetRepeatedMessage(message, field, i)
                                               : reflection.GetMessage(message, field));
        if (!found.empty()) return found;
      }
    }
  }
  return "";
}

}  // namespace

Code code_from_name(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(Code::kInternal); i++) {
    if (to_string(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  }
  return Code::kInternal;
}

Session::Session(env::Clock& clock, env::Executor& executor, Metadata& metadata, v1::Register self)
    : clock_(clock), executor_(executor), metadata_(metadata), self_(std::move(self)) {}

void Session::start(CoordinatorLink& link, SessionHandlers handlers) {
  link_ = &link;
  handlers_ = std::move(handlers);
  schedule_heartbeat();
}

void Session::on_connected() {
  connected_ = true;
  welcomed_ = false;
  v1::BrokerMessage message;
  *message.mutable_register_() = self_;
  link_->send(message);
}

void Session::on_disconnected() {
  if (welcomed_) log_warn("session", "the coordinator is gone; produce and fetch go on");
  connected_ = welcomed_ = false;
  fail_admin(Status(Code::kTimeout,
                    "the connection to the coordinator was lost; look before you retry"));
}

void Session::on_message(const v1::CoordinatorMessage& message) {
  using M = v1::CoordinatorMessage;
  switch (message.message_case()) {
    case M::kWelcome:
      welcomed_ = true;
      holdings_told_ms_ = clock_.mono_ms() - kHoldingsMs;
      if (message.welcome().heartbeat_ms() > 0) heartbeat_ms_ = message.welcome().heartbeat_ms();
      log_info("session", "registered", {{"cluster_id", message.welcome().cluster_id()}});
      send_heartbeat();
      handlers_.welcomed();
      for (auto& [id, admin] : admin_) {
        if (!admin.sent) send_admin(admin);
      }
      break;
    case M::kRefused:
      log_error("session", "the coordinator refuses this broker",
                {{"reason", message.refused().reason()}});
      break;
    case M::kMetadata: metadata_.apply(message.metadata()); break;
    case M::kNewTerms: handlers_.new_terms(message.new_terms()); break;
    case M::kPrepareTransfer: handlers_.prepare_transfer(message.prepare_transfer()); break;
    case M::kStopAllowed: handlers_.stop_allowed(); break;
    case M::kAdmin: {
      auto waiting = admin_.find(message.admin().id());
      if (waiting == admin_.end()) break;  // its time ran out
      Admin admin = std::move(waiting->second);
      admin_.erase(waiting);
      executor_.cancel(admin.timer);
      Code code = code_from_name(message.admin().code());
      if (code == Code::kOk) {
        admin.done(message.admin());
      } else {
        admin.done(Status(code, message.admin().message()));
      }
      break;
    }
    case M::MESSAGE_NOT_SET: log_warn("session", "unknown message from the coordinator"); break;
  }
}

void Session::send_heartbeat() {
  if (!welcomed_) return;
  v1::BrokerMessage message;
  auto* heartbeat = message.mutable_heartbeat();
  for (BrokerId peer : handlers_.peers_heard()) heartbeat->add_hears(peer.value);
  heartbeat->set_stopping(stopping_);
  if (handlers_.holdings && clock_.mono_ms() - holdings_told_ms_ >= kHoldingsMs) {
    holdings_told_ms_ = clock_.mono_ms();
    *heartbeat->mutable_holdings() = handlers_.holdings();
    if (handlers_.certificates) *heartbeat->mutable_certificates() = handlers_.certificates();
  }
  link_->send(message);
}

void Session::schedule_heartbeat() {
  executor_.schedule_after(heartbeat_ms_, [this] {
    send_heartbeat();
    schedule_heartbeat();
  });
}

void Session::heartbeat_now() { send_heartbeat(); }

void Session::ask_to_stop() {
  stopping_ = true;
  send_heartbeat();
}

void Session::report(const v1::LeaderReport& report) {
  *reports_.add_reports() = report;
  flush_soon();
}

void Session::answer(const v1::NewTermResult& result) {
  *results_.add_results() = result;
  flush_soon();
}

void Session::transfer_ready(const v1::TransferReady& ready) {
  v1::BrokerMessage message;
  *message.mutable_transfer_ready() = ready;
  link_->send(message);
}

void Session::usage(const v1::UsageReports& reports) {
  if (!welcomed_ || (reports.shards().empty() && reports.traffic().empty())) return;
  v1::BrokerMessage message;
  *message.mutable_usage() = reports;
  link_->send(message);
}

void Session::flush_soon() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  executor_.post([this] { flush(); });
}

void Session::flush() {
  flush_scheduled_ = false;
  if (welcomed_ && results_.results_size() > 0) {
    v1::BrokerMessage message;
    message.mutable_new_term_results()->Swap(&results_);
    link_->send(message);
  }
  if (welcomed_ && reports_.reports_size() > 0) {
    v1::BrokerMessage message;
    message.mutable_leader_reports()->Swap(&reports_);
    link_->send(message);
  }
  // Without a session they are worthless: a new one asks again, and `welcomed` reports again.
  results_.Clear();
  reports_.Clear();
}

void Session::admin(v1::AdminRequest request, int64_t timeout_ms, AdminDone done) {
  if (std::string field = field_not_utf8(request); !field.empty()) {
    executor_.post([field, done = std::move(done)] {
      done(Status(Code::kInvalidArgument, "the " + field + " given is not UTF-8"));
    });
    return;
  }
  uint64_t id = next_admin_id_++;
  request.set_id(id);
  env::TimerId timer = executor_.schedule_after(timeout_ms, [this, id] {
    auto waiting = admin_.find(id);
    if (waiting == admin_.end()) return;
    Admin admin = std::move(waiting->second);
    admin_.erase(waiting);
    admin.done(admin.sent ? Status(Code::kTimeout,
                                   "the coordinator did not answer in time; look before you retry")
                          : Status(Code::kUnavailable,
                                   "there is no connection to the coordinator; try again later"));
  });
  auto [admin, fresh] =
      admin_.emplace(id, Admin{std::move(done), timer, std::move(request), false});
  if (welcomed_) send_admin(admin->second);
}

void Session::send_admin(Admin& admin) {
  admin.sent = true;
  v1::BrokerMessage message;
  message.mutable_admin()->Swap(&admin.request);
  link_->send(message);
}

void Session::fail_admin(const Status& status) {
  // What was not sent yet waits for the next session.
  std::vector<Admin> failed;
  for (auto it = admin_.begin(); it != admin_.end();) {
    if (it->second.sent) {
      failed.push_back(std::move(it->second));
      it = admin_.erase(it);
    } else {
      ++it;
    }
  }
  for (auto& admin : failed) {
    executor_.cancel(admin.timer);
    admin.done(status);
  }
}

}  // namespace broker::cluster
