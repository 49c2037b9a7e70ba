// Which of several jobs the database refuses: pure. A statement about many was refused as a whole because
// of one row or a few (a payload that cannot be read, a constraint or a trigger of the application that
// objects). Halves of it are tried until each job that is refused stands alone: its neighbours go on.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <rowcrew/db_error.hpp>

namespace rowcrew {

/// Whether a statement about several jobs may have failed because of what one of them holds. Not what
/// passes by itself, and not what is wrong with the statement, the table or our rights.
bool tells_of_one_job(const DbError& error);

/// Whether somebody holds a row that the statement writes: it waited for as long as it may.
inline bool tells_of_held_row(const DbError& error) { return error.sqlstate() == "55P03" || error.sqlstate() == "40P01"; }

class RefusalSearch {
 public:
  /// In the order in which they are to be tried; a second mention of one is dropped.
  explicit RefusalSearch(std::vector<std::string> ids);

  bool done() const { return parts_.empty(); }
  /// What to try now, at most `most` of them (one at least). Not when done().
  std::vector<std::string> next(std::size_t most);
  /// What was tried last was not refused: taken, or nobody's to take any more.
  void passed();
  /// It was refused. The job to blame, where it was tried alone.
  std::optional<std::string> refused();

 private:
  std::vector<std::vector<std::string>> parts_;  ///< the last one is next
};

}  // namespace rowcrew
