// From one HTTP request to one enqueued job: checks, two statements, an answer.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/log.hpp>

#include "ingest/answers.hpp"
#include "ingest/database_probe.hpp"
#include "ingest/hook.hpp"
#include "ingest/ingest_metrics.hpp"
#include "ingest/job_request.hpp"
#include "net/http_server.hpp"

namespace rowcrew {

class IngestHandler {
 public:
  /// What others send: the clock says how old it is.
  struct Inbound {
    const Hooks& hooks;
    const Clock& clock;
  };
  /// All must outlive every request. Without `metrics` nothing is counted, without `inbound` there is no hook.
  IngestHandler(Db& db, DatabaseProbe& probe, Log& log, IngestMetrics* metrics = nullptr,
                const Inbound* inbound = nullptr)
      : db_(db), probe_(probe), log_(log), metrics_(metrics), inbound_(inbound) {}

  /// Event thread only. 202 only after the database has confirmed the commit. One log line per
  /// accepted job and per refusal; probes of health are not logged. An event that its hook does not want is 200.
  boost::asio::awaitable<ServerResponse> answer(ServerRequest request);

 private:
  /// What is known about a request when it is refused.
  struct Caller {
    Caller() = default;
    std::string peer;
    std::string key_name;
    std::string job_type;
    std::string hook;
    std::string event;  ///< the type that the hook was told
  };
  struct Enqueued {
    Enqueued() = default;
    std::string id;
    bool created = false;
  };

  boost::asio::awaitable<ServerResponse> enqueue(ServerRequest request, Caller& caller);
  boost::asio::awaitable<ServerResponse> take_hook(ServerRequest request, Caller& caller);
  const Hook& find_hook(std::string_view path) const;
  boost::asio::awaitable<std::string> find_key_name(std::string key_hash);
  boost::asio::awaitable<Enqueued> insert(std::string key_hash, JobRequest job,
                                          std::optional<std::string> once);
  static void add_origin(std::vector<LogField>& fields, const Caller& caller);
  ServerResponse enqueued(const Enqueued& done, const Caller& caller);
  ServerResponse refuse(const Refused& refused, const Caller& caller);

  Db& db_;
  DatabaseProbe& probe_;
  Log& log_;
  IngestMetrics* metrics_;
  const Inbound* inbound_;
};

}  // namespace rowcrew
