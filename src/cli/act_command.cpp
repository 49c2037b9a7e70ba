// rowcrew cancel, rowcrew redrive: one job by its id, or many by a filter, page by page, each page a
// transaction; what was interrupted is continued by its number.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/failure.hpp"
#include "cli/job_filter.hpp"
#include "cli/job_id.hpp"
#include "pg/backoff.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::int64_t kPage = 500;
constexpr std::int64_t kMaxRate = 100'000;
/// How often a page is tried: about five seconds beside the waits for locks and connections.
constexpr int kTries = 7;

/// A value that the database refused is the user's mistake, and its message names the field.
Rows ask(const PoolOptions& connection, const Statement& statement, const Params& params) {
  Rows rows;
  try {
    run_once(connection, TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(statement, params); });
  } catch (const DbError& e) {
    if (e.sqlstate() == "22023") throw UsageError(e.what());
    throw;
  }
  return rows;
}

struct Totals {
  std::int64_t changed = 0;
  std::int64_t requested = 0;
  std::int64_t skipped = 0;
};

/// A cancel or redrive of many, as its row of the audit log tells it.
struct Act {
  std::int64_t number = 0;
  std::string kind;
  std::string table;  ///< an adopted one, or empty
  Totals totals;      ///< of whoever has worked on it
};

Act find_act(const PoolOptions& connection, std::int64_t number) {
  const Rows rows = ask(connection, sql::cli_act_found, Params{}.add(number));
  if (rows.empty()) throw UsageError(fmt::format("--continue: {}, expected the number of a cancel or redrive", number));
  return {number, std::string(rows.text(0, 0)), std::string(rows.text(0, 1)), {rows.integer(0, 2), rows.integer(0, 3), rows.integer(0, 4)}};
}

/// What this run has done of an act.
struct Run {
  Totals totals;
  bool unsure = false;  ///< the answer to a page was lost: it may have been done, and totals lack it
};

/// Waits, unless a signal asks to stop first.
class Pacer {
 public:
  bool wait(std::chrono::milliseconds span) {
    timer_.expires_after(span);
    timer_.async_wait([this](const auto&) { io_.stop(); });
    io_.restart();
    io_.run();
    return !stopped_;
  }
  Pacer() : signals_(io_, SIGINT, SIGTERM) {
    signals_.async_wait([this](const auto& error, int) {
      if (error) return;
      stopped_ = true;
      io_.stop();
    });
  }

 private:
  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer timer_{io_};
  bool stopped_ = false;
};

/// What another session or a moment without a server does to a page. Not what takes too long: it would again.
bool is_passing(const DbError& error) {
  constexpr std::string_view kCancelled = "57014";
  return error.error_class() == ErrorClass::transient && error.sqlstate() != kCancelled;
}

/// Nothing when a signal came first. A page is repeated after errors that pass, also where its answer was lost: how far an
/// act has come is written with the page itself, so that no job is met twice.
std::optional<Rows> carry_out_page(const PoolOptions& connection, std::int64_t number, std::int64_t limit, Pacer& pacer, Run& run) {
  Backoff backoff;
  for (int tries = 1;; ++tries) {
    try {
      return ask(connection, sql::cli_act_page, Params{}.add(number).add(limit));
    } catch (const DbError& e) {
      if (e.outcome_unknown()) run.unsure = true;
      if (tries == kTries || !is_passing(e)) throw;
    }
    if (!pacer.wait(backoff.next(0.5))) return std::nullopt;
  }
}

/// True when all of it is done, false when a signal came first.
bool carry_out(const PoolOptions& connection, const Act& act, std::optional<std::int64_t> rate, Run& run) {
  Pacer pacer;
  // Ten pages a second, or as many as it takes: a page never holds more than its share of rows.
  const std::int64_t limit = rate ? std::clamp<std::int64_t>(*rate / 10, 1, kPage) : kPage;
  bool done = false;
  while (!done) {
    const auto began = std::chrono::steady_clock::now();
    const auto page = carry_out_page(connection, act.number, limit, pacer, run);
    if (!page) return false;
    const std::int64_t moved = page->integer(0, 0);
    run.totals.changed += moved;
    run.totals.requested += page->integer(0, 1);
    run.totals.skipped += page->integer(0, 2);
    done = page->boolean(0, 3);
    std::chrono::milliseconds pause{0};
    if (rate) {
      const auto due = std::chrono::milliseconds(moved * 1000 / *rate);
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
      pause = std::max<std::chrono::milliseconds>(due - took, std::chrono::milliseconds(0));
    }
    if (!done && !pacer.wait(pause)) return false;
  }
  return true;
}

