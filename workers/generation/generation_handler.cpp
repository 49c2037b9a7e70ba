#include "generation_handler.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <variant>

#include <rowcrew/db.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/ports.hpp>
#include <rowcrew/registry.hpp>
#include "sql/generation.hpp"

#include "generation_input.hpp"

namespace rowcrew::generation {
namespace {

// Another node may have what this one lacks, or somebody adds it: the job costs no attempt until then.
constexpr std::chrono::seconds kUnconfigured{30};

std::string provider_of(const nlohmann::json& payload) {
  const auto at = payload.find("provider");
  return at != payload.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<std::string_view> only_cell(const Rows& rows) {
  if (rows.empty() || rows.is_null(0, 0)) return std::nullopt;
  return rows.text(0, 0);
}

}  // namespace

GenerationHandler::GenerationHandler(const Deps& deps)
    : db_(deps.db), ports_(deps.ports), providers_(make_providers(deps)) {}

boost::asio::awaitable<Outcome> GenerationHandler::run(JobContext& context) {
  const std::string name = provider_of(context.payload());
  const auto provider = providers_.find(name);
  if (provider == providers_.end()) {
    co_return Outcome(Failed("provider_unknown", "provider: there is none of that name, expected one of " +
                                                     names_of(providers_)));
  }
  if (provider->second == nullptr) {
    co_return Outcome(Snooze(kUnconfigured, "provider " + name + ": this node has no configuration for it"));
  }
  const Statement statement = ports_.bind(sql::input, context.job().app);
  Params params;
  params.add(context.job().id).add(context.job().table);
  const Rows rows = co_await db_.query(statement, std::move(params));
  std::variant<Work, Outcome> input = parse_input(only_cell(rows));
  if (Outcome* chosen = std::get_if<Outcome>(&input)) co_return std::move(*chosen);
  Work work = std::get<Work>(std::move(input));
  Outcome outcome = co_await provider->second->generate(context, std::move(work));
  co_return outcome;
}

}  // namespace rowcrew::generation

namespace rowcrew {

void register_generation(Registry& registry, Deps& deps) {
  registry.add("generation", std::make_unique<generation::GenerationHandler>(deps));
}

}  // namespace rowcrew
