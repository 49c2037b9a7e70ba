// Requests that get no answer to what they asked. Pure.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include <rowcrew/error.hpp>
#include <rowcrew/http_client.hpp>

#include "net/http_server.hpp"

namespace rowcrew::web {

/// `code` is a stable word for programs, the message a sentence for people.
struct WebRefusal : PermanentError {
  WebRefusal(int http_status, std::string code, const std::string& message, HttpHeaders extra = {})
      : PermanentError(std::move(code), message), status(http_status), headers(std::move(extra)) {}

  int status;
  HttpHeaders headers;  ///< WWW-Authenticate, Allow
};

/// Of every answer below /api/: none is kept by a cache or taken for anything but what it is.
HttpHeaders api_headers();

/// {"error":code,"message":sentence}.
ServerResponse refusal_response(const WebRefusal& refusal);

/// What a failure means for whoever looks at the page: 400 a value that the database or a check refused, 403 a right that the
/// connection's role lacks, 404 not found, 503 the database is away, too slow or not set up. `looking`: nothing was to be changed.
/// Anything else is thrown on.
WebRefusal judge_web_failure(const std::exception_ptr& error, bool looking);

}  // namespace rowcrew::web
