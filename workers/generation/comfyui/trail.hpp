// What one execution leaves to the next about a job's runs on a server, and the names that all of them
// derive from the job alone: pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rowcrew::generation::comfyui {

/// A lower-case UUID that is a function of the text.
std::string uuid_of(std::string_view text);
/// 0 to 2^32 - 1, which every node takes.
std::uint32_t seed_of(std::string_view text);

/// The checkpoint. A run is one submission of the graph; they are counted, so that each has a name of its own and whoever
/// looks for run n finds the one that was submitted, though the answer, the node or this checkpoint was lost.
struct Trail {
  Trail() = default;
  std::string server;     ///< base URL; empty: run n has not been sent anywhere
  std::int64_t run = 1;
  bool accepted = false;  ///< the server has been seen to have run n
  std::int64_t ran_ms = 0;       ///< how long run n has been seen running
  std::int64_t booked = 0;       ///< the last run that stands in the ledger
  std::int64_t out_of_memory = 0;
  std::int64_t interrupted = 0;
  std::int64_t broken = 0;       ///< ended by a server that needs a restart
  std::int64_t server_errors = 0;

  /// The run is over, and the next one anybody's.
  void next();
  /// The job has failed: should somebody let it run again, it begins anew with the next run.
  void forget_faults();
};

/// Anything unreadable is an empty trail.
Trail parse_trail(std::string_view checkpoint);
std::string to_checkpoint(const Trail& trail);

/// The names of one job: `key` is its idempotency key. The target is a part of them, so that jobs of two databases with
/// the same numbers on one server do not take each other's pictures.
std::string prompt_id(const std::string& key, const std::string& target, std::int64_t run);
std::string client_id(const std::string& key, const std::string& target);
/// Of the file that is uploaded.
std::string upload_name(const std::string& key, const std::string& target);

}  // namespace rowcrew::generation::comfyui
