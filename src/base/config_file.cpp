#include "base/config_file.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

#include <rowcrew/error.hpp>

#include "base/escape.hpp"
#include "base/read_file.hpp"
#include "base/units.hpp"

namespace rowcrew {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20;
// An alias may repeat or even contain its own anchor; nobody writes these by hand.
constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxKeys = 20'000;

class Flattener {
 public:
  Flattener(const std::string& path, Settings::Tree& tree) : path_(path), tree_(tree) {}

  void flatten(const YAML::Node& root) {
    if (root.IsNull() || !root.IsDefined()) return;
    if (!root.IsMap()) refuse(root, "a list or a single value, expected a map of sections");
    FileNode top;
    top.kind = FileNode::Kind::section;
    top.children = add_children(root, "", 0);
    tree_.nodes.insert_or_assign("", std::move(top));
  }

 private:
  [[noreturn]] void refuse(const YAML::Node& at, std::string_view sentence) const {
    throw ConfigError(fmt::format("{}: line {}, column {}: {}", path_, at.Mark().line + 1,
                                  at.Mark().column + 1, sentence));
  }

  std::vector<std::string> add_children(const YAML::Node& map, const std::string& prefix,
                                        int depth) {
    std::vector<std::string> names;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar() || entry.first.Scalar().empty()) {
        refuse(entry.first, "a key that is no word, expected a name");
      }
      const std::string name = text_of(entry.first);
      const std::string full = prefix.empty() ? name : prefix + "." + name;
      if (tree_.nodes.contains(full)) {
        refuse(entry.first, fmt::format("{} is given twice, expected once", full));
      }
      names.push_back(name);
      add(full, entry.first.Mark().line + 1, entry.second, depth);
    }
    return names;
  }

  void add(const std::string& full, int line, const YAML::Node& value, int depth) {
    if (depth > kMaxDepth) refuse(value, "nested too deeply, expected 16 levels at most");
    if (tree_.order.size() > kMaxKeys) refuse(value, "too many keys, expected 20000 at most");
    tree_.order.push_back(full);
    tree_.nodes.emplace(full, FileNode{});  // claims the name before the children are read
    FileNode node;
    node.line = line;
    if (value.IsScalar()) {
      node.kind = FileNode::Kind::scalar;
      node.text = text_of(value);
    } else if (value.IsSequence()) {
      read_list(value, node);
    } else if (value.IsMap()) {
      node.kind = FileNode::Kind::section;
      node.children = add_children(value, full, depth + 1);
    }
    tree_.nodes.insert_or_assign(full, std::move(node));
  }

  /// YAML can write a NUL ("\0"), and half of what texts are handed to would end there. Of a file in Latin-1 the
  /// database would refuse every statement that carries a name out of it, for as long as the node runs.
  std::string text_of(const YAML::Node& scalar) const {
    if (scalar.Scalar().find('\0') != std::string::npos) refuse(scalar, "a NUL character, expected text");
    if (!is_utf8(scalar.Scalar())) refuse(scalar, "text that is no UTF-8, expected a file in UTF-8");
    return scalar.Scalar();
  }

  void read_list(const YAML::Node& list, FileNode& node) const {
    node.kind = FileNode::Kind::list;
    for (const auto& item : list) {
      if (!item.IsScalar()) node.kind = FileNode::Kind::foreign;
      if (item.IsScalar()) node.items.push_back(text_of(item));
    }
  }

  const std::string& path_;
  Settings::Tree& tree_;
};

/// Where each document begins, and nothing else of it.
class DocumentStarts final : public YAML::EventHandler {
 public:
  std::vector<YAML::Mark> starts;
  void OnDocumentStart(const YAML::Mark& mark) override { starts.push_back(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

/// LoadAll() does not end where a comma stands before or behind a document: it makes empty ones of it until the memory
/// is used up.
void check_one_document(const std::string& path, const std::string& content) {
  std::istringstream stream(content);
  YAML::Parser parser(stream);
  DocumentStarts documents;
  while (documents.starts.size() < 2 && parser.HandleNextDocument(documents)) {
  }
  if (documents.starts.size() < 2) return;
  const YAML::Mark& second = documents.starts.back();
  throw ConfigError(fmt::format("{}: line {}, column {}: another YAML document, or a comma outside of all, expected one document", path,
                                second.line + 1, second.column + 1));
}

}  // namespace

void read_config_file(const std::string& path, Settings::Tree& tree) {
  const auto read = read_file(path, kMaxFileBytes);
  if (!read.ok()) {
    throw ConfigError(fmt::format("{}: {}, expected a readable file", path, read.reason));
  }
  try {
    check_one_document(path, read.content);
    Flattener(path, tree).flatten(YAML::Load(read.content));
  } catch (const YAML::Exception& error) {
    throw ConfigError(fmt::format("{}: line {}, column {}: {}, expected YAML", path,
                                  error.mark.line + 1, error.mark.column + 1, error.msg));
  }
}

}  // namespace rowcrew
