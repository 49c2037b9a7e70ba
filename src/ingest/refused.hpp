// A request that gets anything but 202, on its way to the one place that logs and answers it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <rowcrew/error.hpp>
#include <rowcrew/http_client.hpp>
#include <rowcrew/log.hpp>

namespace rowcrew {

/// `code` is a stable word for programs, the message a sentence for people; both are sent, neither
/// may hold a key or a payload.
struct Refused : PermanentError {
  Refused(int http_status, std::string code, const std::string& message, HttpHeaders extra = {})
      : PermanentError(std::move(code), message), status(http_status), headers(std::move(extra)) {}

  int status;
  HttpHeaders headers;  ///< WWW-Authenticate, Allow, Retry-After
  std::vector<LogField> cause;  ///< for the log alone
};

}  // namespace rowcrew
