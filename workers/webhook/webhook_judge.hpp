// What an attempt at a delivery means: pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/error.hpp>
#include <rowcrew/http_client.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew::webhook {

/// Of a receiver's answer, stored with the delivery.
inline constexpr std::size_t kExcerptBytes = 1024;
inline constexpr std::chrono::hours kLongestRetryAfter{24};

/// The first KiB as valid UTF-8: control characters are blanks, broken bytes U+FFFD.
std::string excerpt_of(std::string_view body);

/// Host and port of an endpoint's URL, without what may be secret in it: userinfo, path, query.
std::string host_of(std::string_view url);

/// The same outcome, of a failure with the endpoint in front of what happened: for those who look after the fleet, who know
/// the job alone. rowcrew.webhook_ended() takes it away again.
Outcome naming(Outcome outcome, std::string_view url);

/// The verdict on an answer. `wait`: what the schedule gives, should it be a retry; Retry-After of
/// 408, 425, 429 and 5xx lengthens it, up to kLongestRetryAfter. `now` is for a Retry-After date
/// in an answer without Date.
///
/// 2xx completes with {"status", "excerpt"?}; 410 fails with endpoint_gone; all else is retried
/// with http_<status>. The message carries the excerpt behind " and said: ", where
/// rowcrew.webhook_ended() looks for it.
Outcome judge(const HttpResponse& response, std::chrono::milliseconds wait,
              std::chrono::system_clock::time_point now);

/// The verdict on a request without an answer, told in words that name neither URL nor address;
/// nullopt when the error is not the receiver's and has to travel on.
std::optional<Outcome> judge(const Error& error, std::chrono::milliseconds wait);

}  // namespace rowcrew::webhook
