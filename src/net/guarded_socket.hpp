// The socket of a transfer, opened only where the egress guard allows.
#pragma once

#include <curl/curl.h>
#include <sys/socket.h>

#include <mutex>
#include <string>
#include <vector>

#include "net/egress_guard.hpp"

namespace rowcrew {

/// Judges every address that a connection is opened to, after name resolution. libcurl keeps a
/// pointer to it: it stays where it was built, as long as the handle. The guard must outlive it.
class GuardedSocket {
 public:
  explicit GuardedSocket(const EgressGuard& guard) : guard_(guard) {}
  GuardedSocket(const GuardedSocket&) = delete;
  GuardedSocket& operator=(const GuardedSocket&) = delete;

  /// Sets OPENSOCKETFUNCTION and OPENSOCKETDATA.
  CURLcode attach(CURL* easy);
  /// As attach(), and CLOSESOCKETFUNCTION with its data: only for a handle whose connection nobody
  /// takes over (CURLOPT_FORBID_REUSE), as the connection keeps the pointer.
  CURLcode attach_exclusively(CURL* easy);
  /// After attach_exclusively(): whatever comes in on the open connection counts as its end.
  void stop_reading() { shut(SHUT_RD); }
  /// After attach_exclusively(): breaks the open connection. Any thread.
  void break_off() { shut(SHUT_RDWR); }

  /// Every address that was tried was refused. An allowed one that did not answer is the better
  /// reason of the two.
  bool only_refused() const { return !refused_.empty() && !opened_; }
  /// The first address that was refused, with its port.
  const std::string& refused() const { return refused_; }

 private:
  void shut(int how);
  static int close(void* self, curl_socket_t fd) noexcept;
  static curl_socket_t open(void* self, curlsocktype purpose, curl_sockaddr* address) noexcept;

  const EgressGuard& guard_;
  std::string refused_;
  bool opened_ = false;
  bool exclusive_ = false;
  std::mutex mutex_;                    ///< of sockets_
  std::vector<curl_socket_t> sockets_;  ///< open now; filled when exclusive
};

/// Whether an end has to do with certificates or the TLS conversation.
bool is_tls_failure(CURLcode code);

}  // namespace rowcrew
