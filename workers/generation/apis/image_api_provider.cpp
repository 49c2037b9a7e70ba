#include "image_api_provider.hpp"

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <nlohmann/json.hpp>

#include <rowcrew/clock.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/http_answer.hpp>
#include <rowcrew/provider_call.hpp>
#include <rowcrew/random.hpp>
#include <rowcrew/vendors.hpp>

#include "workers/generation/image_verdict.hpp"
#include "paid_calls.hpp"
#include "part_files.hpp"
#include "preset_fields.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;
using Act = ProviderVerdict::Act;

constexpr milliseconds kUnreachable = 30s;
constexpr milliseconds kTimeToBook = 3s;

// FNV-1a: the same for a job wherever it runs.
std::uint32_t hash_of(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

}  // namespace

/// One execution of one job.
class ImageApiProvider::Execution {
 public:
  using Next = boost::asio::awaitable<std::optional<Outcome>>;  // nullopt: call (again)

  Execution(ImageApiProvider& own, JobContext& context, Work work, PictureOrder order, PaidCalls calls)
      : own_(own),
        api_(*own.api_),
        context_(context),
        job_(context.job()),
        work_(std::move(work)),
        order_(std::move(order)),
        calls_(std::move(calls)),
        answer_(ImageProgram::part_of(work_.target, job_.claim_token, "answer")),
        source_(ImageProgram::part_of(work_.target, job_.claim_token, "source")) {}

  Next take_up();
  Next call();
  void remove_parts() const {
    remove_file(source_);
    remove_file(answer_);
  }

 private:
  Next check_steps();
  Next no_answer(AccountLanes::Leave& leave, const Error& error);
  Next refused(AccountLanes::Leave& leave, const HttpResponse& response, ProviderVerdict verdict);
  Next finish();
  Next develop(const PictureAnswer& answer);
  std::optional<Outcome> in_vain(const PictureAnswer& answer);
  Next lose();
  boost::asio::awaitable<void> count_lost();
  std::optional<Outcome> may_repeat();
  Outcome give_up(const std::string& code, const std::string& message);
  boost::asio::awaitable<void> book_call(ProviderCall::Outcome outcome, Tokens tokens, std::string external_id);

  void keep() { context_.checkpoint(calls_.to_json()); }
  std::string own_name() const { return fit_for_a_header(context_.idempotency_key() + ":" + std::to_string(calls_.sent)); }
  /// Only what a later execution can find out as well: a call is booked once by it.
  std::string external_id(const PictureAnswer& answer) const { return answer.external_id.empty() ? own_name() : answer.external_id; }
  CallName call_name();
  milliseconds time_left() const { return std::chrono::duration_cast<milliseconds>(context_.deadline() - own_.clock_.mono()); }
  std::string told(const std::string& message) const { return without_words(message, order_.prompt, work_.prompt); }

  ImageApiProvider& own_;
  const ImageApi& api_;
  JobContext& context_;
  const Job& job_;
  const Work work_;
  const PictureOrder order_;
  PaidCalls calls_;
  const std::string answer_;
  const std::string source_;
};

// What earlier executions left: an answer that was paid for is used, and a call without one is counted.
ImageApiProvider::Execution::Next ImageApiProvider::Execution::take_up() {
  const PaidCalls::Past past = calls_.past(job_);
  if (past == PaidCalls::Past::nothing) co_return may_repeat();
  std::optional<Outcome> outcome;
  if (past == PaidCalls::Past::unknown) ++calls_.sent;
  const std::string left = ImageProgram::part_of(work_.target, calls_.claim, "answer");
  // Under our own name, no late writer of that execution is in the way of ours, nor ours in its.
  if (past == PaidCalls::Past::unknown || !rename_file(left, answer_)) {
    outcome = co_await lose();
    co_return outcome;
  }
  context_.log().info("generation.answer_found", {{"provider", api_.name()}, {"model", order_.model}});
  calls_.take_over(job_);
  keep();
  outcome = co_await finish();
  co_return outcome;
}

CallName ImageApiProvider::Execution::call_name() {
  CallName name;
  name.id = own_name();
  name.seed = (hash_of(context_.idempotency_key()) + static_cast<std::uint32_t>(calls_.in_vain)) & 0x7FFFFFFFU;
  name.boundary = own_.random_.bits();
  return name;
}

