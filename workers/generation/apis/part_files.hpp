// Parts beside a target, which the providers of this node come and go with: short calls of a local disk.
#pragma once

#include <string>

namespace rowcrew::generation {

void remove_file(const std::string& path);
/// False when there is no such file, or it cannot be.
bool rename_file(const std::string& from, const std::string& to);
/// Whether a file can be made in the folder of `target`.
bool can_be_written_beside(const std::string& target);
/// What a header may hold, 200 bytes at most.
std::string fit_for_a_header(std::string text);

/// Removes a file when its block is left, also by cancellation.
class Temporary {
 public:
  explicit Temporary(const std::string& path) : path_(path) {}
  ~Temporary() { remove_file(path_); }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

 private:
  const std::string& path_;
};

}  // namespace rowcrew::generation
