#include "cli/adoption.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include <rowcrew/db_error.hpp>
#include <rowcrew/error.hpp>

#include "base/system_clock.hpp"
#include "cli/audit.hpp"
#include "cli/pause.hpp"
#include "pg/pool.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kLockTimeout = 25ms;  // with the change itself below 50 ms
constexpr std::int64_t kPages = 2'048;  // 16 MB

std::string cell(const Rows& rows, std::size_t row, std::size_t column) { return std::string(rows.text(row, column)); }

}  // namespace

Adoption::Adoption(PoolOptions connection, std::ostream& out, std::chrono::milliseconds patience)
    : connection_(std::move(connection)), out_(out), patience_(patience) {
  connection_.statement_timeout = 10min;
}

std::optional<AdoptedTable> Adoption::find(const std::string& name, const std::string& schema, const std::string& table) {
  Rows rows;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(sql::cli_adopt_found, Params{}.add(name).add(schema).add(table)); });
  if (rows.empty()) return std::nullopt;
  return AdoptedTable{cell(rows, 0, 0), cell(rows, 0, 1), cell(rows, 0, 2)};
}

std::int64_t Adoption::report(const AdoptionMap& map) {
  Rows facts;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) { facts = tx.exec(sql::cli_adopt_inspect, Params{}.add(map.object.dump())); });
  bool refused = false;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    refused = refused || facts.text(i, 0) == "refuse";
    out_ << fmt::format("{:<7} {}\n", facts.text(i, 0), facts.text(i, 1));
    if (!facts.text(i, 2).empty()) out_ << fmt::format("        {};\n", facts.text(i, 2));
  }
  if (refused) throw PermanentError("adopt_refused", fmt::format("adopt: {} cannot be adopted like this, nothing was changed", shown_table(map)));
  Rows words;
  run_once(connection_, TxMode::autocommit,
           [&](Tx& tx) { words = tx.exec(sql::cli_adopt_words, Params{}.add(map.schema).add(map.table).add(map.status_column)); });
  std::int64_t running = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool known = std::find(map.words.begin(), map.words.end(), words.text(i, 0)) != map.words.end();
    out_ << fmt::format("{:<7} {} rows with {} = '{}'{}\n", known ? "count" : "warn", words.integer(i, 1), map.status_column, words.text(i, 0),
                        known ? "" : ", a word that the map does not know: they are left alone");
    if (words.text(i, 0) == map.running_word) running = words.integer(i, 1);
  }
  return running;
}

void Adoption::preview(const AdoptionMap& map) {
  Rows rows;
  try {
    run_once(connection_, TxMode::autocommit, [&](Tx& tx) {
      rows = tx.exec(sql::cli_adopt_preview, Params{}.add(map.schema).add(map.table).add(map.object.dump()).add(3));
    });
  } catch (const DbError& error) {
    // The columns are right by now, so it is the one thing of the map that is SQL.
    if (error.error_class() == ErrorClass::transient) throw;
    throw PermanentError("adopt_payload", fmt::format("payload: \"{}\" cannot be read: {}", map.object.value("payload", "to_jsonb(q)"), error.what()));
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out_ << fmt::format("claim   {} as {} from queue {}, payload {}\n", rows.text(i, 0), rows.text(i, 1), rows.text(i, 2), rows.text(i, 3));
  }
  if (rows.empty()) out_ << "claim   nothing is due now\n";
}

void Adoption::require_owner(std::string_view command, const std::string& name) {
  Rows rows;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(sql::cli_adopted_owner, Params{}.add(name)); });
  if (rows.empty()) return;
  throw PermanentError("adopt_owner", fmt::format("{}: only its owner may drop the triggers of {}: run it as {}, or GRANT {} TO {}", command,
                                                  rows.text(0, 0), rows.text(0, 1), rows.text(0, 1), rows.text(0, 2)));
}

void Adoption::set_mode(const std::string& name, const std::string& mode, const std::optional<std::string>& reason) {
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) { tx.exec(sql::cli_adopt_mode, Params{}.add(name).add(mode).add(reason)); });
}

