#include "template_scan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include <rowcrew/error.hpp>

namespace rowcrew::email {
namespace {

struct Section {
  std::string name;
  std::size_t line;
};

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

class Scan {
 public:
  explicit Scan(std::string_view file) : file_(file) {}

  void take(std::string_view tag, std::size_t line) {
    if (tag.empty()) refuse(line, "{{}} names nothing");
    const auto name = std::string(trim(tag.substr(1)));
    switch (tag.front()) {
      case '!':
        return;
      case '>':
        refuse(line, "partials ({{>name}}) are not supported");
      case '=':
        refuse(line, "other delimiters ({{=…=}}) are not supported");
      case '#':
      case '^':
        if (name.empty()) refuse(line, "a section without a name");
        open_.push_back({name, line});
        names_.insert(name);
        return;
      case '/':
        return close(name, line);
      default:
        return;
    }
  }

  std::set<std::string, std::less<>> finish() {
    if (!open_.empty()) {
      refuse(open_.back().line, fmt::format("section {} is never closed", open_.back().name));
    }
    return std::move(names_);
  }

  [[noreturn]] void refuse(std::size_t line, std::string_view sentence) const {
    throw ConfigError(fmt::format("{}:{}: {}", file_, line, sentence));
  }

 private:
  void close(const std::string& name, std::size_t line) {
    if (open_.empty())
      refuse(line, fmt::format("{{{{/{}}}}} closes a section that is not open", name));
    if (open_.back().name != name) {
      refuse(line, fmt::format("{{{{/{}}}}} found, expected {{{{/{}}}}} for the section of line {}",
                               name, open_.back().name, open_.back().line));
    }
    open_.pop_back();
  }

  std::string_view file_;
  std::vector<Section> open_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace

std::set<std::string, std::less<>> scan_template(std::string_view text, std::string_view file) {
  Scan scan(file);
  std::size_t line = 1;
  std::size_t at = 0;
  const auto advance = [&](std::size_t to) {
    const auto passed = text.substr(at, to - at);
    line += static_cast<std::size_t>(std::count(passed.begin(), passed.end(), '\n'));
    at = to;
  };
  for (;;) {
    const auto open = text.find("{{", at);
    if (open == text.npos) return scan.finish();
    advance(open);
    const std::string_view end = text.substr(open).starts_with("{{{") ? "}}}" : "}}";
    const auto begin = open + end.size();
    const auto close = text.find(end, begin);
    if (close == text.npos) scan.refuse(line, "a tag is never closed");
    scan.take(trim(text.substr(begin, close - begin)), line);
    advance(close + end.size());
  }
}

}  // namespace rowcrew::email
