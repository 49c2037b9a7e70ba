// From one HTTP request to one answer: who asks, what for, one transaction.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/log.hpp>

#include "net/http_server.hpp"
#include "web/web_refusal.hpp"

namespace rowcrew::web {

/// The page's files are anybody's. Everything below /api/ wants "Authorization: Bearer TOKEN": a header that neither a form nor a
/// page of another origin can send, so that no cookie and no Host has to be trusted.
class WebHandler {
 public:
  struct Options {
    std::string token;
    bool acts = false;  ///< whether POST is served at all
  };

  /// All three must outlive every request.
  WebHandler(Options options, Db& db, Clock& clock, Log& log);

  /// Event thread only. Each act and each refused one is a line of the log; what only looks is not. Of those who do not know the
  /// token one a second is.
  boost::asio::awaitable<ServerResponse> answer(ServerRequest request);

 private:
  struct Reading;

  void check_token(const ServerRequest& request) const;
  void tell_of_refusal(const WebRefusal& refusal, const std::string& path, const std::string& peer, bool known);
  boost::asio::awaitable<ServerResponse> look(std::string path, std::string query);
  boost::asio::awaitable<ServerResponse> look_at_fleet();
  boost::asio::awaitable<void> read_fleet(std::shared_ptr<Reading> reading);
  boost::asio::awaitable<ServerResponse> act(std::string name, ServerRequest request);

  const std::string token_;
  const bool acts_;
  Db& db_;
  Clock& clock_;
  Log& log_;
  /// The answer that all who look at the same time share, and the reading that they wait for together: what it costs must not grow
  /// with them, least of all where the database is slow.
  std::string fleet_;
  std::optional<Mono> fleet_read_;
  std::shared_ptr<Reading> reading_;
  std::optional<Mono> strangers_told_;
  unsigned strangers_untold_ = 0;
};

}  // namespace rowcrew::web
