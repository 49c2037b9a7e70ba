#include "part_files.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace rowcrew::generation {

void remove_file(const std::string& path) {
  std::error_code ignored;  // it may not be there
  std::filesystem::remove(path, ignored);
}

bool rename_file(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  return !error;
}

bool can_be_written_beside(const std::string& target) {
  return ::access(target.substr(0, target.rfind('/') + 1).c_str(), W_OK | X_OK) == 0;
}

std::string fit_for_a_header(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c > '~'; }, '_');
  return text.substr(0, 200);
}

}  // namespace rowcrew::generation
