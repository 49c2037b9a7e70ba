// The files that one report has room for, out of however many a folder holds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "folder_scan.hpp"

namespace rowcrew::folder {

struct Candidate {
  std::string name;
  Version version;
  std::string problem;  ///< as in Found
};

inline bool is_older(const Candidate& a, const Candidate& b) {
  return a.version.mtime_ns != b.version.mtime_ns ? a.version.mtime_ns < b.version.mtime_ns
                                                  : a.name < b.name;
}

/// The oldest files that there is room for, however many are offered.
class Oldest {
 public:
  explicit Oldest(std::size_t room) : room_(room), files_(is_older) {}

  void offer(Candidate candidate) {
    files_.push(std::move(candidate));
    if (files_.size() <= room_) return;
    files_.pop();
    overflow_ = true;
  }
  bool overflow() const { return overflow_; }
  std::vector<Candidate> take() {
    std::vector<Candidate> sorted;
    for (; !files_.empty(); files_.pop()) sorted.push_back(files_.top());
    std::reverse(sorted.begin(), sorted.end());
    return sorted;
  }

 private:
  std::size_t room_;
  std::priority_queue<Candidate, std::vector<Candidate>, decltype(&is_older)> files_;
  bool overflow_ = false;
};

}  // namespace rowcrew::folder
