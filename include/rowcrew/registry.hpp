// Job type -> handler. Filled once at start by workers/registry.cpp, read-only afterwards.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/error.hpp>
#include <rowcrew/handler.hpp>

namespace rowcrew {

class Registry {
 public:
  /// Throws BugError when the job type is taken.
  void add(std::string_view job_type, std::unique_ptr<Handler> handler) {
    const auto [at, added] = handlers_.emplace(std::string(job_type), std::move(handler));
    if (!added) throw BugError("registry", "job type " + at->first + " is registered twice");
  }

  /// Null when no kind serves this type.
  Handler* find(std::string_view job_type) const {
    const auto at = handlers_.find(job_type);
    return at == handlers_.end() ? nullptr : at->second.get();
  }

  std::vector<std::string> job_types() const {
    std::vector<std::string> names;
    for (const auto& [name, handler] : handlers_) names.push_back(name);
    return names;
  }

 private:
  std::map<std::string, std::unique_ptr<Handler>, std::less<>> handlers_;
};

}  // namespace rowcrew
