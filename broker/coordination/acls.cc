// ACLs and SCRAM credentials that Kafka's clients give and take away. They are the users'
// resources', which the store edits; the operator sees the edit as it sees anybody's and tells the
// coordinator, and the answer waits for that, so that whoever asked meets the change on every
// broker that is connected.
#include "broker/security/acls/acls.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "broker/coordination/core.h"

namespace broker::coordination {

using sluice::v1::Acl;
using sluice::v1::DeletedAcls;

void Core::admin_create_acls(const sluice::v1::CreateAcls& request, PendingAdmin pending) {
  if (request.user().empty() || request.acls().empty()) {
    return answer(pending, Status(Code::kInvalidArgument, "a user and its ACLs are needed"));
  }
  pending.kind = PendingAdmin::kAcls;
  pending.acls_given = true;
  for (const Acl& acl : request.acls()) pending.acls.emplace_back(request.user(), acl);
  store_.create_acls(request, [this, pending, alive = alive_](Status status) {
    if (!*alive) return;
    if (!status.ok()) return answer(pending, status);
    await(pending);
    settle();
  });
}

void Core::admin_delete_acls(const sluice::v1::DeleteAcls& request, PendingAdmin pending) {
  if (request.filters().empty()) return answer(pending, Status());
  pending.kind = PendingAdmin::kAcls;
  store_.delete_acls(
      request, [this, pending, alive = alive_](Result<std::vector<DeletedAcls>> deleted) mutable {
        if (!*alive) return;
        if (!deleted.ok()) return answer(pending, deleted.status());
        for (const auto& found : *deleted) {
          for (const auto& one : found.acls()) {
            if (one.code() == to_string(Code::kOk)) {
              pending.acls.emplace_back(one.user(), one.acl());
            }
          }
        }
        pending.deleted = std::move(*deleted);
        await(pending);
        settle();
      });
}

void Core::admin_alter_scram(const sluice::v1::AlterScram& request, PendingAdmin pending) {
  if (request.user().empty() || request.change_case() == sluice::v1::AlterScram::CHANGE_NOT_SET) {
    return answer(pending, Status(Code::kInvalidArgument, "a user and a credential are needed"));
  }
  pending.kind = PendingAdmin::kScram;
  pending.scram = request;
  store_.alter_scram(request, [this, pending, alive = alive_](Status status) {
    if (!*alive) return;
    if (!status.ok()) return answer(pending, status);
    await(pending);
    settle();
  });
}

// Null: brokers do not know the user (yet, or because its resource is wrong), so that nothing of it
// could be as asked, and it is not waited for.
const sluice::v1::User* Core::find_served_user(const std::string& name) const {
  if (!security_) return nullptr;
  const auto& users = security_->users();
  auto user = std::find_if(users.begin(), users.end(),
                           [&](const auto& known) { return known.name() == name; });
  return user == users.end() ? nullptr : &*user;
}

bool Core::acls_are_in_force(const PendingAdmin& pending) const {
  return std::all_of(pending.acls.begin(), pending.acls.end(), [&](const auto& changed) {
    const auto& [name, acl] = changed;
    const auto* user = find_served_user(name);
    if (!user) return true;
    const bool there = std::any_of(user->acls().begin(), user->acls().end(), [&](const Acl& known) {
      return security::acls::same(known, acl);
    });
    return there == pending.acls_given;
  });
}

bool Core::scram_is_in_force(const sluice::v1::AlterScram& change) const {
  const auto* user = find_served_user(change.user());
  if (!user) return true;
  const auto& known = user->scram();
  if (change.has_set()) {
    return std::any_of(known.begin(), known.end(), [&](const auto& one) {
      return google::protobuf::util::MessageDifferencer::Equals(one, change.set());
    });
  }
  return std::none_of(known.begin(), known.end(),
                      [&](const auto& one) { return one.mechanism() == change.remove(); });
}

}  // namespace broker::coordination
