// Outgoing HTTP. One implementation carries all of it (libcurl's multi interface on the event
// thread); every connection passes the egress guard on the resolved address.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace rowcrew {

/// Names are compared without case; repeated names are allowed.
using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  HttpRequest(std::string verb, std::string target)
      : method(std::move(verb)), url(std::move(target)) {}

  std::string method;  ///< upper case
  std::string url;     ///< http or https, absolute, without user information
  HttpHeaders headers;
  std::string body;
  /// A file whose bytes follow `body`, as long as it is when the request begins; `tail` follows them. So
  /// many megabytes pass through without being held in memory. Empty: none.
  std::string file;
  std::string tail;
  /// Where the body of an answer of 2xx goes, instead of HttpResponse::body: a path that names nothing yet,
  /// made with the node's umask. Gone again when send() throws. Empty: no file.
  std::string save_to;
  /// From DNS to the last byte. Clip it to what is left of the job's deadline.
  std::chrono::milliseconds timeout{std::chrono::seconds{30}};
  /// A longer body ends the transfer with PermanentError("http_body_too_large").
  std::size_t max_response_bytes = std::size_t{1} << 20;
};

struct HttpResponse {
  HttpResponse() = default;
  int status = 0;
  HttpHeaders headers;
  std::string body;
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;

  /// Sends one request and reads the whole answer. Event thread only. Redirects are not followed.
  /// Only GET, HEAD and OPTIONS may be sent again, when a kept connection ends before an answer.
  /// A response of any status is a success of this call: judging 4xx and 5xx is the caller's
  /// business.
  ///
  /// Throws TransientError ("http_dns", "http_connect", "http_tls": nothing was sent; "http_timeout",
  /// "http_transfer": it may have been processed); PermanentError ("http_bad_url", "http_bad_method", "http_bad_header",
  /// "egress_refused", "http_body_too_large"); boost::system::system_error (operation_aborted) when
  /// cancelled, with the transfer dropped. With files also PermanentError("http_file": `file` cannot be read,
  /// `save_to` cannot be made) and TransientError("http_disk": reading or writing one failed midway).
  ///
  /// Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS. Host, Content-Length,
  /// Transfer-Encoding, TE, Trailer, Connection, Upgrade and Expect are the client's to set.
  virtual boost::asio::awaitable<HttpResponse> send(HttpRequest request) = 0;
};

}  // namespace rowcrew
