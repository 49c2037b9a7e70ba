#include "programs/dev/dev_database.hpp"

#include <iostream>
#include <sstream>

#include <rowcrew/error.hpp>

#include "cli/cli_program.hpp"
#include "sql_dev.hpp"

namespace rowcrew::dev {
namespace {

Counts read_counts(Tx& tx, const std::string& since) {
  const Rows rows = tx.exec(sql::progress, Params{}.add(since));
  Counts counts;
  std::size_t column = 0;
  for (std::int64_t* value :
       {&counts.found, &counts.waiting, &counts.processed, &counts.failed, &counts.blocked,
        &counts.mails_sent, &counts.mails_failed, &counts.webhooks_delivered,
        &counts.webhooks_failed, &counts.messages_waiting}) {
    *value = rows.integer(0, column++);
  }
  counts.polled = rows.boolean(0, column);
  return counts;
}

std::vector<EndedPhoto> read_ended(Tx& tx, const std::string& since, const std::string& after) {
  const Rows rows = tx.exec(sql::ended, Params{}.add(since).add(after));
  std::vector<EndedPhoto> photos(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    EndedPhoto& photo = photos[row];
    std::size_t column = 0;
    for (std::string* text : {&photo.id, &photo.name, &photo.status, &photo.error_code,
                              &photo.error_message, &photo.output, &photo.width, &photo.height}) {
      *text = rows.text(row, column++);
    }
    photo.took_ms = rows.integer(row, column++);
    photo.ended_at = rows.text(row, column);
  }
  return photos;
}

std::vector<PhotoOutcome> read_outcomes(Tx& tx, const std::string& since) {
  const Rows rows = tx.exec(sql::outcomes, Params{}.add(since));
  std::vector<PhotoOutcome> photos(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    PhotoOutcome& photo = photos[row];
    std::size_t column = 0;
    for (std::string* text : {&photo.name, &photo.status, &photo.error_code, &photo.output,
                              &photo.mail, &photo.webhook, &photo.message_id}) {
      *text = rows.text(row, column++);
    }
    photo.told_before = rows.boolean(row, column);
  }
  return photos;
}

}  // namespace

std::string DevDatabase::migrate() const {
  std::istringstream nothing;
  std::ostringstream said;
  const int status =
      cli::run_cli({"migrate", "--app", "demo", "--database", connection_.url}, cli::commands(),
                   {{}, nothing, said, std::cerr, false});
  if (status != 0) throw TransientError("migrate", "migrate: failed, see above");
  return said.str();
}

Joined DevDatabase::join(const std::string& inbox, const std::string& portraits) const {
  Joined joined;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) {
    const Rows rows = tx.exec(sql::join, Params{}.add(inbox).add(portraits));
    joined.account = rows.text(0, 0);
    joined.since = rows.text(0, 1);
    joined.secret = rows.text(0, 2);
  });
  return joined;
}

void DevDatabase::set_endpoint(const Joined& joined, const std::string& url) const {
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) {
    tx.exec(sql::endpoint, Params{}.add(joined.account).add(url).add(joined.secret));
  });
}

Look DevDatabase::look(const Joined& joined, const std::string& after, bool with_outcomes) const {
  Look look;
  run_once(connection_, TxMode::transaction, [&](Tx& tx) {
    if (with_outcomes) look.outcomes = read_outcomes(tx, joined.since);
    look.ended = read_ended(tx, joined.since, after);
    look.counts = read_counts(tx, joined.since);
  });
  return look;
}

std::vector<StageTime> DevDatabase::stages() const {
  std::vector<StageTime> stages;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) {
    const Rows rows = tx.exec(sql::stages);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      stages.push_back({std::string(rows.text(row, 0)), rows.integer(row, 1), rows.integer(row, 2),
                        rows.integer(row, 3)});
    }
  });
  return stages;
}

Speed DevDatabase::speed(const Joined& joined) const {
  Speed speed;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) {
    const Rows rows = tx.exec(sql::speed, Params{}.add(joined.since));
    speed.photos = rows.integer(0, 0);
    speed.took_ms = rows.integer(0, 1);
  });
  return speed;
}

}  // namespace rowcrew::dev
