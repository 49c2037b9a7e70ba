#include "programs/dev/dev_progress.hpp"

#include <fmt/format.h>

#include "base/escape.hpp"

namespace rowcrew::dev {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";
// A line that wraps could not be erased: a narrow terminal shows its beginning.
constexpr std::string_view kNoWrap = "\x1b[?7l";
constexpr std::string_view kWrap = "\x1b[?7h";

/// "portraits/a.jpg" of "/somewhere/portraits/a.jpg".
std::string_view last_two(std::string_view path) {
  const auto name = path.rfind('/');
  if (name == path.npos || name == 0) return path;
  const auto folder = path.rfind('/', name - 1);
  return folder == path.npos ? path : path.substr(folder + 1);
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out;
  append_escaped(out, text);
  return out;
}

std::string counts_line(const Counts& counts) {
  std::string line = fmt::format("{} found · {} waiting · {} processed · {} failed", counts.found,
                                 counts.waiting, counts.processed, counts.failed);
  if (counts.blocked > 0) line += fmt::format(" · {} blocked", counts.blocked);
  line += fmt::format(" · {} mails", counts.mails_sent);
  if (counts.mails_failed > 0) line += fmt::format(" ({} failed)", counts.mails_failed);
  line += fmt::format(" · {} webhooks verified", counts.webhooks_verified);
  if (counts.webhooks_failed > 0) line += fmt::format(" ({} failed)", counts.webhooks_failed);
  return line;
}

std::string photo_line(const EndedPhoto& photo) {
  if (photo.status != "done") {
    const std::string& code = photo.error_code.empty() ? photo.status : photo.error_code;
    return fmt::format("{} ✗ {}: {}", one_line(photo.name), one_line(code),
                       one_line(photo.error_message));
  }
  return fmt::format("{} → {} ({}×{}, {} ms)", one_line(photo.name),
                     one_line(last_two(photo.output)), photo.width, photo.height, photo.took_ms);
}

std::string ProgressView::update(const std::vector<EndedPhoto>& ended, const Counts& counts) {
  const bool changed = !shown_ || counts_line(*shown_) != counts_line(counts);
  if (ended.empty() && !changed) return {};
  std::string out;
  if (drawn_) out += kEraseLine;
  for (const EndedPhoto& photo : ended) out += photo_line(photo) + "\n";
  if (terminal_) {
    out += fmt::format("{}{}{}", kNoWrap, counts_line(counts), kWrap);
  } else if (changed) {
    out += counts_line(counts) + "\n";
  }
  drawn_ = terminal_;
  shown_ = counts;
  return out;
}

std::string ProgressView::finish() {
  if (!drawn_) return {};
  drawn_ = false;
  return "\n";
}

}  // namespace rowcrew::dev
