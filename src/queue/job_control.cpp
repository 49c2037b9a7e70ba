#include "queue/job_control.hpp"

#include <algorithm>

#include "sql_queries.hpp"

namespace rowcrew {
namespace {

std::vector<std::string> first_column(const Rows& rows) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < rows.size(); ++i) out.emplace_back(rows.text(i, 0));
  return out;
}

}  // namespace

JobControl::JobControl(Db& db, TableMap map) : db_(db), statements_({}, "") { describe(std::move(map)); }

void JobControl::describe(TableMap map) { describe_statements(statements_, std::move(map)); }

JobControl::Awaitable<std::vector<CancelRequest>> JobControl::cancel_requests() {
  const Rows rows = co_await db_.query(statements_.render(sql::cancel_requests), Params{});
  std::vector<CancelRequest> requests(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    requests[i].id = rows.text(i, 0);
    requests[i].note = rows.text(i, 1);
  }
  co_return requests;
}

JobControl::Awaitable<std::vector<SettledCancel>> JobControl::settle_cancels(std::size_t limit) {
  Params params;
  params.add(limit);
  const Rows rows = co_await db_.query(statements_.render(sql::cancel_settle), std::move(params));
  std::vector<SettledCancel> settled(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    settled[i].id = rows.text(i, 0);
    settled[i].job_type = rows.text(i, 1);
    settled[i].before = rows.text(i, 2);
    settled[i].now = rows.text(i, 3);
    settled[i].note = rows.text(i, 4);
  }
  co_return settled;
}

JobControl::Awaitable<std::vector<std::string>> JobControl::paused_among(std::vector<std::string> ids) {
  Params params;
  params.add_array(ids);
  const Rows rows = co_await db_.query(statements_.render(sql::pause_among), std::move(params));
  co_return first_column(rows);
}

JobControl::Awaitable<void> JobControl::hold(std::vector<std::string> ids, std::vector<std::int64_t> tokens, std::vector<std::int64_t> drop) {
  Params params;
  params.add_array(ids).add_array(tokens).add_array(drop);
  co_await db_.query(statements_.render(sql::pause_hold), std::move(params));
}

JobControl::Awaitable<std::uint64_t> JobControl::shelve(std::string queue, std::size_t limit) {
  Params params;
  params.add(queue).add(limit);
  const Rows rows = co_await db_.query(statements_.render(sql::pause_shelve), std::move(params));
  co_return rows.affected();
}

JobControl::Awaitable<std::vector<std::string>> JobControl::held_keys() {
  const Rows rows = co_await db_.query(statements_.render(sql::pause_held_keys), Params{});
  co_return first_column(rows);
}

JobControl::Awaitable<std::uint64_t> JobControl::release(std::string key, std::size_t limit) {
  Params params;
  params.add(key).add(limit);
  const Rows rows = co_await db_.query(statements_.render(sql::pause_release), std::move(params));
  co_return rows.affected();
}

JobControl::Awaitable<std::vector<JobAge>> JobControl::ages(std::vector<std::string> ids) {
  Params params;
  params.add_array(ids);
  const Rows rows = co_await db_.query(statements_.render(sql::job_ages), std::move(params));
  std::vector<JobAge> ages(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ages[i].id = rows.text(i, 0);
    ages[i].since_created = std::chrono::milliseconds(rows.integer(i, 1));
    ages[i].since_due = std::chrono::milliseconds(rows.integer(i, 2));
  }
  co_return ages;
}

JobControl::Awaitable<std::uint64_t> JobControl::expire_results(std::int64_t first_page, std::int64_t pages) {
  Params params;
  params.add(first_page).add(pages);
  const Rows rows = co_await db_.query(statements_.render(sql::expire_results), std::move(params));
  co_return rows.affected();
}

JobControl::Awaitable<std::int64_t> JobControl::drop_ended(std::int64_t first_page, std::int64_t pages) {
  Params params;
  params.add(first_page).add(pages);
  const Rows rows = co_await db_.query(statements_.render(sql::drop_ended), std::move(params));
  co_return rows.integer(0, 0);
}

JobControl::Awaitable<std::int64_t> JobControl::drop_unclaimed(std::int64_t first_page, std::int64_t pages) {
  Params params;
  params.add(first_page).add(pages);
  const Rows rows = co_await db_.query(statements_.render(sql::drop_unclaimed), std::move(params));
  co_return rows.integer(0, 0);
}

JobControl::Awaitable<std::vector<std::string>> JobControl::write_progress(std::vector<ProgressWord> words) {
  std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  std::vector<std::string> ids;
  std::vector<std::int64_t> tokens;
  std::vector<std::optional<std::string>> percents;
  std::vector<std::optional<std::string>> notes;
  std::vector<std::optional<std::string>> checkpoints;
  for (ProgressWord& word : words) {
    ids.push_back(std::move(word.id));
    tokens.push_back(word.token);
    percents.push_back(word.percent ? std::optional(std::to_string(*word.percent)) : std::nullopt);
    notes.push_back(std::move(word.note));
    checkpoints.push_back(std::move(word.checkpoint));
  }
  Params params;
  params.add_array(ids).add_array(tokens).add_array(percents).add_array(notes).add_array(checkpoints);
  const Rows rows = co_await db_.query(statements_.render(sql::progress_write), std::move(params));
  co_return first_column(rows);
}

JobControl::Awaitable<std::string> JobControl::last_checkpoint(std::string table, std::string id) {
  Params params;
  params.add(table).add(id);
  const Rows rows = co_await db_.query(statements_.render(sql::progress_checkpoint), std::move(params));
  co_return rows.empty() ? std::string() : std::string(rows.text(0, 0));
}

}  // namespace rowcrew
