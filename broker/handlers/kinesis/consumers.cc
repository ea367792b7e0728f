// Registered consumers: RegisterStreamConsumer, DeregisterStreamConsumer, DescribeStreamConsumer,
// ListStreamConsumers; SubscribeToShard, which they are for, is refused for now.
#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"
#include "broker/handlers/kinesis/pages.h"
#include "broker/handlers/kinesis/tags.h"

namespace broker::handlers::kinesis {
namespace {

constexpr size_t kConsumersMax = 20;
constexpr int32_t kListConsumers = 100;

wire::Consumer to_consumer(const wire::Caller& caller, const std::string& stream,
                           const std::string& name, const std::string& created) {
  const int64_t created_ms = std::strtoll(created.c_str(), nullptr, 10);
  return {name, consumer_arn(caller, stream, name, created_ms),
          std::string(wire::ConsumerStatus::kActive), created_ms};
}

wire::Error no_consumer(const std::string& consumer, const std::string& stream,
                        const wire::Caller& caller) {
  return wire::resource_not_found("Consumer " + consumer + " under stream " +
                                  stream_arn(caller, stream) + " not found for account " +
                                  caller.account + ".");
}

}  // namespace

void Handlers::handle(const Call&, wire::RegisterStreamConsumerRequest& request,
                      Done<wire::RegisterStreamConsumerResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    const std::string created = std::to_string(services_.clock.wall_ms());
    const auto tags = request.tags.value_or(std::map<std::string, std::string>());
    auto decide = [name = request.consumer_name, created, tags,
                   caller = done.caller()](const cluster::Stream& stream) -> OrError<Change> {
      const auto present = attributes::with_prefix(stream, attributes::kConsumer);
      if (present.contains(name)) {
        return wire::resource_in_use("Consumer " + name + " under stream " +
                                     stream_arn(caller, stream.name()) +
                                     " already exists for account " + caller.account + ".");
      }
      if (present.size() >= kConsumersMax && has_limits(stream)) {
        return wire::limit_exceeded("Stream " + stream.name() + " under account " + caller.account +
                                    " has " + std::to_string(kConsumersMax) +
                                    " consumers, which is the maximum.");
      }
      if (auto error = check_tags(tags, {}, stream.name(), caller)) return *error;
      Change change;
      change.set[attributes::kConsumer + name] = created;
      for (const auto& [key, value] : tags) {
        change.set[attributes::kConsumerTag + name + "/" + key] = value;
      }
      change.decided_on = {attributes::kConsumer + name};
      return change;
    };
    wire::RegisterStreamConsumerResponse response;
    response.consumer = to_consumer(done.caller(), stream->name(), request.consumer_name, created);
    change_attributes(done.caller(), stream->name(), std::move(decide),
                      respond_or_fail(done, std::move(response)));
  });
}

// By the consumer's ARN, or by its name and its stream's ARN; by all three where they agree.
template <class Request, class Response>
void Handlers::with_consumer(const Request& request, const Done<Response>& done,
                             std::function<void(const Resource&)> then) {
  if (request.consumer_arn) {
    auto parts = parse_arn(*request.consumer_arn);
    if (!parts || parts->consumer.empty()) {
      return done(wire::invalid_argument("ConsumerARN " + *request.consumer_arn +
                                         " is not formatted properly."));
    }
    auto stream = parse_arn(request.stream_arn.value_or(""));
    if (request.consumer_name.value_or(parts->consumer) != parts->consumer ||
        (request.stream_arn && (!stream || stream->stream != parts->stream ||
                                stream->account != parts->account))) {
      return done(wire::invalid_argument(
          "ConsumerARN " + *request.consumer_arn +
          " conflicts with the ConsumerName or the StreamARN of the request."));
    }
    return with_resource(*request.consumer_arn, done, std::move(then));
  }
  if (!request.stream_arn || !request.consumer_name) {
    return done(wire::invalid_argument(
        "Must specify either ConsumerARN, or both StreamARN and ConsumerName."));
  }
  with_stream(
      request, done,
      [done, name = *request.consumer_name, then = std::move(then)](const StreamPtr& stream) {
        if (attributes::get(*stream, attributes::kConsumer + name).empty()) {
          return done(no_consumer(name, stream->name(), done.caller()));
        }
        then({stream, name});
      });
}