/// Counts what was done where nobody was told: by what the act itself has written down.
void make_sure(const PoolOptions& connection, const Act& act, Run& run) {
  if (!run.unsure) return;
  const Totals now = find_act(connection, act.number).totals;
  run.totals = {now.changed - act.totals.changed, now.requested - act.totals.requested, now.skipped - act.totals.skipped};
  run.unsure = false;
}

int report(Invocation& call, const Arguments& args, const Act& act, const Run& run, bool done) {
  const Totals& totals = run.totals;
  const char* least = run.unsure ? "at least " : "";
  if (args.has("json")) {
    call.out << nlohmann::ordered_json{{"act", act.number}, {"changed", totals.changed}, {"requested", totals.requested},
                                       {"skipped", totals.skipped}, {"done", done}}.dump() << "\n";
  } else if (!act.table.empty() && act.kind == "cancel") {
    call.out << fmt::format("asked for the end of {}{}: nodes end them\n", least, totals.requested);
  } else {
    call.out << fmt::format("{} {}{}{}{}\n", act.kind == "cancel" ? "cancelled" : "redriven", least, totals.changed,
                            totals.requested > 0 ? fmt::format(", {} running: their nodes are told", totals.requested) : "",
                            totals.skipped > 0 ? fmt::format(", {} skipped: somebody holds them{}", totals.skipped,
                                                             act.table.empty() ? ", or another live job has their unique key"
                                                                               : ", or a trigger keeps them as they are") : "");
  }
  if (done) return kExitOk;
  call.out.flush();
  call.err << fmt::format("interrupted: go on with rowcrew {} --continue {}\n", act.kind, act.number);
  return kExitFailure;
}

int preview(Invocation& call, const Arguments& args, const char* kind, const std::optional<std::string>& filter) {
  if (!filter) throw UsageError("--preview: expected a condition");
  const std::int64_t count =
      ask(args.connection(), args.has("table") ? sql::cli_preview_adopted : sql::cli_preview, Params{}.add(kind).add(*filter)).integer(0, 0);
  call.out << (args.has("json") ? nlohmann::ordered_json{{"would_change", count}}.dump() : fmt::format("would {} {}", kind, count)) << "\n";
  return kExitOk;
}

/// A new one, or the one that is to be continued.
Act begin_act(const PoolOptions& connection, const Arguments& args, const char* kind, const std::optional<std::string>& filter) {
  if (filter) {
    const Rows begun = ask(connection, sql::cli_act_begin, Params{}.add(kind).add(*filter).add(args.get("reason")));
    return {begun.integer(0, 0), kind, args.get("table", ""), {}};
  }
  Act act = find_act(connection, *args.integer("continue", 1, INT64_MAX));
  if (act.kind != kind) throw UsageError(fmt::format("--continue: act {} is a {}, expected a {}", act.number, act.kind, kind));
  return act;
}

int act_on_many(Invocation& call, const Arguments& args, const char* kind, std::optional<std::int64_t> rate) {
  const auto filter = filter_of(args);
  const bool continued = args.integer("continue", 1, INT64_MAX).has_value();
  if (!filter && !continued) {
    throw UsageError(fmt::format("{}: expected a job, a condition such as --type, or --all", kind));
  }
  if (filter && continued) throw UsageError("--continue: expected no condition beside it, the act has its own");
  if (continued && args.has("reason")) throw UsageError("--continue: expected no --reason beside it, the act has its own");
  if (args.has("preview")) return preview(call, args, kind, filter);
  const PoolOptions connection = args.connection();
  const Act act = begin_act(connection, args, kind, filter);
  Run run;
  bool done = false;
  try {
    done = carry_out(connection, act, rate, run);
    make_sure(connection, act, run);
  } catch (const DbError& e) {
    report(call, args, act, run, false);
    if (act.table.empty() || !is_unknown_name(e.sqlstate())) throw;
    throw DbError(e.error_class(), e.sqlstate(), fmt::format("{}: if {} was changed, rowcrew adopt --repair may mend it", e.what(), act.table),
                  e.connection_lost(), e.outcome_unknown());
  } catch (const std::exception&) {
    report(call, args, act, run, false);
    throw;
  }
  return report(call, args, act, run, done);
}

