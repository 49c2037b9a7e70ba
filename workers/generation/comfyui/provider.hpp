// Provider "comfyui": a graph of the preset, run on a ComfyUI server of one's own.
#pragma once

#include <memory>

#include "config.hpp"
#include "execution.hpp"
#include "workers/generation/image_program.hpp"
#include "workers/generation/provider.hpp"

namespace rowcrew {
struct Deps;
}

namespace rowcrew::generation {

class ComfyuiProvider final : public Provider {
 public:
  /// Reads kinds.generation.comfyui. Throws ConfigError.
  explicit ComfyuiProvider(const Deps& deps);

  /// Throws PermanentError ("preset_invalid", "bad_payload"), DbError.
  boost::asio::awaitable<Outcome> generate(JobContext& context, Work work) override;

 private:
  const comfyui::Config config_;
  ImageProgram images_;
  comfyui::Tools tools_;
};

/// Null where the node has no configuration for it.
std::unique_ptr<Provider> make_comfyui_provider(const Deps& deps);

}  // namespace rowcrew::generation
