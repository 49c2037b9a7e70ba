// Calls of Google Drive under accounts that applications hold: access tokens and when calling makes sense.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <rowcrew/clock.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/provider_lane.hpp>

#include "google_drive_judge.hpp"

namespace rowcrew::drive_poll {

/// Our registration with Google.
struct GoogleClient {
  std::string id;
  std::string secret;
  std::string api;    ///< without a slash at the end
  std::string token;  ///< URL
};

/// One refresh token of an account. A new one begins anew.
struct GoogleAccount {
  GoogleAccount(std::string who, std::string token) : name(std::move(who)), refresh_token(std::move(token)) {}

  const std::string name;
  const std::string refresh_token;
  std::string access_token;  ///< empty: none. Nowhere but in memory
  Mono renew_at{};
  std::shared_ptr<boost::asio::steady_timer> renewing;  ///< while one makes a token: cancelled when it is done
  ProviderLane lane;
};

struct GoogleAnswer {
  GoogleAnswer() = default;
  GoogleVerdict verdict;  ///< of wait and shut: `wait` is how long nobody calls
  HttpResponse response;
};

/// Event thread only. Tokens never leave it.
class GoogleApi {
 public:
  GoogleApi(HttpClient& http, const Clock& clock, Log& log, GoogleClient client)
      : http_(http), clock_(clock), log_(log), client_(std::move(client)) {}

  /// `key`: application and its name of the account.
  std::shared_ptr<GoogleAccount> account(const std::string& key, const std::string& name, const std::string& refresh_token);
  /// A GET of a target below the API's root. The request's URL is set here. Throws as HttpClient::send does.
  boost::asio::awaitable<GoogleAnswer> get(GoogleAccount& who, GoogleCall call, HttpRequest request);

 private:
  boost::asio::awaitable<GoogleAnswer> token(GoogleAccount& who);
  boost::asio::awaitable<GoogleAnswer> make_token(GoogleAccount& who);
  boost::asio::awaitable<GoogleAnswer> send(GoogleAccount& who, HttpRequest request, std::optional<GoogleCall> call);
  std::optional<GoogleAnswer> closed(GoogleAccount& who);
  void tell(GoogleAccount& who, GoogleVerdict& verdict);

  HttpClient& http_;
  const Clock& clock_;
  Log& log_;
  const GoogleClient client_;
  ProviderLane lane_;  ///< of the client: all accounts
  std::map<std::string, std::shared_ptr<GoogleAccount>> accounts_;
};

}  // namespace rowcrew::drive_poll
