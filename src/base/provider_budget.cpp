#include <rowcrew/provider_budget.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <rowcrew/db.hpp>
#include <rowcrew/job.hpp>

#include "sql/provider.hpp"

namespace rowcrew {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kFresh{1};

std::string amount(std::int64_t micros) { return fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000); }

}  // namespace

ProviderBudget::ProviderBudget(Db& db, Clock& clock, Log& log, std::string provider)
    : db_(db), clock_(clock), log_(log), provider_(std::move(provider)) {}

boost::asio::awaitable<std::optional<Outcome>> ProviderBudget::spent(JobContext& context) {
  // Open by what was told, spent by what was added since: ask, so that it is said once that it is.
  const bool passed = limited_ && spent_ >= day_ && wait_ == milliseconds(0);
  if (asked_ && clock_.mono() - *asked_ < kFresh && !passed) co_return closed();
  Params params;
  params.add(provider_).add(context.job().table).add(context.job().id).add(context.job().job_type);
  const Rows rows = co_await db_.query(provider_sql::budget, std::move(params));
  asked_ = clock_.mono();
  limited_ = !rows.empty() && !rows.is_null(0, 0);
  if (!limited_) co_return std::nullopt;
  day_ = rows.integer(0, 0);
  spent_ = rows.integer(0, 1);
  wait_ = rows.is_null(0, 2) ? milliseconds(0) : std::max(milliseconds(1), std::min(kLook, milliseconds(rows.integer(0, 2))));
  const std::string_view news = rows.text(0, 3);
  if (news == "spent") {
    log_.error("provider.budget_spent", {{"provider", provider_}, {"day_micros", day_}, {"spent_micros", spent_}},
               fmt::format("{}: the budget of the day is spent, its jobs wait until midnight UTC", provider_));
  } else if (news == "low") {
    log_.warning("provider.budget_low", {{"provider", provider_}, {"day_micros", day_}, {"spent_micros", spent_}},
                 fmt::format("{}: of the day's budget of {} are {} spent", provider_, amount(day_), amount(spent_)));
  }
  co_return closed();
}

std::optional<Outcome> ProviderBudget::closed() const {
  if (!limited_ || wait_ == milliseconds(0)) return std::nullopt;
  return Outcome(Snooze(wait_, fmt::format("{}: of the day's budget of {} are {} spent; the next day begins at midnight UTC", provider_,
                                           amount(day_), amount(spent_))));
}

void ProviderBudget::add(std::int64_t cost_micros) {
  spent_ += std::min(cost_micros, std::numeric_limits<std::int64_t>::max() - spent_);
}

}  // namespace rowcrew
