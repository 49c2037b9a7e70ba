// Whether connections still lead to the database that a process began with.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace rowcrew {

/// A database that is dropped and restored from a dump answers where it did before, with jobs that are not meant to
/// run there; and a node asks about that when it starts. Shared by all connections of a process, on any thread.
class SameDatabase {
 public:
  /// `told` tells a database from its copies; nullopt, it holds nothing of ours. The first one that is told counts.
  bool is(std::optional<std::string> told) {
    const std::lock_guard lock(mutex_);
    if (first_) return told == first_;
    first_ = std::move(told);
    return true;
  }
  /// Whether one has been told.
  bool known() const {
    const std::lock_guard lock(mutex_);
    return first_.has_value();
  }

 private:
  mutable std::mutex mutex_;
  std::optional<std::string> first_;
};

}  // namespace rowcrew
