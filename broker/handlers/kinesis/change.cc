#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int kAttemptsMax = 10;
constexpr int64_t kAgainMs = 20;

}  // namespace

void Handlers::admin(v1::AdminRequest request,
                     std::function<void(const Result<v1::AdminResponse>&)> done) {
  services_.admin(std::move(request), kAdminTimeoutMs,
                  [done = std::move(done)](Result<v1::AdminResponse> answer) { done(answer); });
}

void Handlers::change_attributes(const wire::Caller& caller, const std::string& stream,
                                 Decide decide, Changed changed) {
  try_change(caller, stream, std::move(decide), 1, std::move(changed));
}

void Handlers::try_change(const wire::Caller& caller, const std::string& name, Decide decide,
                          int attempt, Changed changed) {
  auto stream = services_.metadata.find(name);
  if (!stream) return changed(stream_not_found(name, caller));
  auto decided = decide(*stream);
  if (auto* error = std::get_if<wire::Error>(&decided)) return changed(*error);
  auto& change = std::get<Change>(decided);
  if (change.set.empty() && change.remove.empty()) return changed(std::nullopt);
  v1::AdminRequest request;
  auto* message = request.mutable_set_attributes();
  message->set_stream(name);
  for (const auto& [key, value] : change.set) (*message->mutable_set())[key] = value;
  for (const auto& key : change.remove) message->add_remove(key);
  for (const auto& key : change.decided_on) {
    (*message->mutable_expected())[key] = attributes::get(*stream, key);
  }
  auto on_answer = [this, caller, name, decide = std::move(decide), attempt,
                    changed = std::move(changed)](const Result<v1::AdminResponse>& answer) {
    if (answer.code() == Code::kConflict && attempt < kAttemptsMax) {
      // Somebody was quicker, and this broker may not have heard of it yet.
      services_.executor.schedule_after(
          kAgainMs, [=, this] { try_change(caller, name, decide, attempt + 1, changed); });
      return;
    }
    if (answer.ok()) return changed(std::nullopt);
    changed(answer.code() == Code::kNotFound ? stream_not_found(name, caller)
                                             : to_error(answer.status()));
  };
  admin(std::move(request), std::move(on_answer));
}

void Handlers::update_config(const std::string& stream, const v1::StreamConfig& config,
                             std::vector<std::string> fields, Changed changed) {
  v1::AdminRequest request;
  auto* update = request.mutable_update_stream();
  update->set_name(stream);
  *update->mutable_config() = config;
  for (auto& field : fields) update->add_fields(std::move(field));
  admin(std::move(request), [changed = std::move(changed)](const auto& answer) {
    changed(answer.ok() ? std::nullopt : std::optional(to_error(answer.status())));
  });
}

}  // namespace broker::handlers::kinesis
