#include "magic_hour_provider.hpp"

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include <rowcrew/account_lanes.hpp>
#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/http_answer.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/provider_budget.hpp>
#include <rowcrew/provider_call.hpp>

#include "workers/generation/image_program.hpp"
#include "workers/generation/image_verdict.hpp"
#include "magic_hour_api.hpp"
#include "magic_hour_run.hpp"
#include "part_files.hpp"
#include "preset_fields.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;
using Act = ProviderVerdict::Act;

constexpr const char* kModel = "ai-headshot";
constexpr std::int64_t kUsualCredits = 50;
constexpr int kMostLost = 1;
constexpr int kMostInVain = 1;
constexpr int kMostUnknown = 2;   // answers of 404 to a headshot that we have the name of
constexpr int kMostLinks = 2;     // links to one file: they expire
constexpr milliseconds kUnreachable = 30s;
constexpr milliseconds kNoHeadshot = 45s;  // after 502, as its manual says
constexpr milliseconds kTimeToBook = 3s;
constexpr milliseconds kKeen = 2min;
constexpr milliseconds kLazy = 10s;

class MagicHourProvider final : public Provider {
 public:
  MagicHourProvider(const Deps& deps, MagicHourConfig config)
      : config_(std::move(config)), db_(deps.db), http_(deps.http), clock_(deps.clock), images_(deps), lanes_("magic_hour", deps.clock, deps.log),
        budget_(deps.db, deps.clock, deps.log, "magic_hour") {}

  boost::asio::awaitable<Outcome> generate(JobContext& context, Work work) override;

 private:
  class Execution;

  const MagicHourConfig config_;
  Db& db_;
  HttpClient& http_;
  Clock& clock_;
  ImageProgram images_;
  AccountLanes lanes_;
  ProviderBudget budget_;
};

/// One execution of one job.
class MagicHourProvider::Execution {
 public:
  using Next = boost::asio::awaitable<std::optional<Outcome>>;  // nullopt: go on
  using Answer = boost::asio::awaitable<std::variant<json, Outcome>>;

  Execution(MagicHourProvider& own, JobContext& context, Work work, HeadshotOrder order, HeadshotRun run)
      : own_(own),
        context_(context),
        job_(context.job()),
        work_(std::move(work)),
        order_(std::move(order)),
        run_(std::move(run)),
        picture_(ImageProgram::part_of(work_.target, job_.claim_token, "answer")),
        source_(ImageProgram::part_of(work_.target, job_.claim_token, "source")) {}

  Next step() {
    if (run_.may_be_orphaned(job_)) return orphaned();
    if (!run_.id.empty()) return follow();
    return run_.file_path.empty() ? upload() : create();
  }
  void remove_parts() const {
    remove_file(source_);
    remove_file(picture_);
  }

 private:
  Next orphaned();
  Next upload();
  Next create();
  Next follow();
  Next ended(Headshot shot);
  Next fetch(std::string url);
  Answer ask(HttpRequest request);
  boost::asio::awaitable<void> book_shot(ProviderCall::Outcome outcome, std::int64_t credits, std::string id);
  std::optional<Outcome> not_sent(AccountLanes::Leave& leave, const Error& error);
  Outcome give_up(const std::string& code, const std::string& message);

  void keep() {
    run_.crashes = job_.crashes;
    context_.checkpoint(run_.to_json());
  }
  std::string own_name() const { return fit_for_a_header(context_.idempotency_key() + ":" + std::to_string(run_.made)); }
  milliseconds clipped(milliseconds timeout) const {
    return std::clamp(std::chrono::duration_cast<milliseconds>(context_.deadline() - own_.clock_.mono()), 1ms, timeout);
  }

  MagicHourProvider& own_;
  JobContext& context_;
  const Job& job_;
  const Work work_;
  const HeadshotOrder order_;
  HeadshotRun run_;
  const std::string picture_;
  const std::string source_;
  bool orphan_ = false;  ///< the last call that ask() made may have been processed
  int status_ = 0;       ///< of its answer
  int unknown_ = 0;
  int links_ = 0;
};

