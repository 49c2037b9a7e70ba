#include "base/settings_tree.hpp"

#include <fmt/format.h>

#include <rowcrew/error.hpp>

#include "base/units.hpp"

namespace rowcrew {
namespace {

std::string_view kind_name(FileNode::Kind kind) {
  switch (kind) {
    case FileNode::Kind::empty:
      return "no value";
    case FileNode::Kind::scalar:
      return "a single value";
    case FileNode::Kind::list:
      return "a list";
    case FileNode::Kind::section:
      return "a section";
    case FileNode::Kind::foreign:
      return "a list of lists or sections";
  }
  return "something else";
}

}  // namespace

const FileNode* Settings::Tree::node(std::string_view full) const {
  const auto at = nodes.find(full);
  return at == nodes.end() ? nullptr : &at->second;
}

std::optional<FoundText> Settings::Tree::override_of(const std::string& full) const {
  if (const auto flag = flags.find(full); flag != flags.end()) {
    return FoundText{flag->second, " (from the command line)"};
  }
  const std::string name = environment_name(full);
  if (const auto variable = env.find(name); variable != env.end()) {
    return FoundText{variable->second, fmt::format(" (from {})", name)};
  }
  return std::nullopt;
}

std::optional<FoundText> Settings::Tree::find(const std::string& full,
                                              std::string_view expected) const {
  if (auto found = override_of(full)) return found;
  const FileNode* in_file = node(full);
  if (in_file == nullptr) return std::nullopt;
  if (in_file->kind != FileNode::Kind::scalar) {
    throw ConfigError(fmt::format("{} (line {}): {} was found, expected {}", full, in_file->line,
                                  kind_name(in_file->kind), expected));
  }
  return FoundText{in_file->text, {}};
}

std::string environment_name(std::string_view full) {
  std::string name = "ROWCREW_";
  for (const char c : full) {
    if (c >= 'a' && c <= 'z') {
      name += static_cast<char>(c - 'a' + 'A');
    } else if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
      name += c;
    } else {
      name += '_';
    }
  }
  return name;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

void refuse(std::string_view full, const FoundText& found, std::string_view complaint,
            std::string_view expected) {
  throw ConfigError(fmt::format("{}{}: {} {}, expected {}", full, found.where, shown(found.text),
                                complaint, expected));
}

}  // namespace rowcrew
