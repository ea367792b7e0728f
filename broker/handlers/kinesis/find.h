#pragma once
// How requests name what they are about: the members that operations share, read alike. For this
// folder's files only.
#include <string>

#include "broker/handlers/kinesis/handlers.h"

namespace broker::handlers::kinesis {

struct Names {
  std::string name, arn, id;
};

inline std::string text_of(const std::string& member) {
  return member;
}
inline std::string text_of(const std::optional<std::string>& member) {
  return member.value_or("");
}

template <class Request>
Names names_of(const Request& request) {
  Names names;
  if constexpr (requires { request.stream_name; }) names.name = text_of(request.stream_name);
  if constexpr (requires { request.stream_arn; }) names.arn = text_of(request.stream_arn);
  if constexpr (requires { request.stream_id; }) names.id = text_of(request.stream_id);
  return names;
}

// The stream's name as far as the request says it.
template <class Request>
std::string name_in(const Request& request) {
  Names names = names_of(request);
  if (!names.name.empty()) return names.name;
  if constexpr (requires { request.resource_arn; }) names.arn = text_of(request.resource_arn);
  if constexpr (requires { request.consumer_arn; }) {
    if (!text_of(request.consumer_arn).empty()) names.arn = text_of(request.consumer_arn);
  }
  auto parts = parse_arn(names.arn);
  return parts ? parts->stream : "";
}

// Runs `then` with the stream that the request names, or fails the call.
template <class Request, class Response>
void Handlers::with_stream(const Request& request, const Done<Response>& done,
                           std::function<void(const StreamPtr&)> then) {
  Names names = names_of(request);
  find_stream(done.caller(), names.name, names.arn, names.id,
              [done, then = std::move(then)](OrError<StreamPtr> found) {
                if (auto* error = std::get_if<wire::Error>(&found)) return done(*error);
                then(std::get<StreamPtr>(found));
              });
}

// The same for what asks for a stream that is ACTIVE.
template <class Request, class Response>
void Handlers::with_active_stream(const Request& request, const Done<Response>& done,
                                  std::function<void(const StreamPtr&)> then) {
  with_stream(request, done, [done, then = std::move(then)](const StreamPtr& stream) {
    if (is_active(*stream)) return then(stream);
    done(stream_not_active(stream->name(), done.caller(), status_of(*stream)));
  });
}

template <class Response>
void Handlers::with_resource(const std::string& arn, const Done<Response>& done,
                             std::function<void(const Resource&)> then) {
  auto parts = parse_arn(arn);
  if (!parts) return done(wire::invalid_argument("ARN " + arn + " names no stream or consumer."));
  find_stream(done.caller(), "", arn, "",
              [this, arn, parts = *parts, done, then = std::move(then)](OrError<StreamPtr> found) {
                if (auto* error = std::get_if<wire::Error>(&found)) return done(*error);
                Resource resource{std::get<StreamPtr>(found), parts.consumer};
                if (auto error = check_consumer(resource, arn, parts.consumer_created_s)) {
                  return done(*error);
                }
                then(resource);
              });
}

// Answers a call with `response` when a change is made, else with why it is not.
template <class Response>
Handlers::Changed Handlers::respond_or_fail(const Done<Response>& done, Response response) {
  return [done, response = std::move(response)](const std::optional<wire::Error>& error) {
    error ? done(*error) : done(response);
  };
}

}  // namespace broker::handlers::kinesis
