// What one sees while `rowcrew dev` runs. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "programs/dev/dev_data.hpp"

namespace rowcrew::dev {

/// "14 found · 2 waiting · …", one line without its end.
std::string counts_line(const Counts& counts);

/// "a.jpg → portraits/a-portrait_pro-3fa9c1.jpg (1600×2000, 412 ms)" or "b.jpg ✗ code: sentence",
/// one line whatever the name holds.
std::string photo_line(const EndedPhoto& photo);

/// A stranger's text as part of a line: what could break or repaint it is escaped.
std::string one_line(std::string_view text);

/// Decides what to write, knowing what was written last.
class ProgressView {
 public:
  /// `terminal`: the counts are redrawn in place; otherwise they get a line per change.
  explicit ProgressView(bool terminal) : terminal_(terminal) {}

  /// Bytes to be written; empty when nothing has changed.
  std::string update(const std::vector<EndedPhoto>& ended, const Counts& counts);
  /// Leaves the counts where they stand; what follows begins on a line of its own.
  std::string finish();

 private:
  bool terminal_;
  bool drawn_ = false;
  std::optional<Counts> shown_;
};

}  // namespace rowcrew::dev
