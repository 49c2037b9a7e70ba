#include "runtime/tail_buffer.hpp"

namespace rowcrew {

void TailBuffer::add(std::string_view json_line) {
  const std::lock_guard lock(mutex_);
  if (lines_.size() >= kMaxLines || json_line.size() >= kChunkBytes - 100) {
    ++dropped_;
    return;
  }
  lines_.emplace_back(json_line);
}

std::string TailBuffer::take_chunk() {
  const std::lock_guard lock(mutex_);
  std::string chunk;
  if (dropped_ > 0) {
    chunk = R"({"event":"tail.dropped","lines":)" + std::to_string(dropped_) + "}\n";
    dropped_ = 0;
  }
  while (!lines_.empty() && chunk.size() + lines_.front().size() + 1 <= kChunkBytes) {
    chunk += lines_.front();
    chunk += '\n';
    lines_.pop_front();
  }
  return chunk;
}

void TailBuffer::clear() {
  const std::lock_guard lock(mutex_);
  lines_.clear();
  dropped_ = 0;
}

}  // namespace rowcrew
