// The finished picture on its way to disk: whole under its final name, or not there at all.
#pragma once

#include <string>
#include <string_view>

#include "descriptor.hpp"

namespace rowcrew::image {

/// The temporary file beside the target. Made at once, so that a full or forbidden folder shows
/// before the work, and so that a later run can tell us to stop by removing it: a writer that was
/// frozen finds its part gone and changes nothing. Removed by the destructor, and by a signal that
/// ends the process (SIGKILL apart; the next run removes that one).
///
/// `part` must be "<folder of target>/.<name of target>.<word>.part". Throws Failure: bad_request,
/// disk_full and output_unwritable.
class OutputFile {
 public:
  OutputFile(std::string part, std::string target);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Writes everything and makes it durable, still under the temporary name.
  void write(std::string_view bytes);
  /// Gives it its final name, which may exist. Durable when this returns.
  void publish();
  /// Leaves it under its temporary name: for whoever made that name.
  void keep();

 private:
  std::string part_;
  std::string target_;
  Descriptor fd_;
};

/// Removes the parts of earlier runs for this target; what cannot be removed stays. The others of the run of
/// `part`, ".<name of target>.<run>[-<word>].part", stay too; without one all go.
void remove_parts_of(const std::string& target, const std::string& part = {});

}  // namespace rowcrew::image
