// Seeded random steps against the real statements, compared after each with a model that knows which
// handlers run: no key above its limit, none idle below it, no permit lost or invented.
// ROWCREW_LIMIT_STEPS and ROWCREW_LIMIT_SEED choose a longer run.
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <random>

#include "limits_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

int number_from(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoi(text);
}

using Keys = std::vector<std::string>;

/// A handler that runs, whatever the database thinks of its job.
struct Handler {
  ClaimedJob job;
  Keys keys;
  std::size_t node;
};

struct Model : LimitsBench {
  enum class Of { ours, adopted };
  explicit Model(unsigned seed, Of whose) : random(seed), adopted(whose == Of::adopted) {
    if (adopted) adopt_like_job_queue();
    for (int i = 0; i < 4; ++i) nodes.push_back(node(100 + i));
    caps = {{"all", 9}, {"tenant", 2}, {"account", 3}};
    this->set("all", "p_queue => 'q', p_running => 9");
    set("tenant", "p_queue => 'q', p_by => 'tenant', p_running => 2");
    set("account", "p_queue => 'q', p_by => 'payload.account', p_running => 3");
  }

  int below(int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); }
  int cap_of(const std::string& key) const { return caps.at(key.substr(0, key.find(':'))); }
  std::map<std::string, int> running() const {
    std::map<std::string, int> count;
    for (const Handler& handler : handlers) {
      for (const std::string& key : handler.keys) ++count[key];
    }
    return count;
  }
  std::vector<ClaimedJob> some_to_end(std::size_t by, int most) {
    std::vector<ClaimedJob> ends;
    for (auto at = handlers.begin(); at != handlers.end() && std::ssize(ends) < most;) {
      if (at->node == by && below(2) == 0) {
        ends.push_back(at->job);
        at = handlers.erase(at);
      } else {
        ++at;
      }
    }
    return ends;
  }
  void start(std::size_t by, const std::vector<ClaimedJob>& claimed) {
    for (const ClaimedJob& job : claimed) handlers.push_back({job, keys.at(job.job.id), by});
  }

  void enqueue() {
    for (int n = 1 + below(4); n > 0; --n) {
      const int tenant = below(4);
      const int account = below(3);
      Keys of{"all"};
      std::string tenant_sql = "NULL";
      std::string payload = "'{}'";
      if (account > 0) {
        of.push_back(fmt::format("account:{}", account));
        payload = fmt::format(R"('{{"account": {}}}')", account);
      }
      if (tenant > 0) {
        of.push_back(fmt::format("tenant:t{}", tenant));
        tenant_sql = fmt::format("'t{}'", tenant);
      }
      const std::string id = insert_one("tenant, payload, priority, max_attempts", fmt::format("{}, {}, {}, 1000", tenant_sql, payload, below(3)));
      keys[id] = of;
    }
  }
  void take_some() {
    const std::size_t by = static_cast<std::size_t>(below(4));
    const auto before = running();
    const bool thorough = below(3) == 0;
    const auto ends = some_to_end(by, below(4));
    if (adopted) CHECK(claim(nodes[by], thorough ? 300 : 3).empty());  // rules are about all: it moves them behind their keys
    Took took = take(nodes[by], thorough ? 60 : static_cast<std::size_t>(1 + below(3)), ends, thorough || below(4) > 0);
    start(by, took.jobs);
    for (int again = 0; thorough && took.answer.look == std::chrono::milliseconds(0) && again < 10; ++again) {
      took = take(nodes[by], 60);
      start(by, took.jobs);
    }
    for (const auto& [key, count] : running()) {
      const auto was = before.find(key);
      CHECK(count <= std::max(cap_of(key), was == before.end() ? 0 : was->second));
    }
    if (thorough) {
      CAPTURE(took.answer.look.value_or(std::chrono::milliseconds(-1)).count());
      CAPTURE(took.jobs.size());
      never_idle();
    }
  }
  /// Of what waits nothing could have been taken.
  void never_idle() {
    const auto now = running();
    const Rows waiting = query("SELECT id FROM {limited} JOIN {t} USING (id) WHERE status IN ('pending', 'retrying')");
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      bool full = false;
      for (const std::string& key : keys.at(std::string(waiting.text(i, 0)))) {
        const auto at = now.find(key);
        full = full || (at == now.end() ? 0 : at->second) >= cap_of(key);
      }
      CAPTURE(hints(std::string(waiting.text(i, 0))));
      CAPTURE(status(std::string(waiting.text(i, 0))));
      CAPTURE(fmt::format("{}", fmt::join(keys.at(std::string(waiting.text(i, 0))), " ")));
      REQUIRE(full);
    }
  }
  void fail() {
    const std::size_t by = static_cast<std::size_t>(below(4));
    const auto ends = some_to_end(by, 3);
    if (!ends.empty()) end_alone(ends, below(2) == 0 ? Outcome(Retry("again", "try again", std::chrono::milliseconds(0))) : Outcome(Failed("no", "no")));
  }
  void kill_and_rescue() {
    const std::size_t dead = static_cast<std::size_t>(below(4));
    kill(nodes[dead]);
    std::int64_t after = 0;
    do after = await(jobs.reap(3, after)).last_token;
    while (after != 0);
    std::erase_if(handlers, [&](const Handler& handler) { return handler.node == dead; });
    nodes[dead] = node(nodes[dead].epoch + 1000);
  }
  void suspect() {
    const std::size_t by = static_cast<std::size_t>(below(4));
    const auto claimed = claim_suspect(nodes[by]);
    note(claimed);
    start(by, claimed);
  }
  void change_cap() {
    const char* names[] = {"all", "tenant", "account"};
    const std::string name = names[below(3)];
    const int cap = below(name == "all" ? 14 : 5);
    set(name, fmt::format("p_queue => 'q', {} p_running => {}", name == "all" ? "" : name == "tenant" ? "p_by => 'tenant'," : "p_by => 'payload.account',", cap));
    caps[name] = cap;
  }
  /// What comes back meanwhile is folded; what starts then holds no permit of the account.
  void rate_for_a_while() {
    const std::size_t by = static_cast<std::size_t>(below(4));
    const std::string rule = "p_queue => 'q', p_by => 'payload.account', ";
    set("account", rule + "p_units => 1000000, p_per => '1 s'");
    const auto ends = some_to_end(by, 3);
    if (!ends.empty()) end_alone(ends, Completed());
    const Took took = take(nodes[by], 2);
    if (!took.jobs.empty()) end_alone(took.jobs, Completed());
    set("account", rule + fmt::format("p_running => {}", caps["account"]));
  }
  void by_hand() {
    const char* acts[] = {
        "UPDATE {t} SET status = 'pending' WHERE id = (SELECT id FROM {t} WHERE status = 'processing' ORDER BY id LIMIT 1)",
        "UPDATE {t} SET status = 'cancelled' WHERE id = (SELECT id FROM {t} WHERE status IN ('pending', 'retrying') ORDER BY id LIMIT 1)",
        "DELETE FROM {t} WHERE id = (SELECT id FROM {t} WHERE status = 'processing' ORDER BY id DESC LIMIT 1)",
        "UPDATE {t} SET priority = 9 WHERE id = (SELECT id FROM {t} WHERE status = 'pending' ORDER BY id DESC LIMIT 1)",
    };
    exec(acts[below(4)]);
  }
  void step() {
    const int dice = below(100);
    if (dice < 28) enqueue();
    else if (dice < 78) take_some();
    else if (dice < 88) fail();
    else if (dice < 91) kill_and_rescue();
    else if (dice < 94) suspect();
    else if (dice < 97) by_hand();
    else if (dice < 98) change_cap();
    else if (dice < 99) rate_for_a_while();
    else CHECK(forget_keys() == 0);
  }
  /// What the database holds of each key is what runs.
  void compare() {
    std::map<std::string, int> out;
    const Rows rows = query("SELECT k.key, k.held - (SELECT coalesce(sum(f.n), 0) FROM rowcrew.limit_freed f WHERE f.key = k.key) FROM rowcrew.limit_key k");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const int held = static_cast<int>(rows.integer(i, 1));
      if (held != 0) out.emplace(rows.text(i, 0), held);
    }
    CHECK(out == running());
  }
  /// Keeps the tables small, and the jobs from waiting for ever.
  void tidy() {
    exec("DELETE FROM {t} WHERE status IN ('completed', 'failed', 'cancelled')");
    if (number("SELECT count(*) FROM {t}") > 150) exec("UPDATE {t} SET status = 'cancelled' WHERE status IN ('pending', 'retrying')");
  }

  std::mt19937 random;
  bool adopted;
  std::vector<NodeIdentity> nodes;
  std::map<std::string, int> caps;
  std::map<std::string, Keys> keys;
  std::vector<Handler> handlers;
};

}  // namespace

TEST_CASE("limits: a model of what runs agrees with the keys after every step") {
  const int steps = number_from("ROWCREW_LIMIT_STEPS", 1500);
  const unsigned seed = static_cast<unsigned>(number_from("ROWCREW_LIMIT_SEED", 7));
  for (const Model::Of table : {Model::Of::ours, Model::Of::adopted}) {
    CAPTURE(static_cast<int>(table));
    Model model(seed, table);
    for (int step = 0; step < steps; ++step) {
      CAPTURE(seed);
      CAPTURE(step);
      model.step();
      model.compare();
      if (step % 50 == 49) model.tidy();
    }
  }
}
