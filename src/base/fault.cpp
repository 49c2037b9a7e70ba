#include <rowcrew/fault.hpp>

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

std::string_view environment_spec() {
  const char* const spec = std::getenv("ROWCREW_FAULT");
  return spec == nullptr ? std::string_view{} : std::string_view(spec);
}

FaultPlan& process_plan() {
  static FaultPlan plan(environment_spec());
  return plan;
}

/// Cuts off the part before `separator`.
std::string_view take(std::string_view& rest, char separator) {
  const auto end = rest.find(separator);
  const auto part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return part;
}

}  // namespace

FaultPlan::FaultPlan(std::string_view spec) {
  while (!spec.empty()) {
    const std::string_view entry = take(spec, ',');
    std::string_view rest = entry;
    const std::string_view name = take(rest, ':');
    const std::string_view count = rest.empty() ? "1" : take(rest, ':');
    Point point{0, rest == "throw" ? Action::fail : Action::kill};
    const auto [end, error] =
        std::from_chars(count.data(), count.data() + count.size(), point.left);
    if (name.empty() || error != std::errc{} || end != count.data() + count.size() ||
        point.left == 0 || (!rest.empty() && rest != "throw")) {
      throw ConfigError(
          fmt::format("ROWCREW_FAULT: \"{}\", expected <point>[:<pass>[:throw]]", entry));
    }
    points_.insert_or_assign(std::string(name), point);
  }
}

FaultPlan::Action FaultPlan::pass(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto at = points_.find(name);
  if (at == points_.end() || at->second.left == 0) return Action::none;
  return --at->second.left == 0 ? at->second.action : Action::none;
}

void pass_fault_point(std::string_view name) {
  switch (process_plan().pass(name)) {
    case FaultPlan::Action::none:
      return;
    case FaultPlan::Action::kill:
      ::kill(::getpid(), SIGKILL);
      return;
    case FaultPlan::Action::fail:
      throw TransientError("fault", fmt::format("fault point {}: armed by ROWCREW_FAULT", name));
  }
}

std::string armed_fault_points() {
#ifdef ROWCREW_FAULTS
  process_plan();
  return std::string(environment_spec());
#else
  return {};
#endif
}

}  // namespace rowcrew
