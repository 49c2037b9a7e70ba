// One execution of a generation on a ComfyUI server: finds the run that an earlier execution has begun, or
// begins one, waits for its end and leaves its picture at the target.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/job.hpp>
#include <rowcrew/outcome.hpp>
#include <rowcrew/provider_call.hpp>
#include <rowcrew/random.hpp>

#include "config.hpp"
#include "preset.hpp"
#include "server.hpp"
#include "trail.hpp"
#include "workers/generation/image_program.hpp"

namespace rowcrew::generation::comfyui {

/// What all executions share.
struct Tools {
  Tools(Db& database, Clock& time, Random& chance, ImageProgram& program, const Config& settings, HttpClient& http, Log& log);
  Server* named(const std::string& base);

  Db& db;
  Clock& clock;
  Random& random;
  ImageProgram& images;
  const Config& config;
  std::vector<std::unique_ptr<Server>> servers;
};

class Execution {
 public:
  /// Throws PermanentError ("preset_invalid", "bad_payload").
  Execution(Tools& tools, JobContext& context, Work work);
  Execution(const Execution&) = delete;
  ~Execution();

  boost::asio::awaitable<Outcome> run();

 private:
  /// "Absent" means lost only when seen twice, so far apart.
  static constexpr std::chrono::milliseconds kLooksApart{2000};

  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  // Each of these goes on or throws Decided, which ends the execution.
  struct Decided {
    Outcome outcome;
  };
  Awaitable<Outcome> go();
  Awaitable<void> settle_on_server();
  Awaitable<void> seek();
  Awaitable<void> look();
  Awaitable<void> look_twice();
  Awaitable<void> start();
  Awaitable<void> submit();
  Awaitable<bool> submitted(const Reply& reply);
  Awaitable<void> upload();
  Awaitable<void> follow();
  Awaitable<Outcome> collect();
  Awaitable<Outcome> finish(const OutputFile& file);
  Awaitable<void> fetch(const OutputFile& file, const std::string& part);
  Awaitable<void> free_memory();

  [[noreturn]] void decide(const ProviderVerdict& verdict);
  [[noreturn]] void decide_fail(const std::string& code, const std::string& message);
  Awaitable<void> lose(const std::string& code, const std::string& message);
  Awaitable<void> book_run(ProviderCall::Outcome outcome, std::optional<std::chrono::milliseconds> took);
  Awaitable<void> give_up();
  Awaitable<void> clear_away();

  void use(Server& server);
  void remember();
  void next_run();
  void say(int percent, const std::string& note);
  std::string id() const;
  Mono last_moment() const;
  std::chrono::milliseconds ran() const;

  Tools& tools_;
  JobContext& context_;
  const Work work_;
  const Preset preset_;
  const std::string key_;
  Trail trail_;
  Asked asked_;
  Server* server_ = nullptr;
  Server::Found found_;
  std::string source_;  ///< as the server calls it
  std::optional<Mono> running_since_;
  std::string said_;
  int posts_ = 0;
  bool uploaded_again_ = false;
  bool parts_ = false;  ///< files of ours lie beside the target
};

/// "jpeg", "png", "webp" by the end of the target's name; else empty.
std::string format_of(const std::string& target);

}  // namespace rowcrew::generation::comfyui
