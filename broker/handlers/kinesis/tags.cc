// AddTagsToStream, RemoveTagsFromStream, ListTagsForStream, and the same for any resource.
#include "broker/handlers/kinesis/tags.h"

#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int32_t kListTags = 50;

// Letters and digits of any script, blanks, and _ . : / = + - @; '%' is refused in other words.
bool is_tag_text(std::string_view text) {
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
        (byte >= 'a' && byte <= 'z') ||
        std::string_view(" _.:/=+-@%").find(c) != std::string_view::npos) {
      continue;
    }
    return false;
  }
  return true;
}

// Why these words cannot be tags; `what` is "add tags to" or "remove tags from".
std::optional<wire::Error> check_words(const std::vector<std::string>& words,
                                       const std::string& what, const std::string& stream,
                                       const wire::Caller& caller) {
  for (const auto& word : words) {
    if (is_tag_text(word)) continue;
    return wire::invalid_argument(
        "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white "
        "space, _ . / = + - % @.");
  }
  for (const auto& word : words) {
    if (word.find('%') == std::string::npos) continue;
    return wire::invalid_argument(
        "Failed to " + what + " stream " + stream + " under account " + caller.account +
        " because some tags contained illegal characters. The allowed characters are Unicode "
        "letters, white-spaces, '_',',','/','=','+','-','@'.");
  }
  return std::nullopt;
}

// Where a resource's tags are kept.
std::string prefix_of(const std::string& consumer) {
  return consumer.empty() ? attributes::kTag : attributes::kConsumerTag + consumer + "/";
}

std::vector<wire::Tag> list_of(const std::map<std::string, std::string>& tags) {
  std::vector<wire::Tag> out;
  for (const auto& [key, value] : tags) out.push_back({key, value});
  return out;
}

}  // namespace

std::optional<wire::Error> check_tags(const std::map<std::string, std::string>& added,
                                      const std::map<std::string, std::string>& present,
                                      const std::string& stream, const wire::Caller& caller) {
  size_t total = present.size();
  std::vector<std::string> words;
  for (const auto& [key, value] : added) {
    words.push_back(key);
    words.push_back(value);
    total += present.contains(key) ? 0 : 1;
  }
  if (auto error = check_words(words, "add tags to", stream, caller)) return error;
  for (const auto& [key, value] : added) {
    if (!key.starts_with("aws:")) continue;
    return wire::invalid_argument("Tag keys that begin with aws: are reserved: " + key);
  }
  if (total <= kTagsMax) return std::nullopt;
  return wire::invalid_argument("Failed to add tags to stream " + stream + " under account " +
                                caller.account + " because a given stream cannot have more than " +
                                std::to_string(kTagsMax) + " tags associated with it.");
}

// Two changes at a time could exceed the limit together: each is decided on the tags it adds, and
// the coordinator's write is the last word on the rest.
void Handlers::add_tags(const wire::Caller& caller, const Resource& resource,
                        const std::map<std::string, std::string>& tags, Changed changed) {
  auto decide = [tags, caller, prefix = prefix_of(resource.consumer)](
                    const cluster::Stream& stream) -> OrError<Change> {
    auto present = attributes::with_prefix(stream, prefix);
    if (auto error = check_tags(tags, present, stream.name(), caller)) return *error;
    Change change;
    for (const auto& [key, value] : tags) change.set[prefix + key] = value;
    return change;
  };
  change_attributes(caller, resource.stream->name(), std::move(decide), std::move(changed));
}

void Handlers::remove_tags(const wire::Caller& caller, const Resource& resource,
                           const std::vector<std::string>& keys, Changed changed) {
  if (auto error = check_words(keys, "remove tags from", resource.stream->name(), caller)) {
    return changed(*error);
  }
  auto decide = [keys, prefix = prefix_of(resource.consumer)](
                    const cluster::Stream& stream) -> OrError<Change> {
    Change change;
    for (const auto& key : keys) {
      if (stream.map.attributes().contains(prefix + key)) change.remove.push_back(prefix + key);
    }
    return change;
  };
  change_attributes(caller, resource.stream->name(), std::move(decide), std::move(changed));
}

void Handlers::handle(const Call&, wire::AddTagsToStreamRequest& request,
                      Done<wire::AddTagsToStreamResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    add_tags(done.caller(), {stream, ""}, request.tags, respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::RemoveTagsFromStreamRequest& request,
                      Done<wire::RemoveTagsFromStreamResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    remove_tags(done.caller(), {stream, ""}, request.tag_keys, respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::ListTagsForStreamRequest& request,
                      Done<wire::ListTagsForStreamResponse> done) {
  with_stream(request, done, [&request, done](const StreamPtr& stream) {
    auto tags = attributes::with_prefix(*stream, attributes::kTag);
    if (request.exclusive_start_tag_key) {
      tags.erase(tags.begin(), tags.upper_bound(*request.exclusive_start_tag_key));
    }
    wire::ListTagsForStreamResponse response;
    response.tags = list_of(tags);
    const auto limit = static_cast<size_t>(request.limit.value_or(kListTags));
    response.has_more_tags = response.tags.size() > limit;
    if (response.has_more_tags) response.tags.resize(limit);
    done(response);
  });
}

void Handlers::handle(const Call&, wire::TagResourceRequest& request,
                      Done<wire::TagResourceResponse> done) {
  with_resource(request.resource_arn, done, [this, &request, done](const Resource& resource) {
    add_tags(done.caller(), resource, request.tags, respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::UntagResourceRequest& request,
                      Done<wire::UntagResourceResponse> done) {
  with_resource(request.resource_arn, done, [this, &request, done](const Resource& resource) {
    remove_tags(done.caller(), resource, request.tag_keys, respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::ListTagsForResourceRequest& request,
                      Done<wire::ListTagsForResourceResponse> done) {
  with_resource(request.resource_arn, done, [done](const Resource& resource) {
    wire::ListTagsForResourceResponse response;
    response.tags =
        list_of(attributes::with_prefix(*resource.stream, prefix_of(resource.consumer)));
    done(response);
  });
}

}  // namespace broker::handlers::kinesis
