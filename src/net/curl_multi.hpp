// libcurl's multi-socket interface driven by the event loop: transfers become awaitable.
#pragma once

#include <curl/curl.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <unordered_map>

namespace rowcrew {

/// Open connections, idle ones included. A transfer beyond them waits inside libcurl, within its
/// own timeout.
struct CurlLimits {
  CurlLimits(long all, long same_host) : total(all), per_host(same_host) {}
  /// Three quarters of the descriptors that this process may open (at most 16384), so that a storm
  /// of transfers cannot starve the database connections; half of them for one host and port, so
  /// that one stuck host cannot starve the others.
  static CurlLimits of_process();

  long total;
  long per_host;
};

/// Event thread only. Hold it by shared_ptr: pending events refer to it weakly.
class CurlMulti : public std::enable_shared_from_this<CurlMulti> {
 public:
  CurlMulti(boost::asio::any_io_executor executor, CurlLimits limits);
  CurlMulti(const CurlMulti&) = delete;
  CurlMulti& operator=(const CurlMulti&) = delete;
  ~CurlMulti();

  /// Runs one transfer. Nullopt: `timeout` passed first. Throws operation_aborted when cancelled.
  /// However this ends, the handle has left the multi interface by then, its connection closed
  /// unless the transfer was complete. CURLOPT_PRIVATE of the handle is taken.
  boost::asio::awaitable<std::optional<CURLcode>> perform(CURL* easy,
                                                          std::chrono::milliseconds timeout);

 private:
  struct Watch;
  struct Waiter;
  class Membership;

  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void*) noexcept;
  static int on_timer(CURLM*, long timeout_ms, void* self) noexcept;
  bool watch(curl_socket_t fd, int what);
  void forget(curl_socket_t fd);
  void arm(const std::shared_ptr<Watch>& watch);
  void await_event(const std::shared_ptr<Watch>& watch, int event);
  void act(curl_socket_t fd, int events);
  static void finish(CURL* easy, CURLcode code);

  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer timer_;
  std::unordered_map<curl_socket_t, std::shared_ptr<Watch>> watches_;
  CURLM* multi_;
};

}  // namespace rowcrew
