#include <fmt/format.h>

#include <algorithm>

#include "base/escape.hpp"
#include "cli/doctor/check.hpp"

namespace rowcrew::cli::doctor {
namespace {

using nlohmann::ordered_json;

/// Of one check in the text; --json has all.
constexpr std::size_t kMostTold = 20;

std::string_view word(Severity severity) { return severity == Severity::problem ? "problem" : "warning"; }

/// Empty: it can be done.
std::string missing(const Check& check, const Facts& facts) {
  for (const std::string_view name : check.needs) {
    if (facts.read.contains(name)) continue;
    const auto why = facts.unread.find(name);
    return why == facts.unread.end() ? "was not read" : why->second;
  }
  return {};
}

void examine(const Check& check, const Facts& facts, Diagnosis& diagnosis) {
  Chart chart;
  const std::string reason = missing(check, facts);
  if (!reason.empty()) {
    chart.unchecked(reason);
    ++diagnosis.blind;
  } else {
    check.judge(facts, chart);
  }
  if (chart.found.empty() && chart.reasons.empty()) ++diagnosis.fine;
  for (Finding& finding : chart.found) {
    finding.check = check.name;
    diagnosis.findings.push_back(std::move(finding));
  }
  for (std::string& why : chart.reasons) diagnosis.unchecked.push_back({std::string(check.name), std::move(why)});
}

void append_line(std::string& text, std::string_view head, std::string_view line) {
  text += head;
  append_prose(text, line);  // names of queues, roles and triggers are what strangers wrote
  text += '\n';
}

/// Those of one reason in one line.
void append_unchecked(std::string& text, const std::vector<Unchecked>& unchecked) {
  std::vector<std::pair<std::string, std::string>> lines;  // reason, checks
  for (const Unchecked& one : unchecked) {
    const auto at = std::find_if(lines.begin(), lines.end(), [&](const auto& line) { return line.first == one.reason; });
    if (at == lines.end()) {
      lines.emplace_back(one.reason, one.check);
    } else {
      at->second += ", " + one.check;
    }
  }
  for (const auto& [reason, checks] : lines) append_line(text, "not checked: ", checks + ": " + reason);
}

}  // namespace

std::vector<Check> all_checks() {
  std::vector<Check> all;
  for (const auto& area : {server_checks(), schema_checks(), rights_checks(), fleet_checks(), tables_checks(), connection_checks()}) {
    all.insert(all.end(), area.begin(), area.end());
  }
  return all;
}

bool Diagnosis::has(Severity severity) const {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) { return finding.severity == severity; });
}

Diagnosis diagnose(const Facts& facts, const std::vector<std::string>& skip) {
  Diagnosis diagnosis;
  for (const Check& check : all_checks()) {
    if (std::find(skip.begin(), skip.end(), check.name) != skip.end()) continue;
    ++diagnosis.checks;
    examine(check, facts, diagnosis);
  }
  std::stable_sort(diagnosis.findings.begin(), diagnosis.findings.end(), [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
  return diagnosis;
}

std::string diagnosis_text(const Diagnosis& diagnosis, bool quiet) {
  std::string text;
  std::map<std::string, std::size_t> told;
  for (const Finding& finding : diagnosis.findings) {
    if (++told[finding.check] > kMostTold) continue;
    append_line(text, fmt::format("{}  {}: ", word(finding.severity), finding.check), finding.text);
    append_line(text, "         ", finding.mend);
  }
  for (const auto& [check, count] : told) {
    if (count > kMostTold) text += fmt::format("{}: {} more, which --json tells\n", check, count - kMostTold);
  }
  if (quiet && (!text.empty() || !diagnosis.sees_little())) return text;
  append_unchecked(text, diagnosis.unchecked);
  return text + fmt::format("{} checks, {} fine\n", diagnosis.checks, diagnosis.fine);
}

std::string diagnosis_json(const Diagnosis& diagnosis) {
  ordered_json findings = ordered_json::array();
  for (const Finding& finding : diagnosis.findings) {
    findings.push_back({{"check", finding.check}, {"severity", word(finding.severity)}, {"text", finding.text}, {"mend", finding.mend}});
  }
  ordered_json unchecked = ordered_json::array();
  for (const Unchecked& one : diagnosis.unchecked) unchecked.push_back({{"check", one.check}, {"reason", one.reason}});
  const ordered_json all = {{"checks", diagnosis.checks}, {"fine", diagnosis.fine}, {"findings", findings}, {"not_checked", unchecked}};
  return all.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace rowcrew::cli::doctor
