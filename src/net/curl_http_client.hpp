// HttpClient on libcurl's multi interface, driven by the event loop: thousands of transfers in
// flight on one thread, cancelled at once.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include <rowcrew/http_client.hpp>
#include "net/egress_guard.hpp"

namespace rowcrew {

struct CurlLimits;

/// Must be created, used and destroyed on the event thread; outlives every send(). HTTP(S) only,
/// TLS 1.2 or newer verified against the system's roots, no proxy, no redirects, no cookies, no
/// decompression, no user information in URLs. The guard judges every address that a connection is
/// opened to, after name resolution.
class CurlHttpClient final : public HttpClient {
 public:
  /// Limits its connections by what the process may open (curl_multi.hpp).
  CurlHttpClient(boost::asio::any_io_executor executor, EgressGuard guard);
  CurlHttpClient(boost::asio::any_io_executor executor, EgressGuard guard, CurlLimits limits);
  ~CurlHttpClient() override;
  boost::asio::awaitable<HttpResponse> send(HttpRequest request) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace rowcrew
