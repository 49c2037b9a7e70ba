#include <rowcrew/provider_call.hpp>

#include <optional>

#include <rowcrew/db.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/job.hpp>

#include "sql/provider.hpp"

namespace rowcrew {
namespace {

std::string_view word(ProviderCall::Outcome outcome) {
  switch (outcome) {
    case ProviderCall::Outcome::done: return "done";
    case ProviderCall::Outcome::blocked: return "blocked";
    case ProviderCall::Outcome::lost: return "lost";
  }
  return "done";
}

Params params_of(const Job& job, const ProviderCall& call) {
  Params params;
  params.add(job.table).add(job.id).add(job.claim_token).add(job.job_type).add(job.attempt);
  params.add(call.provider).add(call.model);
  params.add(call.external_id.empty() ? std::nullopt : std::optional(call.external_id));
  params.add(word(call.outcome)).add(call.units).add(call.cost_micros).add(call.estimated);
  return params;
}

}  // namespace

boost::asio::awaitable<void> book(Db& db, JobContext& context, ProviderCall call) {
  Params params = params_of(context.job(), call);
  std::string problem;
  try {
    co_await db.query(provider_sql::book_call, std::move(params));
  } catch (const Error& error) {
    problem = error.what();
  }
  if (problem.empty()) co_return;
  context.log().error("provider.not_booked",
                      {{"provider", call.provider}, {"model", call.model}, {"external_id", call.external_id},
                       {"outcome", word(call.outcome)}, {"cost_micros", call.cost_micros}, {"units", call.units.substr(0, 500)}},
                      problem);
}

}  // namespace rowcrew
