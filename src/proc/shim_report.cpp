#include "proc/shim_report.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

void take_line(ShimReport& report, std::string_view line) {
  const auto space = line.find(' ');
  if (space == std::string_view::npos) return;
  const std::string_view word = line.substr(0, space);
  const std::string_view digits = line.substr(space + 1);
  int number = 0;
  const auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || at != digits.data() + digits.size()) return;
  if (word == "pid") {
    report.program = number;
  } else if (word == "exit") {
    report.exit_code = number;
  } else if (word == "signal") {
    report.signal = number;
  } else if (word == "timeout") {
    report.timed_out = true;
  } else if (word == "lease") {
    report.outlived_lease = true;
  } else if (word == "chdir" || word == "limit" || word == "exec" || word == "spawn") {
    report.failed_step = word;
    report.failure = number;
  }
}

bool may_pass(int error) { return is_shortage(error) || error == ETXTBSY || error == EIO || error == EINTR; }

}  // namespace

bool is_shortage(int error) { return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE; }

ShimReport parse_shim_report(std::string_view text) {
  ShimReport report;
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    take_line(report, text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return report;
}

void throw_if_not_run(const ShimReport& report, std::string_view program,
                      std::string_view directory) {
  if (report.failed_step.empty()) return;
  const std::string why = std::strerror(report.failure);
  const std::string subject = "child " + std::string(program) + ": ";
  // Of exec a shortage may be what the entry's own limits leave: such a job would be put off for ever.
  if (report.failed_step == "spawn" && is_shortage(report.failure)) {
    throw TransientError("child_shortage", subject + "spawn failed: " + why);
  }
  if (report.failed_step == "spawn" || report.failed_step == "limit" || may_pass(report.failure)) {
    throw TransientError("child_spawn", subject + report.failed_step + " failed: " + why);
  }
  if (report.failed_step == "chdir") {
    throw PermanentError("child_bad_request",
                         subject + "directory " + std::string(directory) + ": " + why);
  }
  if (report.failure == ENOENT || report.failure == ENOTDIR) {
    throw PermanentError("child_not_found",
                         subject + "no such program, or its interpreter is missing");
  }
  throw PermanentError("child_not_executable", subject + why);
}

}  // namespace rowcrew
