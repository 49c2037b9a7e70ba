#include "usage_reset_handler.hpp"

#include <fmt/format.h>

#include <rowcrew/deps.hpp>
#include <rowcrew/registry.hpp>
#include "sql/usage_reset.hpp"

namespace rowcrew::usage_reset {

UsageResetHandler::UsageResetHandler(const Deps& deps) : db_(deps.db), ports_(deps.ports) {}

boost::asio::awaitable<Outcome> UsageResetHandler::run(JobContext& context) {
  const Statement reset = ports_.bind(sql::reset, context.job().app);
  const Rows rows = co_await db_.query(reset, Params());
  const std::int64_t opened = rows.is_null(0, 0) ? 0 : rows.integer(0, 0);
  if (opened > 0) context.log().info("usage_reset.opened", {{"periods", opened}});
  co_return Completed(fmt::format(R"({{"opened":{}}})", opened));
}

}  // namespace rowcrew::usage_reset

namespace rowcrew {

void register_usage_reset(Registry& registry, Deps& deps) {
  registry.add("usage_reset", std::make_unique<usage_reset::UsageResetHandler>(deps));
}

}  // namespace rowcrew