std::string Adoption::shadow(const AdoptionMap& map) {
  std::string name;
  run_once(connection_, TxMode::transaction, [&](Tx& tx) {
    name = cell(tx.exec(sql::cli_adopt_record, Params{}.add(map.object.dump())), 0, 0);
    tx.exec(sql::cli_adopt_mode, Params{}.add(name).add("shadow").add(std::nullopt));
    audit(tx, "table.shadow", name, {{"table", shown_table(map)}});
  });
  return name;
}

std::string Adoption::serve(const AdoptionMap& map, bool requeue_running) {
  if (const auto known = find("", map.schema, map.table)) require_owner("adopt", known->name);
  std::string name;
  run_once(connection_, TxMode::transaction, [&](Tx& tx) {
    name = cell(tx.exec(sql::cli_adopt_record, Params{}.add(map.object.dump())), 0, 0);
    tx.exec(sql::cli_adopt_create, Params{}.add(name));
    audit(tx, "table.adopt", name, {{"table", shown_table(map)}, {"map", map.object}});
  });
  change_triggers(name, sql::cli_adopt_attach, Params{}.add(name));
  // From here on every new job is filed by the triggers; what was there before is filed now.
  std::int64_t filed = 0;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) { filed = tx.exec(sql::cli_adopt_file, Params{}.add(name)).integer(0, 0); });
  out_ << fmt::format("filed   {} waiting jobs\n", filed);
  if (requeue_running) out_ << fmt::format("requeue {} running jobs wait again\n", by_pages(name, sql::cli_adopt_requeue));
  set_mode(name, "serve", std::nullopt);
  return name;
}

std::int64_t Adoption::by_pages(const std::string& name, const Statement& statement) {
  std::int64_t done = 0;
  std::int64_t pages = 0;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) { pages = tx.exec(sql::cli_adopt_pages, Params{}.add(name)).integer(0, 0); });
  for (std::int64_t first = 0; first < pages; first += kPages) {
    run_once(connection_, TxMode::autocommit,
             [&](Tx& tx) { done += tx.exec(statement, Params{}.add(name).add(first).add(kPages)).integer(0, 0); });
  }
  return done;
}

std::int64_t Adoption::change_triggers(const std::string& name, const Statement& statement, const Params& params) {
  PoolOptions brief = connection_;
  brief.lock_timeout = kLockTimeout;
  SystemClock clock;
  const Mono until = clock.mono() + patience_;
  for (int tries = 1;; ++tries) {
    try {
      std::int64_t answer = 0;
      run_once(brief, TxMode::transaction, [&](Tx& tx) {
        const Rows rows = tx.exec(statement, params);
        if (!rows.text(0, 0).empty()) answer = rows.integer(0, 0);
      });
      if (tries > 1) out_ << fmt::format("lock    got at try {}\n", tries);
      return answer;
    } catch (const DbError& error) {
      if (error.sqlstate() != "55P03" && error.sqlstate() != "40P01") throw;
    }
    if (clock.mono() > until) {
      throw TransientError("adopt_locked", fmt::format("adopt: the table is in use without a pause{}; try again when they have ended", blockers(name)));
    }
    pause_for(std::min(20ms * tries, 500ms));
  }
}

std::string Adoption::blockers(const std::string& name) {
  Rows rows;
  run_once(connection_, TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(sql::cli_adopt_blockers, Params{}.add(name)); });
  std::string text;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += fmt::format("{} pid {} ({}) for {} s", i == 0 ? " by" : ",", rows.text(i, 0), rows.text(i, 1), rows.text(i, 2));
  }
  return text;
}

void Adoption::give_back(const std::string& name, std::chrono::milliseconds wait, bool force) {
  require_owner("unadopt", name);
  set_mode(name, "held", "being given back");
  SystemClock clock;
  const Mono until = clock.mono() + wait;
  for (;;) {
    const std::int64_t left = change_triggers(name, sql::cli_unadopt_remove, Params{}.add(name).add(force));
    if (left == 0 || force) break;
    if (clock.mono() > until) {
      throw TransientError("adopt_running", fmt::format("unadopt: {} jobs of {} still run or have not been rescued; it is held, nothing else was changed", left, name));
    }
    pause_for(200ms);
  }
  run_once(connection_, TxMode::transaction, [&](Tx& tx) { audit(tx, "table.unadopt", name, {{"force", force}}); });
}

}  // namespace rowcrew::cli
