// A TCP proxy in front of the test server that can refuse, fall silent, or cut connections at a
// chosen moment: what networks and dying machines do.
#pragma once

#include <memory>
#include <string>

namespace rowcrew::testing {

/// Runs on a thread of its own; every call returns when it has taken effect.
class PgProxy {
 public:
  /// Listens on a loopback port and forwards to the server of `url`.
  explicit PgProxy(const std::string& url);
  ~PgProxy();
  PgProxy(const PgProxy&) = delete;
  PgProxy& operator=(const PgProxy&) = delete;

  /// The same database through the proxy.
  const std::string& url() const;

  /// How many connections have been taken so far.
  unsigned accepted() const;
  /// How often the server has said something so far: about once per round trip.
  unsigned answers() const;

  /// Closes the port and every connection: a server that is down.
  void refuse();
  /// Opens the port again, the same one.
  void admit();
  /// Takes connections and bytes and passes nothing on: a machine that froze.
  void freeze();
  /// The same for the connections that there are: a middlebox that lost its table.
  void forget();
  /// Answers every new connection with a refused password.
  void refuse_login();
  /// Closes every connection when the next bytes come from a client, which the server never sees.
  void cut_at_request();
  /// Closes every connection when the server answers next; the client never sees it.
  void cut_at_answer();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rowcrew::testing
