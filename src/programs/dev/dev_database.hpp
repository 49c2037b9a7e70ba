// What `rowcrew dev` asks the database of its demo app. Blocking, a connection per call; each call
// throws DbError.
#pragma once

#include <string>
#include <vector>

#include "pg/pool.hpp"
#include "programs/dev/dev_data.hpp"

namespace rowcrew::dev {

struct Joined {
  std::string account;
  std::string since;   ///< the database's time of this start
  std::string secret;  ///< a new one, for webhooks; never logged
};

/// What one look shows. `outcomes` are older than `counts`, never newer: whoever sees all ended in
/// the one sees their messages in the other.
struct Look {
  Counts counts;
  std::vector<EndedPhoto> ended;
  std::vector<PhotoOutcome> outcomes;  ///< only when asked for
};

class DevDatabase {
 public:
  explicit DevDatabase(PoolOptions connection) : connection_(std::move(connection)) {}

  /// Migrates and installs the demo app; returns what `rowcrew migrate` says. Throws as that does.
  std::string migrate() const;
  /// The studio with its folders. Repeatable.
  Joined join(const std::string& inbox, const std::string& portraits) const;
  /// The one endpoint of `account`. Repeatable.
  void set_endpoint(const Joined& joined, const std::string& url) const;

  /// `after`: the ended_at of the last photo that is known, or `since`.
  Look look(const Joined& joined, const std::string& after, bool with_outcomes) const;
  std::vector<StageTime> stages() const;
  Speed speed(const Joined& joined) const;

 private:
  PoolOptions connection_;
};

}  // namespace rowcrew::dev
