// Handlers that tests need and no product has.
#pragma once

#include <rowcrew/deps.hpp>
#include <rowcrew/registry.hpp>

namespace rowcrew::testing {

/// noop: completes at once. sleep: {"ms": n} waits, then completes. flaky: {"fail": n} retries until
/// attempt n + 1. fail: permanent. throw: a foreign exception. stubborn: {"ms": n} ignores
/// cancellation. crash: ends the process. snooze: {"ms": n} once, then completes. effect: calls
/// shop.buy(job id, payload) and enqueues a noop in the transaction that ends it.
void register_test_handlers(Registry& registry, Deps& deps);

}  // namespace rowcrew::testing
