// Everything that a kind may use, as fakes, and a way to run one of its handlers on a payload.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>

#include <rowcrew/db.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/handler.hpp>
#include "base/config.hpp"
#include "support/fake_child_runner.hpp"
#include "support/fake_clock.hpp"
#include "support/fake_http_client.hpp"
#include "support/fake_mailer.hpp"
#include "support/fake_ports.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

/// Settings as read from a file with this text.
inline Settings settings_from(const std::string& yaml) {
  std::string path = "/tmp/rowcrew-settings-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0) throw std::runtime_error("settings: no temporary file");
  ::close(fd);
  std::ofstream(path) << yaml;
  ConfigSources sources;
  sources.file = path;
  try {
    Settings settings = load_config(sources);
    ::unlink(path.c_str());
    return settings;
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
}

/// A database for kinds that must not touch one.
class NoDb final : public Db {
  boost::asio::awaitable<void> submit(TxMode, std::function<void(Tx&)>) override {
    throw std::logic_error("no database: this kind was to do without one");
  }
};

/// `yaml` is the whole configuration; kinds get its section `kinds`.
class KindBench {
 public:
  explicit KindBench(const std::string& yaml) : root(settings_from(yaml)) {
    job.id = "018f4e2a-0000-7000-8000-000000000001";
    job.table = "job_queue";
    job.queue = "default";
  }

  /// Runs one execution with this payload, which ends at clock.mono() + `left` at the latest.
  Outcome run(Handler& handler, const std::string& payload,
              std::chrono::milliseconds left = std::chrono::hours(1)) {
    job.payload = payload;
    JobContext context(job, log, clock.mono() + left, clock.mono(), node);
    Outcome outcome = Cancelled("did not run");
    auto body = [&]() -> boost::asio::awaitable<void> { outcome = co_await handler.run(context); };
    testing::run(io, body());
    return outcome;
  }

  boost::asio::io_context io;
  FakeClock clock;
  FakeRandom random;
  LogCapture log;
  FakeHttpClient http;
  FakeMailer mail;
  FakePorts ports;
  FakeChildRunner children;
  NoDb db;
  Settings root;
  Settings kinds = root.section("kinds");
  Deps deps{db, ports, http, mail, children, clock, random, log, kinds};
  Job job;
  const JobContext::Node* node = nullptr;  ///< for kinds that end their jobs in transactions
};

}  // namespace rowcrew::testing
