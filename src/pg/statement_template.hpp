// Statement files are templates: {table}, {ready}, {parked}, {claim}, {port:generation_done} are
// rendered once at start, schema-qualified and quoted, per job table and per app.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>

#include <rowcrew/db.hpp>

namespace rowcrew {

/// "job" -> "\"job\"" with quotes doubled.
std::string quote_identifier(std::string_view name);
/// "rowcrew", "job_queue" -> "rowcrew"."job_queue" with quotes doubled.
std::string quote_qualified(std::string_view schema, std::string_view name);

/// Owns rendered texts and hands out Statements whose views stay valid with it.
class StatementSet {
 public:
  /// `values`: placeholder name -> final SQL text. `suffix` is appended to the statement's name
  /// (with suffix "job_queue", "claim" -> "claim:job_queue"; empty: unchanged), so that prepared
  /// names differ per table.
  StatementSet(std::map<std::string, std::string, std::less<>> values, std::string suffix);

  /// Throws BugError for a placeholder without a value or an unclosed brace. "{{" is a literal "{";
  /// a "}" outside of a placeholder stands for itself. Rendered once per name; the reference stays
  /// valid with this object.
  const Statement& render(const Statement& source);

  /// From now on render() fills in these values, and takes `instead` of a source of that name. What it
  /// handed out before stays valid; `suffix` must not have been used before.
  void replace(std::map<std::string, std::string, std::less<>> values, std::string suffix,
               std::map<std::string_view, Statement, std::less<>> instead);

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::string suffix_;
  std::deque<std::string> names_;
  std::deque<std::string> texts_;
  std::map<std::string, Statement, std::less<>> rendered_;
  std::deque<std::map<std::string, Statement, std::less<>>> earlier_;  ///< for who holds one of them
  std::map<std::string_view, Statement, std::less<>> instead_;
};

}  // namespace rowcrew
