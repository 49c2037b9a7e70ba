// Log lines on their way to `rowcrew tail`: gathered from any thread, handed out in chunks that fit
// a notification, dropped and counted when nobody keeps up.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace rowcrew {

class TailBuffer {
 public:
  static constexpr std::size_t kChunkBytes = 7'900;  ///< NOTIFY carries less than 8,000
  static constexpr std::size_t kMaxLines = 2'000;

  void add(std::string_view json_line);
  /// Empty when there is nothing. Lines longer than a chunk are cut out and counted as dropped.
  std::string take_chunk();
  void clear();

 private:
  std::mutex mutex_;
  std::deque<std::string> lines_;
  std::size_t dropped_ = 0;
};

}  // namespace rowcrew
