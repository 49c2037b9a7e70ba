// The kind `text`: text by model APIs.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include <rowcrew/account_lanes.hpp>
#include <rowcrew/clock.hpp>
#include <rowcrew/handler.hpp>
#include <rowcrew/http_client.hpp>
#include <rowcrew/provider_budget.hpp>
#include <rowcrew/provider_call.hpp>

#include "account.hpp"
#include "order.hpp"
#include "reading.hpp"

namespace rowcrew {
class Db;
struct Deps;
class Log;
}  // namespace rowcrew

namespace rowcrew::text {

class TextHandler final : public Handler {
 public:
  explicit TextHandler(const Deps& deps);
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  /// One provider as this process knows it.
  struct Provider {
    Provider(const Deps& deps, std::string_view name);
    Account account;
    AccountLanes lanes;
    ProviderBudget budget;
    std::optional<Mono> warned;  ///< that there is no key
  };

  /// What a call came to.
  struct Answer;

  Provider& provider_of(const Order& order);
  Outcome without_key(JobContext& context, Provider& provider);
  boost::asio::awaitable<void> book_deaths(JobContext& context, Provider& provider, const Order& order, const Model& model);
  boost::asio::awaitable<Outcome> call(JobContext& context, Provider& provider, const Order& order, const Model& model);
  boost::asio::awaitable<Answer> send(JobContext& context, Provider& provider, const Order& order);
  /// Books what may have been done and paid for.
  boost::asio::awaitable<void> book_lost(JobContext& context, Provider& provider, const Order& order, const Model& model, int crash);
  boost::asio::awaitable<void> book_call(JobContext& context, Provider& provider, ProviderCall made);
  ProviderVerdict judge(JobContext& context, const Provider& provider, const Order& order, const HttpResponse& response) const;
  boost::asio::awaitable<Outcome> answered(JobContext& context, Provider& provider, const Order& order, const Model& model, Answer answer);

  Db& db_;
  HttpClient& http_;
  Clock& clock_;
  std::array<Provider, 2> providers_;
};

}  // namespace rowcrew::text
