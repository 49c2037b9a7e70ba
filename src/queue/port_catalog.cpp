#include "queue/port_catalog.hpp"

#include <fmt/format.h>

#include <rowcrew/error.hpp>

#include "sql_queries.hpp"

namespace rowcrew {
namespace {

constexpr std::string_view kEnded = "_ended";

/// A job type may hold "." and "-", a function's name in SQL had better not.
std::string port_of(std::string_view job_type) {
  std::string port(job_type);
  for (char& c : port) {
    if (c == '.' || c == '-') c = '_';
  }
  return port.append(kEnded);
}

}  // namespace

std::optional<Statement> EndedPorts::find(std::string_view job_type, std::string_view app) const {
  auto of_app = apps_.find(app);
  if (of_app == apps_.end()) of_app = apps_.find("");  // an app that went: the defaults
  if (of_app == apps_.end() || of_app->second.empty()) return std::nullopt;
  const auto port = of_app->second.find(port_of(job_type));
  if (port == of_app->second.end()) return std::nullopt;
  return port->second;
}

std::vector<std::string> PortCatalog::load(const Rows& rows) {
  std::vector<std::string> faults;
  Apps apps;
  Functions defaults;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!rows.is_null(i, 3)) faults.emplace_back("port " + std::string(rows.text(i, 3)));
    const bool of_app = !rows.is_null(i, 0);
    Functions& functions = of_app ? apps[std::string(rows.text(i, 0))] : defaults;
    if (rows.is_null(i, 2)) continue;
    functions[std::string(rows.text(i, 2))] = quote_qualified(rows.text(i, 1), rows.text(i, 2));
  }
  if (!faults.empty()) return faults;
  for (auto& [app, functions] : apps) functions.insert(defaults.begin(), defaults.end());
  apps[""] = apps.size() == 1 ? apps.begin()->second : defaults;
  if (apps != apps_ || generations_.empty()) publish(std::move(apps));
  return faults;
}

void PortCatalog::publish(Apps apps) {
  apps_ = std::move(apps);
  Generation& generation = generations_.emplace_back();
  auto ended = std::make_shared<EndedPorts>();
  for (const auto& [app, functions] : apps_) {
    std::map<std::string, std::string, std::less<>> values;
    EndedPorts::ByPort& by_port = ended->apps_[app];
    for (const auto& [port, function] : functions) {
      values["port:" + port] = function;
      if (!port.ends_with(kEnded)) continue;
      StatementSet& set = generation.ended.emplace_back(std::map<std::string, std::string, std::less<>>{{"ended", function}}, function);
      by_port.emplace(port, set.render(sql::call_ended));
    }
    // The suffix tells the prepared statements of apps and generations apart.
    generation.sets.emplace(app, std::make_unique<StatementSet>(
        std::move(values), fmt::format("{}#{}", app, generations_.size())));
  }
  ended_ = std::move(ended);
}

Statement PortCatalog::bind(const Statement& source, std::string_view app) {
  if (generations_.empty()) throw TransientError("ports_unread", "ports: not read from the database yet");
  auto& sets = generations_.back().sets;
  const auto set = sets.find(app);
  if (set == sets.end()) {
    throw PermanentError("unknown_app", fmt::format("app \"{}\": not registered, expected a name in rowcrew.app", app));
  }
  return set->second->render(source);
}

}  // namespace rowcrew
