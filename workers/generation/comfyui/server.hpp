// One ComfyUI server: its routes, and whether calling it makes sense now.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>

#include <rowcrew/clock.hpp>
#include <rowcrew/http_client.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/provider_lane.hpp>

#include "config.hpp"
#include "judge.hpp"

namespace rowcrew::generation::comfyui {

/// An answer, or why there is none.
struct Reply {
  Reply() = default;
  bool ok() const { return verdict.act == ProviderVerdict::Act::answered; }
  HttpResponse response;
  ProviderVerdict verdict;
  bool silent = false;  ///< no whole answer came: what was asked for may have happened
};

/// Event thread. Calls take what is left until `until` at most. Cancellation passes as operation_aborted.
class Server {
 public:
  Server(std::string base, const Config& config, HttpClient& http, Clock& clock, Log& log);

  const std::string& base() const { return base_; }
  const std::string& label() const { return label_; }

  /// As ProviderLane's. Whoever is let in looks first.
  std::optional<std::chrono::milliseconds> admit() { return lane_.admit(clock_.mono()); }
  /// How long the lane stays closed, at least a moment.
  std::chrono::milliseconds closed_for();
  /// Of an answer to any of the calls below that tell nobody themselves.
  void tell(const ProviderVerdict& verdict);
  /// What a server that is away now would be for the how manieth time running.
  int times_away() const;

  struct Found {
    Found() = default;
    bool ended() const { return !entry.is_null(); }
    bool absent() const { return !ended() && sight.place == Place::absent; }
    Sight sight;
    nlohmann::json entry;  ///< of the history, when it has ended
  };
  /// The queue, then the history: a run goes from one into the other between two looks.
  boost::asio::awaitable<std::variant<Found, ProviderVerdict>> find(const Asked& asked, const std::string& id, Mono until);
  /// `file`: what is sent, under `name`.
  boost::asio::awaitable<Reply> upload(const Asked& asked, const std::string& name, const std::string& file,
                                       const std::string& boundary, Mono until);
  /// Its answer is for judge_submission().
  boost::asio::awaitable<Reply> submit(const Asked& asked, std::string body, Mono until);
  /// Into `to`.
  boost::asio::awaitable<Reply> view(const Asked& asked, const OutputFile& file, const std::string& to,
                                     std::uint64_t max_bytes, Mono until);
  /// Best effort.
  boost::asio::awaitable<void> free_memory(const Asked& asked, Mono until);
  /// Takes this run out of the queue, or ends it where it runs; never anybody else's. Best effort: false, and nothing else
  /// happens, when the server is away.
  boost::asio::awaitable<bool> cancel(const Asked& asked, const std::string& id, Mono until);

  int busy = 0;          ///< executions of this node that use it
  int out_of_memory = 0;  ///< so many runs one after another, whoever's
  int broken = 0;         ///< likewise

 private:
  HttpRequest request(const char* method, const std::string& path, std::chrono::milliseconds longest, Mono until) const;
  boost::asio::awaitable<Reply> ask(const Asked& asked, HttpRequest request, bool tells);

  std::string base_;
  std::string label_;
  HttpHeaders headers_;
  HttpClient& http_;
  Clock& clock_;
  Log& log_;
  ProviderLane lane_;
  int away_ = 0;  ///< so many times running
  Mono away_until_{};
};

}  // namespace rowcrew::generation::comfyui