void add_common(Arguments& args) {
  args.optional_word("JOB");
  add_filter_options(args);
  args.flag("all", "every job: needed when nothing else is said");
  args.value("reason", "TEXT", "written into the audit log")
      .value("continue", "N", "go on with an act that was interrupted")
      .flag("preview", "tell how many jobs it would change, and change none")
      .flag("json", "one object");
}

/// What is for many means nothing beside one.
void check_stands_alone(const Arguments& args, std::initializer_list<const char*> options) {
  if (filter_of(args)) throw UsageError("JOB: expected no condition beside it");
  for (const char* option : options) {
    if (args.has(option)) throw UsageError(fmt::format("--{}: expected no JOB beside it", option));
  }
}

[[noreturn]] void refuse_unknown(const std::string& id) {
  throw PermanentError("not_found", fmt::format("job {}: not found", id));
}

int cancel_one(Invocation& call, const Arguments& args) {
  const std::string id = args.get("JOB", "");
  const auto adopted = adopted_job(id);
  if (!adopted) checked_job_id(id);
  check_stands_alone(args, {"preview", "continue"});
  Params params;
  if (adopted) {
    params.add(adopted->table).add(adopted->key);
  } else {
    params.add(id);
  }
  params.add(args.get("reason"));
  const Rows rows = ask(args.connection(), adopted ? sql::cli_cancel_adopted : sql::cli_cancel, params);
  const std::string answer(rows.text(0, 0));
  if (answer == "unknown") refuse_unknown(id);
  if (args.has("json")) {
    call.out << nlohmann::ordered_json{{"job", id}, {"answer", answer}}.dump() << "\n";
  } else {
    call.out << (answer == "cancelled" ? "cancelled" : answer == "requested" ? (adopted ? "asked: a node ends it" : "it runs: its node is told")
                  : answer == "foreign" ? "it runs, but not by a claim of the fleet: who runs it has to end it"
                                          : "it had ended before") << "\n";
  }
  return kExitOk;
}

int run_cancel(Invocation& call) {
  Arguments args("cancel [JOB] [options]",
                 "Cancels one job, or those that meet every condition, waiting or running. A running\n"
                 "one is stopped on its node and ends as cancelled, also if it succeeds meanwhile. JOB is\n"
                 "an id, or TABLE:KEY of an adopted table; conditions are about rowcrew's own tables, or\n"
                 "with --table about that adopted one, whose jobs are ended by nodes. Those that come after\n"
                 "it began are not meant; of an adopted table only if its map names created_at.");
  add_common(args);
  if (!args.parse(call.args, call.out)) return kExitOk;
  return args.has("JOB") ? cancel_one(call, args) : act_on_many(call, args, "cancel", std::nullopt);
}

int redrive_one(Invocation& call, const Arguments& args) {
  const std::string id = args.get("JOB", "");
  if (adopted_job(id)) throw UsageError("JOB: expected an id; of an adopted table --table and conditions");
  checked_job_id(id);
  check_stands_alone(args, {"preview", "continue", "rate"});
  const Rows rows = ask(args.connection(), sql::cli_redrive, Params{}.add(id).add(args.get("reason")));
  const std::string answer(rows.text(0, 0));
  if (answer == "unknown") refuse_unknown(id);
  if (answer != "redriven") throw PermanentError("not_failed", fmt::format("job {}: {}, expected one that failed", id, answer));
  call.out << (args.has("json") ? nlohmann::ordered_json{{"job", id}, {"answer", answer}}.dump() : answer) << "\n";
  return kExitOk;
}

int run_redrive(Invocation& call) {
  Arguments args("redrive [JOB] [options]",
                 "Lets failed jobs run again from their first attempt: the one whose id is JOB, or those\n"
                 "that meet every condition and had failed when it began, so that none is redriven twice.\n"
                 "Those of an adopted table (--table) are written with your own rights on it; when they\n"
                 "failed is known if its map names completed_at. The age of a job goes on counting: one\n"
                 "that is older than its type's total_ms fails again at once, as total_deadline.");
  args.value("rate", "N", "at most so many jobs a second");
  add_common(args);
  if (!args.parse(call.args, call.out)) return kExitOk;
  if (args.has("JOB")) return redrive_one(call, args);
  return act_on_many(call, args, "redrive", args.integer("rate", 1, kMaxRate));
}

}  // namespace

Command cancel_command() {
  return {"cancel", "cancel jobs, waiting or running", run_cancel};
}

Command redrive_command() {
  return {"redrive", "let failed jobs run again", run_redrive};
}

}  // namespace rowcrew::cli
