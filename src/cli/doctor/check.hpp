// What "rowcrew doctor" looks at: facts that were read go in, findings come out. Pure.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::cli::doctor {

/// What was read. Keys of `read`: the files of sql/queries/doctor, as they answer; "schedules": [{"name", "late_ms"}], those
/// that are overdue; "connection": {"pooled", "direct", "remote": [host]}; "program": {"schema"}.
struct Facts {
  std::map<std::string, nlohmann::json, std::less<>> read;
  std::map<std::string, std::string, std::less<>> unread;  ///< why not: "needs …"

  const nlohmann::json& of(std::string_view name) const { return read.find(name)->second; }
};

enum class Severity { problem, warning };

struct Finding {
  std::string check;
  Severity severity = Severity::problem;
  std::string text;  ///< what is wrong: what it costs
  std::string mend;  ///< a command, a line of SQL, or what to do
};

struct Unchecked {
  std::string check;
  std::string reason;
};

/// What one check tells.
class Chart {
 public:
  void problem(std::string text, std::string mend) { found.push_back({{}, Severity::problem, std::move(text), std::move(mend)}); }
  void warning(std::string text, std::string mend) { found.push_back({{}, Severity::warning, std::move(text), std::move(mend)}); }
  /// Some of it could not be looked at.
  void unchecked(std::string reason) { reasons.push_back(std::move(reason)); }

  std::vector<Finding> found;
  std::vector<std::string> reasons;
};

struct Check {
  std::string_view name;     ///< "area.what"; the area is the file: server_checks.cpp
  std::string_view summary;  ///< for --list and the manual
  std::vector<std::string_view> needs;  ///< of Facts::read
  void (*judge)(const Facts& facts, Chart& chart);
};

std::span<const Check> connection_checks();
std::span<const Check> fleet_checks();
std::span<const Check> rights_checks();
std::span<const Check> schema_checks();
std::span<const Check> server_checks();
std::span<const Check> tables_checks();

/// All of them, in the order in which findings of the same severity are told.
std::vector<Check> all_checks();

struct Diagnosis {
  std::vector<Finding> findings;  ///< problems first
  std::vector<Unchecked> unchecked;
  std::size_t checks = 0;
  std::size_t fine = 0;  ///< looked at, and nothing found
  std::size_t blind = 0;  ///< of which nothing could be looked at

  bool has(Severity severity) const;
  /// Whoever sees so little must not take it for health.
  bool sees_little() const { return blind * 2 > checks; }
};

/// `skip`: names of checks that are left out and not counted.
Diagnosis diagnose(const Facts& facts, const std::vector<std::string>& skip);

/// Findings, then what was not checked, then a line "27 checks, 25 fine"; `quiet`: findings alone, unless there is none because it sees little.
std::string diagnosis_text(const Diagnosis& diagnosis, bool quiet);
/// One object, with a line end.
std::string diagnosis_json(const Diagnosis& diagnosis);

}  // namespace rowcrew::cli::doctor
