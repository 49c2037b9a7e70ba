// rowcrew cancel, rowcrew redrive: one job by its id, or many by a filter, page by page, each page a
// transaction; what was interrupted is continued by its number.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/job_filter.hpp"
#include "cli/job_id.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::int64_t kPage = 500;
constexpr std::int64_t kMaxRate = 100'000;

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

/// True when all of it is done, false when a signal came first.
bool carry_out(const PoolOptions& connection, std::int64_t number, std::optional<std::int64_t> rate, Totals& totals) {
  Pacer pacer;
  // Ten pages a second, or as many as it takes: a page never holds more than its share of rows.
  const std::int64_t limit = rate ? std::clamp<std::int64_t>(*rate / 10, 1, kPage) : kPage;
  bool done = false;
  while (!done) {
    const auto began = std::chrono::steady_clock::now();
    const Rows page = ask(connection, sql::cli_act_page, Params{}.add(number).add(limit));
    const std::int64_t moved = page.integer(0, 0);
    totals.changed += moved;
    totals.requested += page.integer(0, 1);
    totals.skipped += page.integer(0, 2);
    done = page.boolean(0, 3);
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

int report(Invocation& call, const Arguments& args, std::string_view act, std::int64_t number, const Totals& totals, bool done) {
  if (args.has("json")) {
    call.out << nlohmann::ordered_json{{"act", number}, {"changed", totals.changed}, {"requested", totals.requested},
                                       {"skipped", totals.skipped}, {"done", done}}.dump() << "\n";
  } else if (args.has("table") && act == "cancel") {
    call.out << fmt::format("asked for the end of {}: nodes end them\n", totals.requested);
  } else {
    call.out << fmt::format("{} {}{}{}\n", act == "cancel" ? "cancelled" : "redriven", totals.changed,
                            totals.requested > 0 ? fmt::format(", {} running: their nodes are told", totals.requested) : "",
                            totals.skipped > 0 ? fmt::format(", {} skipped: somebody holds them{}", totals.skipped,
                                                                 args.has("table") ? ", or a trigger keeps them as they are" : "") : "");
  }
  if (done) return kExitOk;
  call.err << fmt::format("interrupted: go on with rowcrew {} --continue {}\n", act, number);
  return kExitFailure;
}

int act_on_many(Invocation& call, const Arguments& args, const char* act, std::optional<std::int64_t> rate) {
  const auto filter = filter_of(args);
  const auto continued = args.integer("continue", 1, INT64_MAX);
  if (!filter && !continued) {
    throw UsageError(fmt::format("{}: expected a job, a condition such as --type, or --all", act));
  }
  if (filter && continued) throw UsageError("--continue: expected no condition beside it, the act has its own");
  const PoolOptions connection = args.connection();
  if (args.has("preview")) {
    if (!filter) throw UsageError("--preview: expected a condition");
    const std::int64_t count = ask(connection, args.has("table") ? sql::cli_preview_adopted : sql::cli_preview, Params{}.add(act).add(*filter)).integer(0, 0);
    call.out << (args.has("json") ? nlohmann::ordered_json{{"would_change", count}}.dump() : fmt::format("would {} {}", act, count)) << "\n";
    return kExitOk;
  }
  std::int64_t number = continued.value_or(0);
  if (filter) number = ask(connection, sql::cli_act_begin, Params{}.add(act).add(*filter).add(args.get("reason"))).integer(0, 0);
  Totals totals;
  const bool done = carry_out(connection, number, rate, totals);
  return report(call, args, act, number, totals, done);
}

void add_common(Arguments& args) {
  add_filter_options(args);
  args.value("reason", "TEXT", "written into the audit log")
      .value("continue", "N", "go on with an act that was interrupted")
      .flag("preview", "tell how many jobs it would change, and change none")
      .flag("json", "one object");
}

int cancel_one(Invocation& call, const Arguments& args) {
  const std::string id = args.get("JOB", "");
  const auto adopted = adopted_job(id);
  if (!adopted) checked_job_id(id);
  if (filter_of(args)) throw UsageError("JOB: expected no condition beside it");
  Params params;
  if (adopted) {
    params.add(adopted->table).add(adopted->key);
  } else {
    params.add(id);
  }
  params.add(args.get("reason"));
  const Rows rows = ask(args.connection(), adopted ? sql::cli_cancel_adopted : sql::cli_cancel, params);
  const std::string answer(rows.text(0, 0));
  if (answer == "unknown") throw PermanentError("not_found", fmt::format("job {}: not found", id));
  if (args.has("json")) {
    call.out << nlohmann::ordered_json{{"job", id}, {"answer", answer}}.dump() << "\n";
  } else {
    call.out << (answer == "cancelled" ? "cancelled" : answer == "requested" ? (adopted ? "asked: a node ends it" : "it runs: its node is told")
                                          : "it had ended before") << "\n";
  }
  return kExitOk;
}

int run_cancel(Invocation& call) {
  Arguments args("cancel [JOB] [options]",
                 "Cancels one job, or those that meet every condition, waiting or running. A running\n"
                 "one is stopped on its node and ends as cancelled, also if it succeeds meanwhile. JOB is\n"
                 "an id, or TABLE:KEY of an adopted table; conditions are about rowcrew's own tables, or\n"
                 "with --table about that adopted one, whose jobs are ended by nodes.");
  args.optional_word("JOB");
  add_common(args);
  if (!args.parse(call.args, call.out)) return kExitOk;
  return args.has("JOB") ? cancel_one(call, args) : act_on_many(call, args, "cancel", std::nullopt);
}

int run_redrive(Invocation& call) {
  Arguments args("redrive [options]",
                 "Lets failed jobs run again from their first attempt: those that meet every condition\n"
                 "and had failed when it began, so that none is redriven twice. Those of an adopted table\n"
                 "(--table) are written with your own rights on it.");
  args.value("rate", "N", "at most so many jobs a second");
  add_common(args);
  if (!args.parse(call.args, call.out)) return kExitOk;
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
