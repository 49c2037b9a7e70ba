// Providers that are an API of pictures: one flow for all vendors, which pays for nothing twice that it can help.
#pragma once

#include <memory>
#include <set>
#include <string>

#include <rowcrew/account_lanes.hpp>
#include <rowcrew/provider_budget.hpp>
#include "image_api.hpp"
#include "workers/generation/image_program.hpp"
#include "workers/generation/provider.hpp"

namespace rowcrew {
class Clock;
class Db;
class HttpClient;
class Random;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::generation {

class ImageApiProvider final : public Provider {
 public:
  ImageApiProvider(const Deps& deps, std::unique_ptr<ImageApi> api);

  /// Throws PermanentError ("preset_invalid", "bad_payload"), what the database throws when it is asked for the checkpoint, and
  /// BugError of the HTTP client.
  boost::asio::awaitable<Outcome> generate(JobContext& context, Work work) override;

 private:
  class Execution;

  std::unique_ptr<ImageApi> api_;
  Db& db_;
  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  ImageProgram images_;
  AccountLanes lanes_;
  ProviderBudget budget_;
  std::set<std::string> sound_;  ///< workflows that rowcrew-image takes, as far as they came by
};

}  // namespace rowcrew::generation
