#include "workers/registry.hpp"

#include <rowcrew/deps.hpp>
#include <rowcrew/registry.hpp>

// One line per kind: workers/<kind>/ defines register_<kind>(Registry&, Deps&).
#define ROWCREW_KINDS(KIND) \
  KIND(command)             \
  KIND(generation)          \
  KIND(http)                \
  KIND(email)               \
  KIND(webhook)             \
  KIND(drive_poll)          \
  KIND(retention)           \
  KIND(sql)                 \
  KIND(text)                \
  KIND(usage_reset)

namespace rowcrew {

#define ROWCREW_DECLARE(kind) void register_##kind(Registry& registry, Deps& deps);
ROWCREW_KINDS(ROWCREW_DECLARE)
#undef ROWCREW_DECLARE

void register_kinds(Registry& registry, Deps& deps) {
#define ROWCREW_REGISTER(kind) register_##kind(registry, deps);
  ROWCREW_KINDS(ROWCREW_REGISTER)
#undef ROWCREW_REGISTER
}

}  // namespace rowcrew
