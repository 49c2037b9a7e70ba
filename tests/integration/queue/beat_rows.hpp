// What the rows of a heartbeat (sql/queries/node/beat.sql) tell beside the live nodes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "queue_bench.hpp"
#include "sql_queries.hpp"

namespace rowcrew::testing {

inline Rows beat(QueueBench& b, NodeIdentity node, std::optional<std::string> failing = std::nullopt) {
  return b.run(sql::node_beat, Params{}.add(node.node_id).add(node.epoch).add(failing));
}

/// The texts of the rows of this kind, empty ones for null; none when the heartbeat does not speak of it.
inline Ids told(const Rows& beat, std::string_view what) {
  Ids found;
  for (std::size_t i = 0; i < beat.size(); ++i) {
    if (beat.is_null(i, 0) && beat.text(i, 5) == what) found.emplace_back(beat.is_null(i, 6) ? "" : beat.text(i, 6));
  }
  return found;
}

/// It was written: the node lives.
inline bool written(const Rows& beat) { return told(beat, "server").size() == 1; }

}  // namespace rowcrew::testing
