#pragma once
// Listings that take several calls: their pages and tokens. For this folder's files only.
#include <algorithm>

#include "broker/handlers/kinesis/handlers.h"

namespace broker::handlers::kinesis {

// How many an answer has: fewer than AWS's own page where it is asked for, never more.
inline size_t page_size(const std::optional<int32_t>& asked, int32_t most) {
  return static_cast<size_t>(std::min(asked.value_or(most), most));
}

template <class Response>
void Handlers::with_page(wire::Operation operation, const std::optional<std::string>& text,
                         const Done<Response>& done, std::function<void(const PageToken&)> then) {
  if (!text) return then(PageToken{});
  state_.with_secret([this, operation, text = *text, done,
                      then = std::move(then)](const Result<std::string>& secret) {
    if (!secret.ok()) return done(to_error(secret.status()));
    auto page = open_page_token(*secret, text);
    if (!page || page->operation != wire::to_string(operation)) {
      return done(wire::invalid_argument("NextToken is invalid."));
    }
    if (services_.clock.wall_ms() - page->issued_ms > kTokenLifeMs) {
      return done(wire::expired_next_token(
          "The NextToken is older than 300 seconds; list again from the start."));
    }
    then(*page);
  });
}

template <class Response>
void Handlers::respond_with_page(const Done<Response>& done, Response response, PageToken next) {
  next.issued_ms = services_.clock.wall_ms();
  state_.with_secret([done, response = std::move(response),
                      next = std::move(next)](const Result<std::string>& secret) mutable {
    if (!secret.ok()) return done(to_error(secret.status()));
    response.next_token = seal(*secret, next);
    done(response);
  });
}

}  // namespace broker::handlers::kinesis