void Handlers::handle(const Call&, wire::DeregisterStreamConsumerRequest& request,
                      Done<wire::DeregisterStreamConsumerResponse> done) {
  with_consumer(request, done, [this, done](const Resource& resource) {
    auto decide = [name = resource.consumer,
                   caller = done.caller()](const cluster::Stream& stream) -> OrError<Change> {
      const std::string key = attributes::kConsumer + name;
      if (!stream.map.attributes().contains(key)) return no_consumer(name, stream.name(), caller);
      Change change;
      change.remove = {key, attributes::kConsumerPolicy + name};
      for (const auto& [tag, value] :
           attributes::with_prefix(stream, attributes::kConsumerTag + name + "/")) {
        change.remove.push_back(attributes::kConsumerTag + name + "/" + tag);
      }
      change.decided_on = {key};
      return change;
    };
    change_attributes(done.caller(), resource.stream->name(), std::move(decide),
                      respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::DescribeStreamConsumerRequest& request,
                      Done<wire::DescribeStreamConsumerResponse> done) {
  with_consumer(request, done, [done](const Resource& resource) {
    const std::string created(
        attributes::get(*resource.stream, attributes::kConsumer + resource.consumer));
    auto consumer = to_consumer(done.caller(), resource.stream->name(), resource.consumer, created);
    wire::DescribeStreamConsumerResponse response;
    response.consumer_description = {consumer.consumer_name, consumer.consumer_arn,
                                     consumer.consumer_status,
                                     consumer.consumer_creation_timestamp_ms,
                                     stream_arn(done.caller(), resource.stream->name())};
    done(response);
  });
}

void Handlers::handle(const Call&, wire::ListStreamConsumersRequest& request,
                      Done<wire::ListStreamConsumersResponse> done) {
  if (request.next_token && request.stream_creation_timestamp_ms) {
    return done(wire::invalid_argument(
        "NextToken and StreamCreationTimestamp cannot be provided together."));
  }
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    if (request.stream_creation_timestamp_ms &&
        *request.stream_creation_timestamp_ms / 1000 != created_ms(*stream) / 1000) {
      return done(stream_not_found(stream->name(), done.caller()));
    }
    with_page<wire::ListStreamConsumersResponse>(
        wire::Operation::kListStreamConsumers, request.next_token, done,
        [this, &request, done, stream](const PageToken& page) {
          if (!page.operation.empty() && page.stream != stream->id) {
            return done(wire::invalid_argument("NextToken is invalid."));
          }
          const size_t limit = page_size(request.max_results, kListConsumers);
          wire::ListStreamConsumersResponse response;
          response.consumers.emplace();
          for (const auto& [name, created] :
               attributes::with_prefix(*stream, attributes::kConsumer)) {
            if (name <= page.last) continue;
            if (response.consumers->size() == limit) {
              PageToken next{std::string(wire::to_string(wire::Operation::kListStreamConsumers)),
                             stream->id, response.consumers->back().consumer_name, "", 0};
              return respond_with_page(done, std::move(response), std::move(next));
            }
            response.consumers->push_back(
                to_consumer(done.caller(), stream->name(), name, created));
          }
          done(response);
        });
  });
}

void Handlers::handle(const Call&, wire::SubscribeToShardRequest&,
                      Done<wire::SubscribeToShardResponse> done) {
  done(wire::invalid_argument(
      "SubscribeToShard is not offered by this endpoint yet: read with GetShardIterator and "
      "GetRecords."));
}

}  // namespace broker::handlers::kinesis
