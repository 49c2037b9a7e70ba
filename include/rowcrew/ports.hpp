// Ports: the SQL functions through which a kind reads and writes an application's own tables. The
// table rowcrew.port lists them; defaults live in the schema rowcrew, an application overrides one by
// a function of the same name and signature in its own schema.
#pragma once

#include <string_view>

#include <rowcrew/db.hpp>

namespace rowcrew {

class Ports {
 public:
  virtual ~Ports() = default;

  /// `source` with every "{port:<name>}" replaced by the schema-qualified function of the app:
  /// its own, or the default. `app`: Job::app; empty means the only registered app, or the defaults
  /// alone when there are several or none. The statement stays valid for the process.
  ///
  /// Event thread only. Throws BugError("unknown_port") for a port that nobody defines and
  /// PermanentError("unknown_app") for an app that is not registered.
  virtual Statement bind(const Statement& source, std::string_view app) = 0;
};

}  // namespace rowcrew