ImageApiProvider::Execution::Next ImageApiProvider::Execution::call() {
  std::optional<Outcome> outcome = co_await check_steps();
  if (!outcome) outcome = co_await own_.budget_.spent(context_);
  if (!outcome) outcome = own_.lanes_.closed(order_.model);
  if (outcome) co_return outcome;
  AccountLanes::Leave leave(own_.lanes_, order_.model);
  const Temporary source(source_);
  if (!can_be_written_beside(work_.target)) {  // before it costs money
    co_return Outcome(Failed("output_unwritable", base_name(work_.target) + ": the folder for the finished picture cannot be written"));
  }
  if (!work_.source.empty()) {
    Preparation what;
    what.source = work_.source;
    what.target = work_.target;
    what.to = source_;
    what.max_side = api_.config.max_side;
    what.base64 = api_.inlines_source();
    std::variant<Prepared, Outcome> prepared = co_await own_.images_.prepare(context_, std::move(what));
    if (auto* instead = std::get_if<Outcome>(&prepared)) co_return std::move(*instead);
  }
  calls_.send(job_);
  HttpRequest request = api_.request(order_, work_.source.empty() ? std::string() : source_, call_name());
  request.save_to = answer_;
  request.max_response_bytes = api_.config.max_answer;
  request.timeout = std::clamp<milliseconds>(time_left(), 1ms, api_.config.timeout);
  keep();
  context_.progress(10, "waiting for " + api_.name());
  ROWCREW_FAULT_POINT("generation.calling");
  HttpResponse response;
  std::optional<Error> failure;
  std::exception_ptr cancelled;
  try {
    response = co_await own_.http_.send(std::move(request));
  } catch (const Error& error) {
    failure = error;
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  if (cancelled) {
    // Nobody may run this job again and find the call open: it is booked now, if there is time for that.
    co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
    if (context_.lease_until() - own_.clock_.mono() > kTimeToBook) co_await count_lost();
    std::rethrow_exception(cancelled);
  }
  if (failure) {
    outcome = co_await no_answer(leave, *failure);
    co_return outcome;
  }
  ProviderVerdict verdict = api_.judge(response, own_.clock_.wall());
  if (verdict.act != Act::answered) {
    outcome = co_await refused(leave, response, std::move(verdict));
    co_return outcome;
  }
  leave.tell(verdict);
  calls_.answer(job_, provider_words(api_.request_id(response.headers)));
  keep();
  ROWCREW_FAULT_POINT("generation.answered");
  context_.progress(80, "answered");
  outcome = co_await finish();
  co_return outcome;
}

// Steps that are wrong have to be found before a picture is paid for that they cannot finish.
ImageApiProvider::Execution::Next ImageApiProvider::Execution::check_steps() {
  constexpr std::size_t kMost = 1000;
  if (order_.steps.empty() || own_.sound_.count(order_.steps) > 0) co_return std::nullopt;
  std::string steps = order_.steps;
  std::optional<Outcome> outcome = co_await own_.images_.check(context_, std::move(steps), work_.target);
  if (!outcome) {
    if (own_.sound_.size() >= kMost) own_.sound_.clear();
    own_.sound_.insert(order_.steps);
  }
  co_return outcome;
}

ImageApiProvider::Execution::Next ImageApiProvider::Execution::no_answer(AccountLanes::Leave& leave, const Error& error) {
  const bool is_ours = error.error_class() == ErrorClass::bug || error.code() == "http_file";
  if (is_unsent(error) && !is_ours) {
    const bool away = error.error_class() == ErrorClass::transient;
    calls_.close(job_);
    keep();
    const std::string message = api_.name() + ": cannot be reached: " + provider_words(error.what());
    const ProviderVerdict verdict(away ? Act::wait : Act::shut, api_.name() + "_unreachable", message,
                                  away ? std::optional<milliseconds>(kUnreachable) : std::nullopt);
    co_return leave.tell(verdict);
  }
  if (is_ours) {  // nothing was sent
    calls_.close(job_);
    keep();
    if (error.error_class() == ErrorClass::bug) throw error;
    co_return Outcome(Retry("output_unwritable", base_name(work_.target) + ": a file for the answer cannot be made beside it"));
  }
  std::optional<Outcome> outcome = co_await lose();
  if (outcome) co_return outcome;
  // What the disk lacks names a path.
  const std::string why = error.code() == "http_disk" ? "the disk did not take it" : provider_words(error.what());
  co_return Outcome(Retry(error.code(), api_.name() + ": gave no whole answer: " + why));
}

ImageApiProvider::Execution::Next ImageApiProvider::Execution::refused(AccountLanes::Leave& leave, const HttpResponse& response,
                                                                       ProviderVerdict verdict) {
  verdict.message = told(verdict.message);
  const bool after_work = verdict.act == Act::fail && api_.refused_after_work(response);
  if (after_work) {
    Tokens none;
    std::string id = own_name();
    co_await book_call(ProviderCall::Outcome::blocked, none, std::move(id));
    ++calls_.in_vain;
  }
  calls_.close(job_);
  keep();
  std::optional<Outcome> outcome = leave.tell(verdict);
  if (after_work && calls_.in_vain <= 1) co_return std::nullopt;
  co_return outcome;
}

// The answer lies in answer_.
ImageApiProvider::Execution::Next ImageApiProvider::Execution::finish() {
  std::optional<Outcome> outcome;
  std::variant<json, Outcome> skimmed = co_await own_.images_.skim(context_, answer_, work_.target);
  if (auto* instead = std::get_if<Outcome>(&skimmed)) {
    if (!std::holds_alternative<Failed>(*instead)) co_return std::move(*instead);  // later; it stays where it is
    outcome = co_await lose();
    co_return outcome;
  }
  const PictureAnswer answer = api_.read(std::get<json>(skimmed));
  if (!calls_.booked) {
    const auto what = answer.pointer.empty() ? ProviderCall::Outcome::blocked : ProviderCall::Outcome::done;
    std::string id = external_id(answer);
    co_await book_call(what, answer.tokens, std::move(id));
    calls_.booked = true;
    keep();
  }
  ROWCREW_FAULT_POINT("generation.booked");
  if (answer.pointer.empty()) co_return in_vain(answer);
  outcome = co_await develop(answer);
  co_return outcome;
}

std::optional<Outcome> ImageApiProvider::Execution::in_vain(const PictureAnswer& answer) {
  remove_file(answer_);
  calls_.close(job_);
  ++calls_.in_vain;
  keep();
  context_.log().info("generation.in_vain", {{"provider", api_.name()}, {"model", order_.model}, {"code", answer.code}});
  if (calls_.in_vain <= answer.repeats) return std::nullopt;
  return give_up(answer.code, answer.message);
}

ImageApiProvider::Execution::Next ImageApiProvider::Execution::develop(const PictureAnswer& answer) {
  Development what;
  what.source = answer_;
  what.pointer = answer.pointer;
  what.consume = true;
  what.target = work_.target;
  what.workflow = order_.steps;
  Outcome outcome = co_await own_.images_.develop(context_, std::move(what));
  if (auto* done = std::get_if<Completed>(&outcome)) {
    json result = json::parse(done->result);
    result["model"] = order_.model;
    result["external_id"] = external_id(answer);
    if (!calls_.request_id.empty()) result["request_id"] = calls_.request_id;
    done->result = result.dump();
  }
  co_return std::move(outcome);
}

ImageApiProvider::Execution::Next ImageApiProvider::Execution::lose() {
  co_await count_lost();
  co_return may_repeat();
}

std::optional<Outcome> ImageApiProvider::Execution::may_repeat() {
  if (calls_.lost <= PaidCalls::kMostLost) return std::nullopt;
  return give_up(api_.name() + "_lost", api_.name() + ": two calls were sent and gave no answer that can be used; both may be billed");
}

// Should somebody let the job run again, that begins anew.
Outcome ImageApiProvider::Execution::give_up(const std::string& code, const std::string& message) {
  calls_.lost = calls_.in_vain = 0;
  keep();
  return Failed(code, told(message));
}

// A call that is billed, perhaps, without an answer that anybody can use.
boost::asio::awaitable<void> ImageApiProvider::Execution::count_lost() {
  if (!calls_.booked) {
    Tokens none;
    std::string id = own_name();
    co_await book_call(ProviderCall::Outcome::lost, none, std::move(id));
  }
  remove_file(answer_);
  calls_.lose(job_);
  keep();
  context_.log().warning("generation.call_lost", {{"provider", api_.name()}, {"model", order_.model}, {"lost", calls_.lost}},
                         "sent, and no answer that can be used: it may be billed");
}

boost::asio::awaitable<void> ImageApiProvider::Execution::book_call(ProviderCall::Outcome outcome, Tokens tokens, std::string external_id) {
  const Bill bill = bill_for(api_.config.models.find(order_.model)->second, tokens);
  ProviderCall entry;
  entry.provider = api_.name();
  entry.model = order_.model;
  entry.external_id = std::move(external_id);
  entry.outcome = outcome;
  entry.units = bill.units;
  entry.cost_micros = bill.cost_micros;
  entry.estimated = bill.estimated;
  own_.budget_.add(entry.cost_micros);
  co_await book(own_.db_, context_, std::move(entry));
}

ImageApiProvider::ImageApiProvider(const Deps& deps, std::unique_ptr<ImageApi> api)
    : api_(std::move(api)),
      db_(deps.db),
      http_(deps.http),
      clock_(deps.clock),
      random_(deps.random),
      images_(deps),
      lanes_(api_->name(), deps.clock, deps.log),
      budget_(deps.db, deps.clock, deps.log, api_->name()) {}

boost::asio::awaitable<Outcome> ImageApiProvider::generate(JobContext& context, Work work) {
  PictureOrder order = api_->order(work);
  const std::string target = work.target;
  const std::string kept = co_await context.last_checkpoint();
  PaidCalls calls(api_->name(), kept);
  Execution execution(*this, context, std::move(work), std::move(order), std::move(calls));
  std::optional<Outcome> outcome = co_await execution.take_up();
  while (!outcome) outcome = co_await execution.call();
  const bool last = std::holds_alternative<Retry>(*outcome) && context.job().attempt >= context.job().max_attempts;
  if (last || std::holds_alternative<Failed>(*outcome)) {  // nobody comes for what lies there
    execution.remove_parts();
    if (context.job().crashes > 0) co_await images_.clear_away(context, target);
  }
  co_return std::move(*outcome);
}

}  // namespace rowcrew::generation
