// How the program ends when it has no picture to show.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace rowcrew::image {

inline constexpr int kBadInput = 3;        ///< exit status: repeating is pointless
inline constexpr int kWaitingMayHelp = 4;  ///< exit status: disk full, I/O error

/// `code` is a word for programs, what() a sentence for the person whose picture it is.
class Failure : public std::runtime_error {
 public:
  Failure(std::string error_code, const std::string& sentence, int exit = kBadInput)
      : std::runtime_error(sentence), code_(std::move(error_code)), exit_status_(exit) {}

  const std::string& code() const noexcept { return code_; }
  int exit_status() const noexcept { return exit_status_; }

 private:
  std::string code_;
  int exit_status_;
};

}  // namespace rowcrew::image
