// Who is woken, and when nobody is.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <algorithm>
#include <chrono>

#include "base/system_clock.hpp"
#include "held_transaction.hpp"
#include "pg/listener.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;

namespace {

/// Hears what a node hears.
class Ear {
 public:
  Ear(QueueBench& bench, std::string channel)
      : bench_(bench),
        channel_(std::move(channel)),
        listener_(
            {.connection = *direct_options(bench.db.options()), .channels = {channel_}},
            [this](std::string_view, std::string_view payload) { heard_.emplace_back(payload); },
            [this] { ready_ = true; }, bench.log, clock_, random_) {
    asio::co_spawn(bench_.io, listener_.run(),
                   asio::bind_cancellation_slot(cancel_.slot(),
                                                [this](std::exception_ptr) { ended_ = true; }));
    until([this] { return ready_; });
  }
  ~Ear() {
    cancel_.emit(asio::cancellation_type::terminal);
    until([this] { return ended_; });
  }

  /// What has been heard since the last call. Notifications come in the order of commits: when the
  /// mark has come, nothing of before is on its way.
  std::vector<std::string> heard() {
    bench_.exec("SELECT pg_notify('" + channel_ + "', 'mark')");
    until([this] { return !heard_.empty() && heard_.back() == "mark"; });
    heard_.pop_back();
    return std::exchange(heard_, {});
  }

 private:
  template <class Condition>
  void until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    bench_.io.restart();
    while (!condition()) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      bench_.io.run_one_for(20ms);
    }
  }

  QueueBench& bench_;
  std::string channel_;
  SystemClock clock_;
  SystemRandom random_;
  std::vector<std::string> heard_;
  bool ready_ = false;
  bool ended_ = false;
  asio::cancellation_signal cancel_;
  Listener listener_;
};

using Payloads = std::vector<std::string>;

/// The lock that the leader of a fleet holds while it sleeps: only then does anybody notify.
constexpr const char* kAsleep = "SELECT pg_advisory_xact_lock(7126300141)";

}  // namespace

TEST_CASE("wake: to a fleet that sleeps, work that may run now is announced once per transaction") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const HeldTransaction sleeper(b.db, kAsleep);
    Ear ear(b, "rowcrew_wake");
    b.insert(100);
    CHECK(ear.heard() == Payloads{table});
    b.exec("UPDATE {t} SET priority = 1");
    CHECK(ear.heard() == Payloads{table});
    b.exec("UPDATE {t} SET status = 'failed'");
    CHECK(ear.heard().empty());
    b.exec("UPDATE {t} SET status = 'pending'");
    CHECK(ear.heard() == Payloads{table});
  }
}

TEST_CASE("wake: while somebody is awake, nobody notifies") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    Ear ear(b, "rowcrew_wake");
    b.insert(3);
    b.insert(3, "scheduled_at", "now() + interval '1 s'");
    b.exec("UPDATE {t} SET priority = 1");
    CHECK(ear.heard().empty());
  }
}

TEST_CASE("wake: many producers test the gate beside each other, and it does not look asleep to them") {
  QueueBench b;
  const HeldTransaction testing(b.db, "SELECT pg_advisory_xact_lock_shared(7126300141), pg_advisory_xact_lock_shared(7126300142)");
  Ear ear(b, "rowcrew_wake");
  b.insert(1);
  CHECK(ear.heard().empty());
}

TEST_CASE("wake: a producer that may not notify says so, and stays silent even to sleepers") {
  QueueBench b;
  const HeldTransaction sleeper(b.db, kAsleep);
  Ear ear(b, "rowcrew_wake");
  b.db.exec("SET rowcrew.notify = off; INSERT INTO rowcrew.job_queue (job_type) VALUES ('t')");
  CHECK(ear.heard().empty());
  CHECK(b.count("{ready}") == 1);
}

TEST_CASE("wake: what may run soon is announced as parked, what may not for long is not, until it is promoted") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const HeldTransaction sleeper(b.db, kAsleep);
    Ear ear(b, "rowcrew_wake");
    const auto heard_of = [&](const std::string& payload) {
      const Payloads heard = ear.heard();
      return std::count(heard.begin(), heard.end(), payload);
    };
    b.insert(3, "scheduled_at", "now() + interval '1 hour'");
    b.insert(3, "scheduled_at", "now() + interval '50 s'");  // the sleeper looks by itself before that
    CHECK(ear.heard().empty());
    b.insert(2, "scheduled_at", "now() + interval '20 s'");
    b.exec("UPDATE {t} SET priority = 1 WHERE scheduled_at < now() + interval '30 s'");
    CHECK(heard_of("parked") == 2);  // once per transaction
    b.exec("UPDATE {parked} SET run_at = now()");
    ear.heard();
    CHECK(b.await(b.jobs.promote(100)).jobs == 8);
    CHECK(heard_of(table) == 1);
  }
}

TEST_CASE("wake: claiming and finishing wake nobody, giving back does") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const HeldTransaction sleeper(b.db, kAsleep);
  Ear ear(b, "rowcrew_wake");
  b.insert(3);
  ear.heard();
  const auto claimed = b.claim(node);
  CHECK(ear.heard().empty());
  b.complete({claimed[0]});
  b.end({claimed[1]}, Retry("x", "", 1h));
  CHECK(ear.heard().empty());
  EndedJob back;
  back.job = claimed[2].job;
  back.ending = released(back.job);
  b.await(b.jobs.finish_ended(std::vector<EndedJob>{back}, node.node_id, {}));
  CHECK(ear.heard() == Payloads{"job_queue"});
}

TEST_CASE("wake: a command to nodes is announced, each kind by its name, and log lines are passed on") {
  QueueBench b;
  {
    Ear ear(b, "rowcrew_command");
    Params params;
    params.add("tail").add("{}").add(std::nullopt).add(1'000);
    b.run(sql::control_issue, std::move(params));
    CHECK(ear.heard() == Payloads{"node_command"});
    b.exec("INSERT INTO rowcrew.cancel_request (job_table, job_id) VALUES ('job_queue', rowcrew.uuid7())");
    CHECK(ear.heard() == Payloads{"cancel_request"});  // so that a node looks for nothing else, table by table
    b.exec("SELECT rowcrew.pause('tenant', 'acme')");
    CHECK(ear.heard() == Payloads{"pause"});
    b.exec("INSERT INTO rowcrew.queue (name, paused) VALUES ('q', true)");
    CHECK(ear.heard() == Payloads{"queue"});
  }
  Ear ear(b, "rowcrew_tail");
  const std::string chunk(7'900, 'x');
  b.run(sql::control_publish, Params{}.add(chunk));
  CHECK(ear.heard() == Payloads{chunk});
}
