#include "text_handler.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include <rowcrew/db.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/http_answer.hpp>
#include <rowcrew/registry.hpp>
#include <rowcrew/vendors.hpp>

#include "provider_api.hpp"
#include "sql/text.hpp"

namespace rowcrew::text {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr std::size_t kMostAnswer = std::size_t{16} << 20;
constexpr milliseconds kNoKey = 1min;
constexpr milliseconds kToBook = 2s;  // of the job's deadline, so that a call that is too slow is booked

std::string units_of(const Usage& usage) {
  nlohmann::json units = {{"input", usage.input}, {"output", usage.output}};
  if (usage.cached > 0) units["cached"] = usage.cached;
  if (usage.written > 0) units["cache_write"] = usage.written;
  if (usage.written_1h > 0) units["cache_write_1h"] = usage.written_1h;
  return units.dump();
}

const Model& model_of(const Account& account, const Order& order) {
  const auto at = account.models.find(order.model);
  if (at == account.models.end()) {
    throw PermanentError("model_not_allowed",
                         fmt::format("text payload: model: not one of kinds.text.{}.models, which says what may be used at which price", account.provider));
  }
  if (order.max_tokens > at->second.max_output) {
    refuse("max_tokens", fmt::format("{} found, expected at most {} (max_output of the model)", order.max_tokens, at->second.max_output));
  }
  return at->second;
}

std::string request_id_of(const HttpHeaders& headers) {
  const std::string_view theirs = header_of(headers, "request-id");
  return provider_words(std::string(theirs.empty() ? header_of(headers, "x-request-id") : theirs));
}

}  // namespace

struct TextHandler::Answer {
  Answer() = default;
  HttpResponse response;
  std::optional<Outcome> instead;  ///< there is no answer: what the job comes to
  bool lost = false;               ///< sent, perhaps done
  bool cancelled = false;
  milliseconds took{};
};

TextHandler::Provider::Provider(const Deps& deps, std::string_view name)
    : account(read_account(deps.kinds.section("text"), name)), lanes(std::string(name), deps.clock, deps.log), budget(deps.db, deps.clock, deps.log, std::string(name)) {}

TextHandler::TextHandler(const Deps& deps)
    : db_(deps.db), http_(deps.http), clock_(deps.clock), providers_{Provider(deps, "openai"), Provider(deps, "anthropic")} {}

TextHandler::Provider& TextHandler::provider_of(const Order& order) {
  return order.provider == "openai" ? providers_[0] : providers_[1];
}

boost::asio::awaitable<Outcome> TextHandler::run(JobContext& context) {
  const Order order = parse_order(context.payload(), context.job().table == "processing_jobs");
  Provider& provider = provider_of(order);
  if (provider.account.key.empty()) co_return without_key(context, provider);
  const Model& model = model_of(provider.account, order);
  if (context.job().crashes > 0) co_await book_deaths(context, provider, order, model);
  std::optional<Outcome> spent = co_await provider.budget.spent(context);
  if (spent) co_return std::move(*spent);
  std::optional<Outcome> closed = provider.lanes.closed(order.model);
  if (closed) co_return std::move(*closed);
  Outcome outcome = co_await call(context, provider, order, model);
  co_return outcome;
}

Outcome TextHandler::without_key(JobContext& context, Provider& provider) {
  const std::string& name = provider.account.provider;
  const std::string text = fmt::format("{}: this node has no key (kinds.text.{}.api_key)", name, name);
  const Mono now = clock_.mono();
  if (!provider.warned || now - *provider.warned >= kNoKey) {
    provider.warned = now;
    context.log().warning("provider.no_key", {{"provider", name}}, text);
  }
  return Snooze(kNoKey, text);
}

// A claim that its node's death ended may have called; nobody knows any more. Each death is booked once.
boost::asio::awaitable<void> TextHandler::book_deaths(JobContext& context, Provider& provider, const Order& order, const Model& model) {
  Params params;
  params.add(context.job().table).add(context.job().id);
  const Rows rows = co_await db_.query(sql::deaths_booked, std::move(params));
  const int booked = static_cast<int>(rows.integer(0, 0));
  for (int crash = booked + 1; crash <= context.job().crashes; ++crash) {
    co_await book_lost(context, provider, order, model, crash);
  }
}

boost::asio::awaitable<void> TextHandler::book_lost(JobContext& context, Provider& provider, const Order& order, const Model& model, int crash) {
  const Usage usage = estimate(order, order.max_tokens);
  ProviderCall made;
  made.model = order.model;
  made.outcome = ProviderCall::Outcome::lost;
  made.estimated = true;
  made.cost_micros = cost_of(model, usage);
  nlohmann::json units = nlohmann::json::parse(units_of(usage));
  if (crash > 0) units["crash"] = crash;
  made.units = units.dump();
  co_await book_call(context, provider, std::move(made));
}

