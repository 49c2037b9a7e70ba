#include "provider.hpp"

#include <utility>

#include <rowcrew/deps.hpp>
#include <rowcrew/settings.hpp>

namespace rowcrew::generation {

ComfyuiProvider::ComfyuiProvider(const Deps& deps)
    : config_(comfyui::read_config(deps.kinds.section("generation"))),
      images_(deps),
      tools_(deps.db, deps.clock, deps.random, images_, config_, deps.http, deps.log) {}

boost::asio::awaitable<Outcome> ComfyuiProvider::generate(JobContext& context, Work work) {
  comfyui::Execution execution(tools_, context, std::move(work));
  Outcome outcome = co_await execution.run();
  co_return outcome;
}

std::unique_ptr<Provider> make_comfyui_provider(const Deps& deps) {
  const Settings generation = deps.kinds.section("generation");
  if (!generation.has("comfyui") && !generation.section("comfyui").has("servers")) return nullptr;
  return std::make_unique<ComfyuiProvider>(deps);
}

}  // namespace rowcrew::generation
