// Which SQL function a port is, per app: as the database said last.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/ports.hpp>

#include "pg/statement_template.hpp"

namespace rowcrew {

/// What is called when an execution ends: job type and app to the statement. A value; the
/// statements are valid for the process.
class EndedPorts {
 public:
  /// Nullopt: nothing is called for this type.
  std::optional<Statement> find(std::string_view job_type, std::string_view app) const;

 private:
  friend class PortCatalog;
  using ByPort = std::map<std::string, Statement, std::less<>>;
  std::map<std::string, ByPort, std::less<>> apps_;  ///< "" is for jobs that name none
};

/// Lives as long as the process. Event thread only, but for what ended() returned.
class PortCatalog final : public Ports {
 public:
  PortCatalog() = default;

  /// Rows of node/ports. Returns a sentence per function whose signature is not its port's; then
  /// the catalog stays as it was.
  std::vector<std::string> load(const Rows& rows);

  Statement bind(const Statement& source, std::string_view app) override;
  std::shared_ptr<const EndedPorts> ended() const { return ended_; }

 private:
  /// Port to qualified function: defaults and, over them, the app's own.
  using Functions = std::map<std::string, std::string, std::less<>>;
  using Apps = std::map<std::string, Functions, std::less<>>;
  struct Generation {
    std::map<std::string, std::unique_ptr<StatementSet>, std::less<>> sets;
    std::deque<StatementSet> ended;
  };

  void publish(Apps apps);

  Apps apps_;
  // Old generations stay: their statements may be on their way. Ports change when an app is
  // installed, not more often.
  std::deque<Generation> generations_;
  std::shared_ptr<const EndedPorts> ended_ = std::make_shared<EndedPorts>();
};

}  // namespace rowcrew
