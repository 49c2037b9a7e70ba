// rowcrew spend: what calls of model providers cost.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/text_table.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::int64_t kDays = 7;
constexpr std::string_view kText =
    "Tells what calls of model providers cost by the configured prices, in the account's currency: by\n"
    "day (UTC), provider and model. IN VAIN: calls that are billed and gave nothing. A cost with ~ has\n"
    "estimates in it. Budgets of the day follow, where there are any. Needs the rights of rowcrew_viewer.";

int run_spend(Invocation& call) {
  Arguments args("spend [--days N] [--json]", kText);
  args.value("days", "N", "so many days, today included (7)").flag("json", "one object per line, costs in millionths");
  if (!args.parse(call.args, call.out)) return kExitOk;
  Params params;
  params.add(args.integer("days", 1, 36'600).value_or(kDays));
  Rows rows;
  Rows budgets;
  run_once(args.connection(), TxMode::transaction, [&](Tx& tx) {
    rows = tx.exec(sql::cli_spend, params);
    budgets = tx.exec(sql::cli_budgets, Params{});
  });
  std::vector<std::vector<std::string>> table = {{"DAY", "PROVIDER", "MODEL", "CALLS", "IN VAIN", "COST"}};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const bool total = rows.is_null(row, 0);
    if (args.has("json") && !total) call.out << nlohmann::ordered_json::parse(rows.text(row, 7)).dump() << "\n";
    const auto text = [&](std::size_t column) { return std::string(rows.text(row, column)); };
    table.push_back({total ? "total" : text(0), text(1), text(2), text(3), text(4), (rows.boolean(row, 6) ? "~" : "") + text(5)});
  }
  if (args.has("json")) return kExitOk;
  call.out << (rows.size() < 2 ? "nothing was spent in these days\n" : format_table(table, {3, 4, 5}));
  for (std::size_t row = 0; row < budgets.size(); ++row) {
    call.out << fmt::format("{}{}: {} of {} spent today\n", row == 0 ? "\n" : "", budgets.text(row, 0), budgets.text(row, 2), budgets.text(row, 1));
  }
  return kExitOk;
}

}  // namespace

Command spend_command() { return {"spend", "tell what calls of model providers cost", run_spend}; }

}  // namespace rowcrew::cli
