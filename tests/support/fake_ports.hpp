// Ports without a database: every port is the default of the schema rowcrew.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include <rowcrew/ports.hpp>

namespace rowcrew::testing {

class FakePorts final : public Ports {
 public:
  Statement bind(const Statement& source, std::string_view app) override {
    apps.emplace(app);
    std::string& text = texts_[std::string(source.name)];
    text = source.text;
    for (std::size_t at = text.find("{port:"); at != std::string::npos; at = text.find("{port:")) {
      text.erase(text.find('}', at), 1);
      text.replace(at, 6, "rowcrew.");
    }
    return Statement{source.name, text};
  }

  std::set<std::string> apps;  ///< that were asked for

 private:
  std::map<std::string, std::string> texts_;
};

}  // namespace rowcrew::testing
