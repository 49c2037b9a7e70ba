// Reads metrics as strictly as the one who scrapes them: what it would refuse fails the test.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace rowcrew::testing {

/// Series as they stand in the text, and their values.
inline std::map<std::string, double> parse_exposition(const std::string& text) {
  static const std::regex kHead(R"(# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+))");
  static const std::regex kSample(R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*")*\})? (\S+))re");
  std::map<std::string, double> series;
  std::set<std::string> families;
  std::string family;
  std::string type;
  REQUIRE((text.empty() || text.back() == '\n'));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    CAPTURE(line);
    std::smatch match;
    if (std::regex_match(line, match, kHead)) {
      if (match[1] == "HELP") {
        family = match[2];
        CHECK(families.insert(family).second);  // its samples stand together
        type.clear();
      } else {
        CHECK(match[2] == family);
        type = match[3];
      }
      continue;
    }
    REQUIRE(std::regex_match(line, match, kSample));
    const std::string name = match[1];
    const bool ours = name == family || (type == "histogram" && (name == family + "_bucket" || name == family + "_sum" || name == family + "_count"));
    CHECK(ours);
    CHECK_FALSE(type.empty());
    CHECK(series.emplace(name + match[2].str(), std::stod(match[3])).second);  // once
  }
  return series;
}

}  // namespace rowcrew::testing
