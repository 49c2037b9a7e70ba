// Keeps the node's tables in step with rowcrew.adopted_table: new ones are served, changed ones
// described anew, and those that do not fit their description any more are held, each alone.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "runtime/node_state.hpp"

namespace rowcrew {

/// Called with every heartbeat, by one coroutine. Throws DbError as Db::run does.
class AdoptedTables {
 public:
  explicit AdoptedTables(NodeState& state) : state_(state) {}

  /// `now`: the registry in one text, another one after every change; it is read when this is not the
  /// text of the last look. True: there may be something to claim that was not there before, or a table
  /// has gone.
  boost::asio::awaitable<bool> reread(std::string now);

 private:
  boost::asio::awaitable<void> hold(std::string name, std::int64_t epoch, std::string reason);
  boost::asio::awaitable<void> hold_broken();
  boost::asio::awaitable<void> hold_changed();
  boost::asio::awaitable<bool> take(std::string name, std::int64_t epoch, bool open);
  TableState* find(std::string_view name) const;
  bool wanted(std::string_view name) const;

  NodeState& state_;
  Mono next_check_{};
  std::optional<std::string> seen_;  ///< what the registry said at the last look
};

}  // namespace rowcrew
