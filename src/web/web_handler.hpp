// From one HTTP request to one answer: who asks, what for, one transaction.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/log.hpp>

#include "net/http_server.hpp"

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

  /// Event thread only. Each act and each refused one is a line of the log; what only looks is not.
  boost::asio::awaitable<ServerResponse> answer(ServerRequest request);

 private:
  void check_token(const ServerRequest& request) const;
  boost::asio::awaitable<ServerResponse> look(std::string path, std::string query);
  boost::asio::awaitable<ServerResponse> look_at_fleet();
  boost::asio::awaitable<ServerResponse> act(std::string name, ServerRequest request);

  const std::string token_;
  const bool acts_;
  Db& db_;
  Clock& clock_;
  Log& log_;
  /// The answer that all who look at the same time share: its cost must not grow with them.
  std::string fleet_;
  std::optional<Mono> fleet_read_;
};

}  // namespace rowcrew::web
