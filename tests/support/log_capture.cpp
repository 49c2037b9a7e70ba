#include "support/log_capture.hpp"

namespace rowcrew::testing {

std::string LogCapture::Line::field(std::string_view key) const {
  for (const auto& [name, value] : fields) {
    if (name == key) return value;
  }
  return {};
}

void LogCapture::write(LogLevel level, std::string_view event, std::span<const LogField> fields,
                       std::string_view message) {
  Line line{level, std::string(event), {}, std::string(message)};
  for (const LogField& field : fields) line.fields.emplace_back(field.key, field.value);
  const std::lock_guard lock(mutex_);
  lines_.push_back(std::move(line));
}

std::vector<LogCapture::Line> LogCapture::lines() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

std::vector<LogCapture::Line> LogCapture::lines(std::string_view event) const {
  const std::lock_guard lock(mutex_);
  std::vector<Line> found;
  for (const Line& line : lines_) {
    if (line.event == event) found.push_back(line);
  }
  return found;
}

}  // namespace rowcrew::testing
