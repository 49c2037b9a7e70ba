#include "presets_provider.hpp"

#include <rowcrew/clock.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/log.hpp>

#include "image_program.hpp"

namespace rowcrew::generation {
namespace {

class PresetsProvider final : public Provider {
 public:
  explicit PresetsProvider(const Deps& deps) : images_(deps), clock_(deps.clock) {}

  boost::asio::awaitable<Outcome> generate(JobContext& context, Work work) override {
    if (work.source.empty()) {
      co_return Outcome(Failed("bad_payload", "source: expected the absolute path of a file"));
    }
    const Mono began = clock_.mono();
    Development order;
    order.source = work.source;
    order.target = work.target;
    order.workflow = work.workflow;
    ROWCREW_FAULT_POINT("generation.starting");
    Outcome outcome = co_await images_.develop(context, std::move(order));
    ROWCREW_FAULT_POINT("generation.done");
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.mono() - began);
    context.log().debug("generation.ended", {{"preset", work.preset}, {"took_ms", took.count()}});
    co_return outcome;
  }

 private:
  ImageProgram images_;
  Clock& clock_;
};

}  // namespace

std::unique_ptr<Provider> make_presets_provider(const Deps& deps) {
  return std::make_unique<PresetsProvider>(deps);
}

}  // namespace rowcrew::generation
