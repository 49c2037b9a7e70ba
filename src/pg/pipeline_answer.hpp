// What comes back of a pipeline: one result per call, in order, then the mark of its end. Pure but
// for libpq's result type.
#pragma once

#include <libpq-fe.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>

namespace rowcrew {

Rows rows_of(const PGresult* result);

class PipelineAnswer {
 public:
  void expect_prepare(std::string_view statement, std::string name) {
    expected_.push_back({std::string(statement), std::move(name)});
  }
  void expect_rows(std::string_view statement) { expected_.push_back({std::string(statement), ""}); }

  /// Throws BugError of what is no answer to a statement (COPY to or from the client): the connection is of no
  /// use then.
  void take(const PGresult* result);

  /// The mark has come.
  bool complete() const { return complete_; }
  /// The first failure; everything of the pipeline was rolled back then.
  const std::optional<DbError>& error() const { return error_; }
  std::vector<Rows> rows() { return std::move(rows_); }
  /// Names that stand on the server now, whatever became of the transaction.
  const std::vector<std::string>& prepared() const { return prepared_; }

 private:
  struct Expected {
    std::string statement;
    std::string prepares;  ///< empty: rows
  };
  void fail(const PGresult* result, const std::string& statement);

  std::deque<Expected> expected_;
  std::vector<Rows> rows_;
  std::vector<std::string> prepared_;
  std::optional<DbError> error_;
  bool complete_ = false;
};

}  // namespace rowcrew