std::optional<Outcome> MagicHourProvider::Execution::not_sent(AccountLanes::Leave& leave, const Error& error) {
  if (error.error_class() == ErrorClass::bug) throw error;
  if (error.code() == "http_file") return Outcome(Retry("output_unwritable", base_name(work_.target) + ": a file cannot be made beside it"));
  const bool away = error.error_class() == ErrorClass::transient;
  const ProviderVerdict verdict(away ? Act::wait : Act::shut, "magic_hour_unreachable", "magic_hour: cannot be reached: " + provider_words(error.what()),
                                away ? std::optional<milliseconds>(kUnreachable) : std::nullopt);
  return leave.tell(verdict);
}

// One call of the API.
MagicHourProvider::Execution::Answer MagicHourProvider::Execution::ask(HttpRequest request) {
  using Result = std::variant<json, Outcome>;
  orphan_ = false;
  status_ = 0;
  std::optional<Outcome> instead = own_.lanes_.closed(kModel);
  if (instead) co_return Result(std::move(*instead));
  AccountLanes::Leave leave(own_.lanes_, kModel);
  request.timeout = clipped(request.timeout);
  HttpResponse response;
  std::optional<Error> failure;
  try {
    response = co_await own_.http_.send(std::move(request));
  } catch (const Error& error) {
    failure = error;
  }
  if (failure && is_unsent(*failure)) co_return Result(*not_sent(leave, *failure));
  if (failure) {
    orphan_ = true;
    co_return Result(Outcome(Retry(failure->code(), "magic_hour: gave no whole answer: " + provider_words(failure->what()))));
  }
  status_ = response.status;
  ProviderVerdict verdict = judge_magic_hour(response, own_.clock_.wall());
  verdict.message = without_words(verdict.message, order_.prompt, work_.prompt);
  instead = leave.tell(verdict);
  if (instead) co_return Result(std::move(*instead));
  json answer = json::parse(response.body, nullptr, false);
  if (answer.is_object()) co_return Result(std::move(answer));
  orphan_ = true;
  co_return Result(Outcome(Retry("magic_hour_answer", "magic_hour: answers something else than its manual says")));
}

// Nobody can look up what became of a call for a headshot without its answer.
MagicHourProvider::Execution::Next MagicHourProvider::Execution::orphaned() {
  if (!run_.creating) ++run_.made;
  std::string id = own_name();
  co_await book_shot(ProviderCall::Outcome::lost, -1, std::move(id));
  run_.creating = false;
  ++run_.lost;
  keep();
  context_.log().warning("generation.call_lost", {{"provider", "magic_hour"}, {"model", kModel}, {"lost", run_.lost}},
                         "sent, and no answer that can be used: it may be billed");
  if (run_.lost <= kMostLost) co_return std::nullopt;
  co_return give_up("magic_hour_lost", "magic_hour: two headshots were asked for and never told of; both may be billed");
}

MagicHourProvider::Execution::Next MagicHourProvider::Execution::upload() {
  std::optional<Outcome> spent = co_await own_.budget_.spent(context_);
  if (spent) co_return spent;
  const Temporary source(source_);
  Preparation what;
  what.source = work_.source;
  what.target = work_.target;
  what.to = source_;
  what.max_side = own_.config_.max_side;
  std::variant<Prepared, Outcome> prepared = co_await own_.images_.prepare(context_, std::move(what));
  if (auto* instead = std::get_if<Outcome>(&prepared)) co_return std::move(*instead);
  HttpRequest where = ask_for_upload(own_.config_);
  std::variant<json, Outcome> answer = co_await ask(std::move(where));
  if (auto* instead = std::get_if<Outcome>(&answer)) co_return std::move(*instead);
  const std::optional<Upload> place = read_upload(std::get<json>(answer));
  if (!place) co_return Outcome(Retry("magic_hour_answer", "magic_hour: names no place for the source"));
  HttpRequest put("PUT", place->url);  // the link is the right to it: our key is none of that server's business
  put.file = source_;
  put.timeout = clipped(own_.config_.transfer_timeout);
  const HttpResponse response = co_await own_.http_.send(std::move(put));
  if (response.status / 100 != 2) {
    co_return Outcome(Retry("magic_hour_upload", "magic_hour: the source was not taken: answered " + std::to_string(response.status)));
  }
  run_.file_path = place->file_path;
  keep();
  co_return std::nullopt;
}

