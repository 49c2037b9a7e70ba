// From one HTTP request to one enqueued job: checks, two statements, an answer.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <string_view>

#include <rowcrew/db.hpp>
#include <rowcrew/log.hpp>

#include "ingest/answers.hpp"
#include "ingest/database_probe.hpp"
#include "ingest/ingest_metrics.hpp"
#include "ingest/job_request.hpp"
#include "net/http_server.hpp"

namespace rowcrew {

class IngestHandler {
 public:
  /// All must outlive every request. Without `metrics` nothing is counted.
  IngestHandler(Db& db, DatabaseProbe& probe, Log& log, IngestMetrics* metrics = nullptr)
      : db_(db), probe_(probe), log_(log), metrics_(metrics) {}

  /// Event thread only. 202 only after the database has confirmed the commit. One log line per
  /// accepted job and per refusal; probes of health are not logged.
  boost::asio::awaitable<ServerResponse> answer(ServerRequest request);

 private:
  /// What is known about a request when it is refused.
  struct Caller {
    Caller() = default;
    std::string peer;
    std::string key_name;
    std::string job_type;
  };
  struct Enqueued {
    Enqueued() = default;
    std::string id;
    bool created = false;
  };

  boost::asio::awaitable<ServerResponse> enqueue(ServerRequest request, Caller& caller);
  boost::asio::awaitable<std::string> find_key_name(std::string key_hash);
  boost::asio::awaitable<Enqueued> insert(std::string key_hash, JobRequest job,
                                          std::optional<std::string> once);
  ServerResponse refuse(const Refused& refused, const Caller& caller);

  Db& db_;
  DatabaseProbe& probe_;
  Log& log_;
  IngestMetrics* metrics_;
};

}  // namespace rowcrew
