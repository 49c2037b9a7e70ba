#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include <rowcrew/error.hpp>
#include <rowcrew/settings.hpp>

#include "base/config.hpp"
#include "base/settings_tree.hpp"
#include "base/units.hpp"

namespace rowcrew {
namespace {

/// "a, b or c".
std::string either(const std::vector<std::string>& words) {
  if (words.size() < 2) return words.empty() ? "nothing" : words.front();
  const auto last = words.end() - 1;
  return fmt::format("{} or {}", fmt::join(words.begin(), last, ", "), *last);
}

/// The parsed value, or the sentence about it. `Scanned` is a variant of value and Complaint.
template <class T, class Scanned>
T in_range(std::string_view full, const FoundText& found, const Scanned& scanned, T min, T max,
           std::string_view form, std::string_view range) {
  if (const auto* complaint = std::get_if<Complaint>(&scanned)) {
    refuse(full, found, *complaint, fmt::format("{}{}", form, range));
  }
  const T value = std::get<T>(scanned);
  if (value < min || value > max) refuse(full, found, "is out of range", range);
  return value;
}

/// What an environment variable or a flag says for a list: "a, b".
std::vector<std::string> split_commas(std::string_view text) {
  const auto trimmed = [](std::string_view part) {
    const auto first = part.find_first_not_of(' ');
    if (first == std::string_view::npos) return std::string_view{};
    return part.substr(first, part.find_last_not_of(' ') - first + 1);
  };
  std::vector<std::string> items;
  if (trimmed(text).empty()) return items;
  for (;;) {
    const auto comma = text.find(',');
    items.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::string shown_list(const std::vector<std::string>& items) {
  std::vector<std::string> words;
  for (const std::string& item : items) words.push_back(shown(item, item.size()));
  return fmt::format("[{}]", fmt::join(words, ", "));
}

}  // namespace

Settings::Settings(std::shared_ptr<Tree> tree, std::string prefix)
    : tree_(std::move(tree)), prefix_(std::move(prefix)) {}

std::string Settings::full(std::string_view key) const {
  return prefix_.empty() ? std::string(key) : fmt::format("{}.{}", prefix_, key);
}

Settings Settings::section(std::string_view name) const {
  std::string path = full(name);
  const FileNode* in_file = tree_->node(path);
  if (in_file != nullptr && in_file->kind != FileNode::Kind::section &&
      in_file->kind != FileNode::Kind::empty) {
    throw ConfigError(fmt::format("{} (line {}): a value was found, expected a section of keys",
                                  path, in_file->line));
  }
  tree_->sections.insert(path);
  return {tree_, std::move(path)};
}

std::vector<std::string> Settings::names() const {
  std::vector<std::string> found;
  if (const FileNode* in_file = tree_->node(prefix_)) found = in_file->children;
  // A flag may name what the file does not: "queues.mail.slots" gives queues the name "mail".
  const std::string above = full("");
  for (const auto& [key, value] : tree_->flags) {
    if (!key.starts_with(above)) continue;
    const std::string_view rest = std::string_view(key).substr(above.size());
    const bool covered = std::any_of(found.begin(), found.end(), [&](const std::string& name) {
      return rest == name || rest.starts_with(name + ".");
    });
    if (!covered) found.emplace_back(rest.substr(0, rest.find('.')));
  }
  // So may a variable, in lower case, of a section at the top. Deeper down it does not tell where one
  // name ends and the next begins.
  const bool at_top = !prefix_.empty() && prefix_.find('.') == std::string::npos;
  const std::string variables = environment_name(above);
  for (const auto& [variable, value] : tree_->env) {
    if (!at_top || !variable.starts_with(variables) || variable == variables) continue;
    const bool covered = std::any_of(found.begin(), found.end(), [&](const std::string& name) {
      return variable == environment_name(full(name)) || variable.starts_with(environment_name(full(name) + "."));
    });
    if (!covered) found.push_back(lower_case(std::string_view(variable).substr(variables.size())));
  }
  for (const std::string& name : found) tree_->mark(full(name));
  return found;
}

bool Settings::has(std::string_view key) const {
  const std::string path = full(key);
  tree_->mark(path);
  return tree_->override_of(path).has_value() || tree_->node(path) != nullptr;
}

std::string Settings::text(std::string_view key, std::string_view fallback) const {
  const std::string path = full(key);
  tree_->mark(path);
  const auto found = tree_->find(path, "text");
  std::string value = found ? found->text : std::string(fallback);
  tree_->show(path, shown(value, value.size()));
  return value;
}

std::string Settings::text(std::string_view key) const {
  const std::string path = full(key);
  tree_->mark(path);
  const auto found = tree_->find(path, "text");
  if (!found) throw ConfigError(fmt::format("{}: missing, expected a value", path));
  tree_->show(path, shown(found->text, found->text.size()));
  return found->text;
}

std::int64_t Settings::integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                               std::int64_t max) const {
  const std::string path = full(key);
  tree_->mark(path);
  const std::string range = fmt::format("{} to {}", min, max);
  const auto found = tree_->find(path, "a whole number, " + range);
  const std::int64_t value =
      found ? in_range(path, *found, scan_integer(found->text), min, max, "", range) : fallback;
  tree_->show(path, std::to_string(value));
  return value;
}

bool Settings::flag(std::string_view key, bool fallback) const {
  const std::string path = full(key);
  tree_->mark(path);
  const auto found = tree_->find(path, "true or false");
  bool value = fallback;
  if (found) {
    const auto scanned = scan_flag(found->text);
    if (!scanned) refuse(path, *found, "is not a flag", "true or false");
    value = *scanned;
  }
  tree_->show(path, value ? "true" : "false");
  return value;
}

std::chrono::milliseconds Settings::duration(std::string_view key,
                                             std::chrono::milliseconds fallback,
                                             std::chrono::milliseconds min,
                                             std::chrono::milliseconds max) const {
  const std::string path = full(key);
  tree_->mark(path);
  const std::string range = fmt::format("{} to {}", format_duration(min), format_duration(max));
  constexpr std::string_view kForm = "a duration such as 30s, ";
  const auto found = tree_->find(path, fmt::format("{}{}", kForm, range));
  const auto value =
      found ? in_range(path, *found, scan_duration(found->text), min, max, kForm, range) : fallback;
  tree_->show(path, format_duration(value));
  return value;
}

std::uint64_t Settings::bytes(std::string_view key, std::uint64_t fallback, std::uint64_t min,
                              std::uint64_t max) const {
  const std::string path = full(key);
  tree_->mark(path);
  const std::string range = fmt::format("{} to {}", format_bytes(min), format_bytes(max));
  constexpr std::string_view kForm = "bytes or a size such as 64KiB, ";
  const auto found = tree_->find(path, fmt::format("{}{}", kForm, range));
  const std::uint64_t value =
      found ? in_range(path, *found, scan_bytes(found->text), min, max, kForm, range) : fallback;
  tree_->show(path, format_bytes(value));
  return value;
}

std::vector<std::string> Settings::texts(std::string_view key,
                                         const std::vector<std::string>& fallback) const {
  constexpr std::string_view kExpected = "a list such as [a, b]";
  const std::string path = full(key);
  tree_->mark(path);
  std::vector<std::string> value = fallback;
  const FileNode* in_file = tree_->node(path);
  if (const auto found = tree_->override_of(path)) {
    value = split_commas(found->text);
  } else if (in_file != nullptr && in_file->kind == FileNode::Kind::list) {
    value = in_file->items;
  } else if (const auto scalar = tree_->find(path, kExpected)) {
    refuse(path, *scalar, "is a single value", kExpected);
  }
  tree_->show(path, shown_list(value));
  return value;
}

std::string Settings::choice(std::string_view key, std::string_view fallback,
                             const std::vector<std::string>& choices) const {
  const std::string path = full(key);
  tree_->mark(path);
  const auto found = tree_->find(path, either(choices));
  std::string value = found ? found->text : std::string(fallback);
  if (found && std::find(choices.begin(), choices.end(), value) == choices.end()) {
    refuse(path, *found, "is not a choice", either(choices));
  }
  tree_->show(path, shown(value, value.size()));
  return value;
}

}  // namespace rowcrew