MagicHourProvider::Execution::Next MagicHourProvider::Execution::create() {
  std::optional<Outcome> spent = co_await own_.budget_.spent(context_);
  if (spent) co_return spent;
  run_.creating = true;
  ++run_.made;
  keep();
  HttpRequest request = ask_for_headshot(own_.config_, order_, run_.file_path, own_name());
  ROWCREW_FAULT_POINT("generation.calling");
  std::variant<json, Outcome> answer = co_await ask(std::move(request));
  std::optional<Outcome> outcome;
  if (auto* instead = std::get_if<Outcome>(&answer)) outcome = std::move(*instead);
  const Headshot shot = outcome ? Headshot() : read_headshot(std::get<json>(answer));
  if (orphan_ || (!outcome && shot.id.empty())) {
    std::optional<Outcome> failed = co_await orphaned();
    if (failed || !outcome) co_return failed;
    co_return outcome;  // a Retry: after a while
  }
  run_.creating = false;
  if (outcome) {
    if (status_ == 502) outcome = Outcome(Retry("magic_hour_http_502", "magic_hour: answered 502, no headshot was begun", kNoHeadshot));
    if (std::holds_alternative<Failed>(*outcome)) run_.file_path.clear();  // should somebody redrive it, with another upload
    keep();
    co_return outcome;
  }
  run_.id = shot.id;
  run_.credits = shot.credits;
  keep();
  ROWCREW_FAULT_POINT("generation.answered");
  co_return std::nullopt;
}

