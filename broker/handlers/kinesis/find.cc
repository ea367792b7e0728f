#include "broker/handlers/kinesis/find.h"

#include "broker/handlers/kinesis/attributes.h"

namespace broker::handlers::kinesis {
namespace {

// A stream that another broker has made is heard of that much later at most.
constexpr int64_t kHearGraceMs = 300;
constexpr int64_t kHearPollMs = 20;

}  // namespace

Handlers::OrError<std::string> Handlers::stream_name_of(const wire::Caller& caller,
                                                        const std::string& name,
                                                        const std::string& arn) const {
  if (arn.empty()) {
    if (!name.empty()) return name;
    return wire::invalid_argument("Either StreamName or StreamARN must be provided.");
  }
  auto parts = parse_arn(arn);
  if (!parts) return wire::invalid_argument("StreamARN " + arn + " is not formatted properly.");
  if (!name.empty() && parts->stream != name) {
    return wire::invalid_argument("StreamName " + name + " and StreamARN " + arn +
                                  " do not name the same stream.");
  }
  if (parts->account != caller.account) return stream_not_found(parts->stream, caller);
  return parts->stream;
}

void Handlers::find_stream(const wire::Caller& caller, const std::string& name,
                           const std::string& arn, const std::string& id,
                           std::function<void(OrError<StreamPtr>)> found) {
  auto resolved = stream_name_of(caller, name, arn);
  if (auto* error = std::get_if<wire::Error>(&resolved)) return found(*error);
  auto& wanted = std::get<std::string>(resolved);
  const bool alone = services_.metadata.brokers().size() < 2;
  find_by_name({caller, wanted, id, services_.clock.mono_ms() + (alone ? 0 : kHearGraceMs),
                std::move(found)});
}

void Handlers::find_by_name(Search search) {
  auto stream = services_.metadata.find(search.name);
  const bool hidden = is_internal_stream(search.name);
  if (stream && !hidden) {
    if (!search.id.empty() && stream_id_text(stream->id) != search.id) {
      return search.found(stream_not_found(search.name, search.caller));
    }
    return search.found(stream);
  }
  if (hidden || services_.clock.mono_ms() >= search.give_up_ms) {
    return search.found(stream_not_found(search.name, search.caller));
  }
  services_.executor.schedule_after(kHearPollMs, [this, search = std::move(search)]() mutable {
    find_by_name(std::move(search));
  });
}

std::optional<wire::Error> Handlers::check_consumer(const Resource& resource,
                                                    const std::string& arn,
                                                    int64_t created_s) const {
  if (resource.consumer.empty()) return std::nullopt;
  const int64_t created_ms =
      attributes::get_number(*resource.stream, attributes::kConsumer + resource.consumer, -1);
  // A consumer that was made again under its name has another ARN.
  if (created_ms >= 0 && created_ms / 1000 == created_s) return std::nullopt;
  return wire::resource_not_found("Consumer " + arn + " not found.");
}

}  // namespace broker::handlers::kinesis