boost::asio::awaitable<void> TextHandler::book_call(JobContext& context, Provider& provider, ProviderCall made) {
  made.provider = provider.account.provider;
  provider.budget.add(made.cost_micros);
  co_await book(db_, context, std::move(made));
}

boost::asio::awaitable<TextHandler::Answer> TextHandler::send(JobContext& context, Provider& provider, const Order& order) {
  const Account& account = provider.account;
  HttpRequest request = order.provider == "openai" ? ask_openai(account, order) : ask_anthropic(account, order);
  const Mono began = clock_.mono();
  const auto left = std::chrono::duration_cast<milliseconds>(context.deadline() - began) - kToBook;
  request.timeout = std::clamp(left, 1ms, account.timeout);
  request.max_response_bytes = kMostAnswer;
  Answer answer;
  ROWCREW_FAULT_POINT("text.sending");
  try {
    answer.response = co_await http_.send(std::move(request));
  } catch (const Error& error) {
    answer.lost = !is_unsent(error);
    const std::string text = fmt::format("{}: {}", order.provider, error.what());
    if (error.error_class() == ErrorClass::transient) {
      answer.instead = Retry(error.code(), text);
    } else {
      answer.instead = Failed(error.code(), text);
    }
  } catch (const boost::system::system_error& error) {
    if (error.code() != boost::asio::error::operation_aborted) throw;
    answer.cancelled = answer.lost = true;
  }
  ROWCREW_FAULT_POINT("text.answered");
  answer.took = std::chrono::duration_cast<milliseconds>(clock_.mono() - began);
  co_return answer;
}

boost::asio::awaitable<Outcome> TextHandler::call(JobContext& context, Provider& provider, const Order& order, const Model& model) {
  AccountLanes::Leave leave(provider.lanes, order.model);
  Answer answer = co_await send(context, provider, order);
  if (answer.lost) {
    // The money is gone whoever stopped this: the entry is written all the same.
    if (answer.cancelled) co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
    co_await book_lost(context, provider, order, model, 0);
  }
  if (answer.cancelled) throw boost::system::system_error(boost::asio::error::operation_aborted);
  if (answer.instead) co_return std::move(*answer.instead);
  std::optional<Outcome> refused = leave.tell(judge(context, provider, order, answer.response));
  if (refused) co_return std::move(*refused);
  Outcome outcome = co_await answered(context, provider, order, model, std::move(answer));
  co_return outcome;
}

ProviderVerdict TextHandler::judge(JobContext& context, const Provider& provider, const Order& order, const HttpResponse& response) const {
  if (response.status >= 200 && response.status <= 299) return {};
  const auto wall = clock_.wall();
  ProviderVerdict verdict = order.provider == "openai" ? judge_openai(response, wall) : judge_anthropic(response, wall);
  if (order.is_quoted_in(verdict.message) || verdict.message.find(provider.account.key) != std::string::npos) {
    verdict.message = fmt::format("{}: answered {}; its words quote what it was sent and are left out", order.provider, response.status);
  }
  context.log().debug("text.refused",
                      {{"provider", order.provider}, {"model", order.model}, {"code", verdict.code}, {"status", response.status},
                       {"request_id", request_id_of(response.headers)}},
                      verdict.message);
  return verdict;
}

boost::asio::awaitable<Outcome> TextHandler::answered(JobContext& context, Provider& provider, const Order& order, const Model& model, Answer answer) {
  Reading reading = order.provider == "openai" ? read_openai(answer.response.body) : read_anthropic(answer.response.body);
  complete_usage(reading, order);
  ProviderCall made;
  made.model = order.model;
  made.external_id = reading.id;
  made.cost_micros = cost_of(model, reading.usage);
  made.estimated = !reading.usage.told;
  made.units = units_of(reading.usage);
  switch (reading.end) {
    case Reading::End::whole: made.outcome = ProviderCall::Outcome::done; break;
    case Reading::End::unreadable: made.outcome = ProviderCall::Outcome::lost; break;
    default: made.outcome = ProviderCall::Outcome::blocked; break;
  }
  const std::int64_t cost = made.cost_micros;
  co_await book_call(context, provider, std::move(made));
  const std::string request_id = request_id_of(answer.response.headers);
  context.log().info("text.answered", {{"provider", order.provider}, {"model", order.model}, {"request_id", request_id}, {"stop", reading.stop},
                                       {"input", reading.usage.input}, {"output", reading.usage.output}, {"cost_micros", cost},
                                       {"took_ms", answer.took.count()}});
  ROWCREW_FAULT_POINT("text.booked");
  co_return outcome_of(reading, order, cost);
}

}  // namespace rowcrew::text

namespace rowcrew {

void register_text(Registry& registry, Deps& deps) {
  registry.add("text", std::make_unique<text::TextHandler>(deps));
}

}  // namespace rowcrew
