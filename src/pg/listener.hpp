// LISTEN on a connection of its own, watched by the event loop.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/service.hpp"
#include "pg/pool.hpp"

namespace rowcrew {

struct ListenerOptions {
  PoolOptions connection;             ///< url, password, timeouts; threads and queue are not used
  std::vector<std::string> channels;  ///< plain identifiers
  std::chrono::milliseconds self_test{60'000};  ///< how often a silent connection is probed
  std::function<void()> crowded = [] {};        ///< the server has no connection left for it: others give way
  std::function<void()> lost = [] {};           ///< it listened, and hears nothing any more until on_ready
};

/// A notification is a hint: it may be late, doubled or lost. After every (re)connect `on_ready`
/// is called once, after LISTEN has been acknowledged, so that the owner looks once for what it
/// missed. Both callbacks run on the event thread and must not throw. The connection never holds a
/// transaction. Blocking connects happen on a thread of the listener's own. It must be destroyed
/// before the io_context that runs it.
class Listener final : public Service {
 public:
  using OnNotify = std::function<void(std::string_view channel, std::string_view payload)>;

  Listener(ListenerOptions options, OnNotify on_notify, std::function<void()> on_ready, Log& log,
           Clock& clock, Random& random);
  ~Listener() override;

  std::string_view name() const override { return "listener"; }
  boost::asio::awaitable<void> run() override;
  bool connected() const;
  /// Asks the connection whether it still stands, now: another one to the same server has just been
  /// found lost. That is what finds a peer that fell silent; the self-test is for a node that has no
  /// other connection. Event thread only.
  void probe();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace rowcrew
