// Kind `generation`: makes one picture of another, by the provider that the job names.
#pragma once

#include <rowcrew/handler.hpp>

#include "providers.hpp"

namespace rowcrew {
class Db;
class Ports;
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::generation {

class GenerationHandler final : public Handler {
 public:
  /// Reads kinds.generation. Throws ConfigError.
  explicit GenerationHandler(const Deps& deps);

  /// Throws PermanentError ("bad_payload"), BugError ("port_answer") and what the ports and the
  /// database throw.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  Db& db_;
  Ports& ports_;
  Providers providers_;
};

}  // namespace rowcrew::generation

namespace rowcrew {

void register_generation(Registry& registry, Deps& deps);

}  // namespace rowcrew
