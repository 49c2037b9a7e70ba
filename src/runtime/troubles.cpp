#include "runtime/troubles.hpp"

namespace rowcrew {
namespace {
using namespace std::chrono_literals;
using std::chrono::milliseconds;
constexpr milliseconds kPatience = 5s;
constexpr milliseconds kLineEvery = 1min;
constexpr milliseconds kTriedEvery = 2min;
}  // namespace

std::optional<milliseconds> Troubles::failed(std::string_view what, Mono now, std::string_view why) {
  auto at = failing_.find(what);
  if (at == failing_.end()) at = failing_.emplace(what, Trouble{now, now + kPatience, false, now, {}}).first;
  Trouble& trouble = at->second;
  trouble.last = now;
  trouble.why = why;
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

std::vector<Troubles::Lasting> Troubles::lasting(Mono now) const {
  std::vector<Lasting> all;
  for (const auto& [what, trouble] : failing_) {
    if (trouble.said && now - trouble.last < kTriedEvery) all.push_back({what, std::chrono::duration_cast<milliseconds>(now - trouble.since), trouble.why});
  }
  return all;
}

}  // namespace rowcrew
