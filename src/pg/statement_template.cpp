#include "pg/statement_template.hpp"

#include <fmt/format.h>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

void append_quoted(std::string& out, std::string_view identifier) {
  out += '"';
  for (const char c : identifier) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

using Values = std::map<std::string, std::string, std::less<>>;

const std::string& value_of(const Values& values, std::string_view key, const Statement& source) {
  const auto found = values.find(key);
  if (found != values.end()) return found->second;
  throw BugError(
      "statement_template",
      fmt::format("statement {}: placeholder \"{{{}}}\" has no value", source.name, key));
}

std::string fill(const Statement& source, const Values& values) {
  std::string out;
  std::string_view rest = source.text;
  for (;;) {
    const auto open = rest.find('{');
    out += rest.substr(0, open);
    if (open == std::string_view::npos) return out;
    rest.remove_prefix(open + 1);
    if (rest.starts_with('{')) {
      out += '{';
      rest.remove_prefix(1);
      continue;
    }
    const auto close = rest.find('}');
    if (close == std::string_view::npos) {
      throw BugError("statement_template",
                     fmt::format("statement {}: \"{{\" without \"}}\"", source.name));
    }
    out += value_of(values, rest.substr(0, close), source);
    rest.remove_prefix(close + 1);
  }
}

}  // namespace

std::string quote_identifier(std::string_view name) {
  std::string out;
  append_quoted(out, name);
  return out;
}

std::string quote_qualified(std::string_view schema, std::string_view name) {
  std::string out;
  append_quoted(out, schema);
  out += '.';
  append_quoted(out, name);
  return out;
}

StatementSet::StatementSet(Values values, std::string suffix)
    : values_(std::move(values)), suffix_(std::move(suffix)) {}

void StatementSet::replace(Values values, std::string suffix, std::map<std::string_view, Statement, std::less<>> instead) {
  values_ = std::move(values);
  suffix_ = std::move(suffix);
  instead_ = std::move(instead);
  earlier_.push_back(std::move(rendered_));
  rendered_.clear();
}

const Statement& StatementSet::render(const Statement& source) {
  const auto known = rendered_.find(source.name);
  if (known != rendered_.end()) return known->second;
  const auto other = instead_.find(source.name);
  std::string text = fill(other == instead_.end() ? source : other->second, values_);
  std::string name(source.name);
  if (!suffix_.empty()) name += ":" + suffix_;
  const Statement rendered{names_.emplace_back(std::move(name)),
                           texts_.emplace_back(std::move(text))};
  return rendered_.emplace(source.name, rendered).first->second;
}

}  // namespace rowcrew
