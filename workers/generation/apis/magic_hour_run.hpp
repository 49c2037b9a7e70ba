// How far a headshot has come, kept in its job's checkpoint: pure.
#pragma once

#include <cstdint>
#include <string>

#include <rowcrew/job.hpp>

namespace rowcrew::generation {

struct HeadshotRun {
  HeadshotRun() = default;
  /// `checkpoint`: JSON as it was kept, or empty. What another provider left counts as none.
  explicit HeadshotRun(const std::string& checkpoint);
  std::string to_json() const;

  /// A call that makes a headshot was sent by an earlier execution and nobody saw its answer; or a node died with this job and nothing
  /// says whether there was one.
  bool may_be_orphaned(const Job& job) const { return creating || (id.empty() && job.crashes > crashes); }

  std::string file_path;  ///< of the source, as it was uploaded; empty: not yet
  std::string id;         ///< of the headshot; empty: none is under way
  std::int64_t credits = -1;
  bool creating = false;
  int made = 0;      ///< calls for a headshot
  int lost = 0;      ///< of them those that nobody knows the end of
  int in_vain = 0;   ///< and those that ended without a picture, though another might have one
  int crashes = 0;   ///< of the job, when this was written
};

}  // namespace rowcrew::generation
