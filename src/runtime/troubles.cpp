#include "runtime/troubles.hpp"

namespace rowcrew {
namespace {
using namespace std::chrono_literals;
using std::chrono::milliseconds;
constexpr milliseconds kPatience = 5s;
constexpr milliseconds kLineEvery = 1min;
}  // namespace

std::optional<milliseconds> Troubles::failed(std::string_view what, Mono now) {
  auto at = failing_.find(what);
  if (at == failing_.end()) at = failing_.emplace(what, Trouble{now, now + kPatience, false}).first;
  Trouble& trouble = at->second;
  if (now < trouble.next_line) return std::nullopt;
  trouble.said = true;
  trouble.next_line = now + kLineEvery;
  return std::chrono::duration_cast<milliseconds>(now - trouble.since);
}

std::optional<milliseconds> Troubles::worked(std::string_view what, Mono now) {
  const auto at = failing_.find(what);
  if (at == failing_.end()) return std::nullopt;
  const Trouble trouble = at->second;
  failing_.erase(at);
  if (!trouble.said) return std::nullopt;
  return std::chrono::duration_cast<milliseconds>(now - trouble.since);
}

}  // namespace rowcrew
