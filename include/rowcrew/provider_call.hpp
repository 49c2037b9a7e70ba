// The ledger of what calls of model providers cost: one row of rowcrew.provider_call each.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

namespace rowcrew {

class Db;
class JobContext;

struct ProviderCall {
  enum class Outcome {
    done,     ///< it gave what was asked for
    blocked,  ///< it refused after the work, and bills it
    lost,     ///< sent, and no whole answer came: billed, perhaps
  };

  ProviderCall() = default;
  std::string provider;
  std::string model;
  std::string external_id;  ///< the provider's own name of the call: booked once per job; empty: none
  Outcome outcome = Outcome::done;
  std::string units = "{}";  ///< a JSON object: what the provider says that it used
  std::int64_t cost_micros = 0;  ///< by the configured prices; not negative
  bool estimated = false;        ///< the provider told no units
};

/// Books the call, and for a row of processing_jobs its cost_micros and external_id. Call it once per billed
/// answer, before the outcome is decided, whatever that is. An answer that was paid for is worth more than its
/// entry: where the database refuses or is away this logs `provider.not_booked` with every figure and returns.
/// Event thread; cancellation passes as operation_aborted.
boost::asio::awaitable<void> book(Db& db, JobContext& context, ProviderCall call);

}  // namespace rowcrew
