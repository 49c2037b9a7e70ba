// The application of a run: enqueues by plain INSERT on connections of its own. Blocking; throws
// DbError.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "pg/blocking_connection.hpp"
#include "programs/bench/start_times.hpp"

namespace rowcrew::bench {

/// The two ways to write a row into a table, of sql/bench.
struct Writes {
  Statement one;   ///< $1 payload
  Statement many;  ///< $1 payloads jsonb[]
};
Writes to_job_queue();
Writes to_bare_table();

class Sender {
 public:
  /// Opens the connections.
  Sender(const PoolOptions& connection, std::int64_t connections, Writes writes);

  /// The job of that number, on the first connection.
  void one(std::int64_t job) { send(*connections_.front(), job, 1); }
  /// Jobs [0, jobs) one by one, on all connections at a time. Returns seconds.
  double one_by_one(std::int64_t jobs);
  /// On the first connection, `batch` rows a statement. Returns seconds.
  double in_bulk(std::int64_t jobs, std::int64_t batch);
  /// `rate` a second on the first connection, `batch` at a time (1: the form for one row), as long as
  /// `go_on` says so. Returns when the call that enqueued each job had returned; may be fewer.
  std::vector<Instant> paced(std::int64_t jobs, std::int64_t rate, std::int64_t batch, const std::function<bool()>& go_on);

 private:
  void send(BlockingConnection& connection, std::int64_t first, std::int64_t count);

  Writes writes_;
  std::vector<std::unique_ptr<BlockingConnection>> connections_;
};

}  // namespace rowcrew::bench