MagicHourProvider::Execution::Next MagicHourProvider::Execution::follow() {
  const Mono began = own_.clock_.mono();
  std::exception_ptr cancelled;
  Headshot shot;
  std::optional<Outcome> outcome;
  context_.progress(20, "magic_hour is at work");
  try {
    while (!shot.over && !outcome) {
      const milliseconds waited = std::chrono::duration_cast<milliseconds>(own_.clock_.mono() - began);
      // Before the deadline cuts it off, which would look as if nobody came back for it.
      if (waited >= own_.config_.render_timeout || clipped(kLazy) < kLazy) {
        co_return Outcome(Retry("magic_hour_slow", "magic_hour: is not done yet; the next attempt goes on with the same headshot"));
      }
      HttpRequest request = ask_for_state(own_.config_, run_.id);
      std::variant<json, Outcome> answer = co_await ask(std::move(request));
      if (auto* instead = std::get_if<Outcome>(&answer)) {
        if (status_ != 404) {
          outcome = std::move(*instead);
          break;
        }
        if (++unknown_ > kMostUnknown) {
          std::string id = run_.id;
          run_.id.clear();
          co_await book_shot(ProviderCall::Outcome::lost, run_.credits, std::move(id));
          ++run_.lost;
          keep();
          if (run_.lost <= kMostLost) co_return std::nullopt;
          co_return give_up("magic_hour_lost", "magic_hour: two headshots were asked for and are unknown there; both may be billed");
        }
      } else {
        shot = read_headshot(std::get<json>(answer));
      }
      if (shot.over) break;
      const milliseconds pause = waited < kKeen ? own_.config_.poll_every : std::max(kLazy, own_.config_.poll_every);
      co_await own_.clock_.sleep_until(own_.clock_.mono() + pause);
    }
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  if (cancelled) {
    // It is charged when it is asked for. Whoever goes on with it books the same call, which is then one.
    co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
    std::string id = run_.id;
    if (context_.lease_until() - own_.clock_.mono() > kTimeToBook) co_await book_shot(ProviderCall::Outcome::lost, run_.credits, std::move(id));
    std::rethrow_exception(cancelled);
  }
  if (!outcome) outcome = co_await ended(std::move(shot));
  co_return outcome;
}

MagicHourProvider::Execution::Next MagicHourProvider::Execution::ended(Headshot shot) {
  if (shot.credits >= 0) run_.credits = shot.credits;  // what it gives back for a failure is in there
  const bool done = shot.verdict.act == Act::answered;
  if (done || run_.credits != 0) {
    const auto what = done ? ProviderCall::Outcome::done : ProviderCall::Outcome::blocked;
    std::string id = run_.id;
    co_await book_shot(what, run_.credits, std::move(id));
  }
  ROWCREW_FAULT_POINT("generation.booked");
  std::optional<Outcome> outcome;
  if (done) {
    outcome = co_await fetch(shot.url);
    co_return outcome;
  }
  run_.id.clear();
  const std::string message = without_words(shot.verdict.message, order_.prompt, work_.prompt);
  if (shot.verdict.act == Act::shut) {
    AccountLanes::Leave leave(own_.lanes_, kModel);
    keep();
    co_return leave.tell(shot.verdict);
  }
  ++run_.in_vain;
  keep();
  if (shot.verdict.act == Act::again && run_.in_vain <= kMostInVain) co_return std::nullopt;
  co_return give_up(shot.verdict.code, message);
}

MagicHourProvider::Execution::Next MagicHourProvider::Execution::fetch(std::string url) {
  remove_file(picture_);
  HttpRequest request("GET", std::move(url));
  request.save_to = picture_;
  request.max_response_bytes = own_.config_.max_answer;
  request.timeout = clipped(own_.config_.transfer_timeout);
  context_.progress(80, "answered");
  const HttpResponse response = co_await own_.http_.send(std::move(request));
  if (response.status / 100 != 2) {
    if (++links_ < kMostLinks) co_return std::nullopt;  // the state has a fresh link
    co_return Outcome(Retry("magic_hour_download", "magic_hour: the picture is not handed out: answered " + std::to_string(response.status)));
  }
  Development what;
  what.source = picture_;
  what.consume = true;
  what.target = work_.target;
  what.workflow = order_.steps;
  Outcome outcome = co_await own_.images_.develop(context_, std::move(what));
  if (auto* finished = std::get_if<Completed>(&outcome)) {
    json result = json::parse(finished->result);
    result["model"] = kModel;
    result["external_id"] = run_.id;
    finished->result = result.dump();
  }
  co_return std::move(outcome);
}

boost::asio::awaitable<void> MagicHourProvider::Execution::book_shot(ProviderCall::Outcome outcome, std::int64_t credits, std::string id) {
  ProviderCall entry;
  entry.provider = "magic_hour";
  entry.model = kModel;
  entry.external_id = std::move(id);
  entry.outcome = outcome;
  entry.estimated = credits < 0;
  const std::int64_t counted = std::min<std::int64_t>(credits < 0 ? kUsualCredits : credits, 1'000'000);
  entry.cost_micros = counted * std::min<std::int64_t>(own_.config_.micros_per_credit, 1'000'000'000);
  const json units = {{"credits", credits}};
  if (credits >= 0) entry.units = units.dump();
  own_.budget_.add(entry.cost_micros);
  co_await book(own_.db_, context_, std::move(entry));
}

// Should somebody let the job run again, that begins anew.
Outcome MagicHourProvider::Execution::give_up(const std::string& code, const std::string& message) {
  run_ = HeadshotRun();
  keep();
  return Failed(code, message);
}

boost::asio::awaitable<Outcome> MagicHourProvider::generate(JobContext& context, Work work) {
  HeadshotOrder order = headshot_order(work);
  if (!can_be_written_beside(work.target)) {  // before it costs money
    co_return Outcome(Failed("output_unwritable", base_name(work.target) + ": the folder for the finished picture cannot be written"));
  }
  if (!order.steps.empty()) {
    std::string steps = order.steps;
    std::optional<Outcome> unsound = co_await images_.check(context, std::move(steps), work.target);
    if (unsound) co_return std::move(*unsound);
  }
  const std::string kept = co_await context.last_checkpoint();
  Execution execution(*this, context, std::move(work), std::move(order), HeadshotRun(kept));
  std::optional<Outcome> outcome;
  while (!outcome) outcome = co_await execution.step();
  if (!std::holds_alternative<Completed>(*outcome)) execution.remove_parts();
  co_return std::move(*outcome);
}

}  // namespace

std::unique_ptr<Provider> make_magic_hour_provider(const Deps& deps) {
  std::optional<MagicHourConfig> config = read_magic_hour_config(deps.kinds.section("generation").section("magic_hour"));
  if (!config) return nullptr;
  return std::make_unique<MagicHourProvider>(deps, std::move(*config));
}

}  // namespace rowcrew::generation
