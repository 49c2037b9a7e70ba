#include "runtime/node_metrics.hpp"

#include <doctest/doctest.h>

#include "support/exposition.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using rowcrew::testing::parse_exposition;

namespace {

Slots slots_of(const std::vector<std::string>& queues) {
  std::vector<std::pair<std::string, std::size_t>> limits;
  for (const std::string& queue : queues) limits.emplace_back(queue, 4);
  return Slots(limits);
}

std::vector<std::string> names(const std::string& stem, std::size_t count) {  // told apart however much is cut
  std::vector<std::string> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(std::to_string(i) + stem);
  return all;
}

}  // namespace

TEST_CASE("node metrics: every series of few queues and kinds begins with its zero") {
  const NodeMetrics metrics({"default", "mail"}, {"email", "http"});
  const auto series = parse_exposition(metrics.text(slots_of({"default", "mail"})));
  CHECK(series.at("rowcrew_jobs_started_total{queue=\"mail\",kind=\"http\"}") == 0);
  CHECK(series.at("rowcrew_jobs_finished_total{queue=\"default\",kind=\"email\",outcome=\"claim_lost\"}") == 0);
  CHECK(series.at("rowcrew_job_run_seconds_count{kind=\"http\"}") == 0);
  CHECK(series.at("rowcrew_job_wait_seconds_bucket{queue=\"mail\",le=\"30\"}") == 0);
  CHECK(series.at("rowcrew_worker_slots{queue=\"default\"}") == 4);
  CHECK(series.at("rowcrew_lease_renewals_total{result=\"lost\"}") == 0);
  for (const auto& [name, value] : series) CHECK(name.find("\"other\"") == std::string::npos);
}

TEST_CASE("node metrics: a job's way is counted under its queue and kind") {
  NodeMetrics metrics({"default", "mail"}, {"email", "http"});
  Slots slots = slots_of({"default", "mail"});
  slots.take("mail");
  metrics.claimed("mail");
  metrics.claim_answered("job_queue", 3ms, false);
  metrics.claim_answered("job_queue", 1ms, true);
  for (int i = 0; i < 3; ++i) metrics.started("mail", "email");
  metrics.waited("mail", 0.2);
  metrics.ran("email", 40ms);
  metrics.finished("mail", "email", Ending::Kind::completed);
  metrics.finished("mail", "email", Ending::Kind::released);
  metrics.finished("default", "http", Ending::Kind::retry);
  metrics.finished("mail", "email", NodeMetrics::Outcome::claim_lost);
  metrics.renewed(NodeMetrics::Renewal::ok);
  metrics.notified();
  metrics.listening();
  metrics.listening();
  const auto series = parse_exposition(metrics.text(slots));
  CHECK(series.at("rowcrew_jobs_claimed_total{queue=\"mail\"}") == 1);
  CHECK(series.at("rowcrew_jobs_running{queue=\"mail\"}") == 1);
  CHECK(series.at("rowcrew_claim_seconds_count{table=\"job_queue\"}") == 2);
  CHECK(series.at("rowcrew_claim_empty_total{table=\"job_queue\"}") == 1);
  CHECK(series.at("rowcrew_jobs_started_total{queue=\"mail\",kind=\"email\"}") == 3);
  CHECK(series.at("rowcrew_job_wait_seconds_bucket{queue=\"mail\",le=\"0.25\"}") == 1);
  CHECK(series.at("rowcrew_job_run_seconds_sum{kind=\"email\"}") == doctest::Approx(0.04));
  CHECK(series.at("rowcrew_jobs_finished_total{queue=\"mail\",kind=\"email\",outcome=\"completed\"}") == 1);
  CHECK(series.at("rowcrew_jobs_finished_total{queue=\"mail\",kind=\"email\",outcome=\"released\"}") == 1);
  CHECK(series.at("rowcrew_jobs_finished_total{queue=\"mail\",kind=\"email\",outcome=\"claim_lost\"}") == 1);
  CHECK(series.at("rowcrew_jobs_finished_total{queue=\"default\",kind=\"http\",outcome=\"retried\"}") == 1);
  CHECK(series.at("rowcrew_lease_renewals_total{result=\"ok\"}") == 1);
  CHECK(series.at("rowcrew_notify_received_total") == 1);
  CHECK(series.at("rowcrew_listen_reconnects_total") == 1);
}

TEST_CASE("node metrics: a type that no handler here serves is \"other\"") {
  NodeMetrics metrics({"default"}, {"email"});
  metrics.finished("default", "misspelt", Ending::Kind::failed);
  metrics.started("nowhere", "email");
  const auto series = parse_exposition(metrics.text(slots_of({"default"})));
  CHECK(series.at("rowcrew_jobs_finished_total{queue=\"default\",kind=\"other\",outcome=\"failed\"}") == 1);
  CHECK(series.at("rowcrew_jobs_started_total{queue=\"other\",kind=\"email\"}") == 1);
}

TEST_CASE("node metrics: very many queues and kinds with the longest names stay below a mebibyte") {
  const std::vector<std::string> queues = names(std::string(90, '"') + "queue", 300);
  const std::vector<std::string> kinds = names(std::string(90, 'k') + "kind", 300);
  NodeMetrics metrics(queues, kinds);
  for (const std::string& queue : queues) {
    metrics.claimed(queue);
    for (const std::string& kind : kinds) metrics.started(queue, kind);
  }
  for (int i = 0; i < 64; ++i) metrics.claim_answered(std::string(48, 't') + std::to_string(i), 1ms, false);
  const std::string text = metrics.text(slots_of(queues));
  CHECK(text.size() < 1'000'000);
  double started = 0;
  for (const auto& [name, value] : parse_exposition(text)) {
    if (name.starts_with("rowcrew_jobs_started_total")) started += value;
  }
  CHECK(started == 300 * 300);
}
