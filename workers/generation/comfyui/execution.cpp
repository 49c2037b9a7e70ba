#include "execution.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/price.hpp>

namespace rowcrew::generation::comfyui {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using Act = ProviderVerdict::Act;

constexpr milliseconds kSoon = 1s;
constexpr milliseconds kGivingUp = 4s;
constexpr std::int64_t kMostServerErrors = 3;
constexpr std::int64_t kMostOutOfMemory = 2;
constexpr std::int64_t kMostInterrupted = 1;
constexpr std::int64_t kMostBroken = 2;

}  // namespace

Tools::Tools(Db& database, Clock& time, Random& chance, ImageProgram& program, const Config& settings, HttpClient& http, Log& log)
    : db(database), clock(time), random(chance), images(program), config(settings) {
  for (const std::string& base : settings.servers) servers.push_back(std::make_unique<Server>(base, settings, http, time, log));
}

Server* Tools::named(const std::string& base) {
  const auto at = std::find_if(servers.begin(), servers.end(), [&](const auto& server) { return server->base() == base; });
  return at == servers.end() ? nullptr : at->get();
}

Execution::Execution(Tools& tools, JobContext& context, Work work)
    : tools_(tools), context_(context), work_(std::move(work)), preset_(parse_preset(work_)), key_(context.idempotency_key()), asked_("", work_.prompt) {}

Execution::~Execution() {
  if (server_ != nullptr) --server_->busy;
}

asio::awaitable<Outcome> Execution::run() {
  std::optional<Outcome> outcome;
  try {
    outcome = co_await go();
  } catch (Decided& decided) {
    outcome = std::move(decided.outcome);
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted) throw;
  }
  if (outcome) {
    if (parts_) co_await clear_away();
    co_return std::move(*outcome);
  }
  // A node that stops, or has lost its lease, leaves the run to whoever goes on.
  const bool is_over = context_.cancelled() || tools_.clock.mono() + 50ms >= context_.deadline();
  if (is_over) {
    // Here, not in there: the very call would be refused as cancelled.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await give_up();
  } else if (trail_.accepted) {
    remember();
  }
  throw boost::system::system_error(asio::error::operation_aborted);
}

asio::awaitable<Outcome> Execution::go() {
  trail_ = parse_trail(co_await context_.last_checkpoint());
  co_await settle_on_server();
  if (found_.absent()) co_await start();
  co_await follow();
  co_return co_await collect();
}

/// Until found_ has ended.
asio::awaitable<void> Execution::follow() {
  const Mono began = tools_.clock.mono();
  std::optional<Mono> absent_since;
  bool is_looked = !posts_;
  while (!found_.ended()) {
    const Mono now = tools_.clock.mono();
    const Place place = found_.sight.place;
    if (place == Place::absent) {
      if (absent_since && now - *absent_since >= kLooksApart) co_await lose("comfyui_lost", "has lost this run, as after a restart");
      if (!absent_since) absent_since = now;
    } else {
      absent_since.reset();
      if (!trail_.accepted) {
        trail_.accepted = true;
        trail_.server = server_->base();
        remember();
      }
      if (place == Place::running && !running_since_) running_since_ = now;
      if (is_looked) say(place == Place::running ? 10 : 0, say_place(found_.sight, server_->label()));
    }
    if (ran() > tools_.config.timeout) {
      co_await server_->cancel(asked_, id(), context_.deadline());
      co_await lose("comfyui_timeout", "has worked on this graph for longer than it may");
    }
    // What goes on over there does not end with this execution.
    if (now >= last_moment()) {
      remember();
      throw Decided{Snooze(kSoon, "comfyui " + server_->label() + ": goes on with this run")};
    }
    const milliseconds pause = poll_after(tools_.config.poll, duration_cast<milliseconds>(now - began));
    co_await tools_.clock.sleep_until(std::min(now + pause, std::max(last_moment(), now + 1ms)));
    co_await look();
    is_looked = true;
  }
  if (!trail_.accepted) {
    trail_.accepted = true;
    trail_.server = server_->base();
    remember();
  }
}

asio::awaitable<Outcome> Execution::collect() {
  ROWCREW_FAULT_POINT("comfyui.ended");
  const RunEnd end = judge_run(found_.entry, preset_, asked_);
  const bool is_done = end.what == RunEnd::What::done;
  if (end.what != RunEnd::What::out_of_memory) server_->out_of_memory = 0;
  if (is_done) server_->broken = 0;
  ProviderCall::Outcome billed = is_done ? ProviderCall::Outcome::done : ProviderCall::Outcome::blocked;
  if (end.what == RunEnd::What::interrupted) billed = ProviderCall::Outcome::lost;
  co_await book_run(billed, end.took);
  if (is_done) {
    Outcome outcome = co_await finish(end.file);
    co_return outcome;
  }
  if (end.what == RunEnd::What::out_of_memory) co_await free_memory();
  std::optional<Outcome> again;
  switch (end.what) {
    case RunEnd::What::out_of_memory:
      if (++trail_.out_of_memory <= kMostOutOfMemory) again = Retry(end.code, end.message, 2s);
      break;
    case RunEnd::What::interrupted:
      if (++trail_.interrupted <= kMostInterrupted) again = Retry(end.code, end.message, kSoon);
      break;
    case RunEnd::What::broken: {
      // Who comes after the first one meets what somebody else has broken.
      const bool is_first = ++server_->broken == 1;
      if (is_first) ++trail_.broken;
      const milliseconds closed = ProviderLane::kFirstShut * (1 << std::min(server_->broken - 1, 10));
      server_->tell({Act::shut, end.code, end.message, std::min(closed, ProviderLane::kLongestShut)});
      if (trail_.broken <= kMostBroken) again = Snooze(server_->closed_for(), end.message);
      break;
    }
    default: break;
  }
  next_run();
  if (!again) decide_fail(end.code, end.message);
  co_return std::move(*again);
}

asio::awaitable<void> Execution::free_memory() {
  co_await server_->free_memory(asked_, context_.deadline());
  // Not the one job that asks for too much, but a server that has lost its memory to something else.
  if (++server_->out_of_memory < 3) co_return;
  server_->tell({Act::wait, "comfyui_out_of_memory", "comfyui " + server_->label() + ": has no memory for any graph", 60s});
}

asio::awaitable<Outcome> Execution::finish(const OutputFile& file) {
  say(90, "fetching the picture from " + server_->label());
  const std::string part = ImageProgram::part_of(work_.target, context_.job().claim_token, "result");
  co_await fetch(file, part);
  Development order;
  order.source = part;
  order.consume = true;
  order.target = work_.target;
  order.workflow = preset_.develop;
  order.format = format_of(work_.target);
  Outcome outcome = co_await tools_.images.develop(context_, std::move(order));
  if (Completed* completed = std::get_if<Completed>(&outcome)) {
    json result = json::parse(completed->result, nullptr, false);
    if (result.is_object()) {
      result["prompt_id"] = id();
      result["server"] = server_->label();
      completed->result = result.dump(-1, ' ', false, json::error_handler_t::replace);
    }
    parts_ = false;
  }
  ROWCREW_FAULT_POINT("comfyui.developed");
  co_return outcome;
}

asio::awaitable<void> Execution::fetch(const OutputFile& file, const std::string& part) {
  constexpr int kTries = 4;
  parts_ = true;
  for (int attempt = 1;; ++attempt) {
    const Reply reply = co_await server_->view(asked_, file, part, tools_.config.max_bytes, context_.deadline());
    if (reply.ok()) co_return;
    const bool is_missing = !reply.silent && reply.response.status == 404;
    const bool may_come = is_missing || (reply.silent && reply.verdict.act == Act::wait);
    if (!may_come || attempt == kTries) {
      if (is_missing) {
        next_run();
        decide_fail("comfyui_file_missing", "comfyui " + server_->label() + ": has run the graph, but has no longer the file that it wrote");
      }
      server_->tell(reply.verdict);
      decide(reply.verdict);
    }
    co_await tools_.clock.sleep_until(tools_.clock.mono() + kSoon);
  }
}

void Execution::decide(const ProviderVerdict& verdict) {
  switch (verdict.act) {
    case Act::wait:
    case Act::shut:
      if (!trail_.server.empty()) remember();
      throw Decided{Snooze(server_->closed_for(), verdict.message)};
    case Act::again:
      if (++trail_.server_errors > kMostServerErrors) break;
      remember();
      throw Decided{Retry(verdict.code, verdict.message, verdict.wait)};
    default: break;
  }
  decide_fail(verdict.code, verdict.message);
}

void Execution::decide_fail(const std::string& code, const std::string& message) {
  trail_.forget_faults();
  remember();
  throw Decided{Failed(code, message)};
}

/// The run has come to nothing: the next one is for the next attempt.
asio::awaitable<void> Execution::lose(const std::string& code, const std::string& message) {
  if (ran() > 0ms) co_await book_run(ProviderCall::Outcome::lost, std::nullopt);
  next_run();
  throw Decided{Retry(code, "comfyui " + server_->label() + ": " + message, kSoon)};
}

asio::awaitable<void> Execution::book_run(ProviderCall::Outcome outcome, std::optional<milliseconds> took) {
  if (trail_.booked >= trail_.run) co_return;
  const milliseconds gpu = took.value_or(ran());
  Cost cost;
  cost.add(gpu.count() * 1000, tools_.config.second_micros);  // a second is a million of them
  ProviderCall call;
  call.provider = "comfyui";
  call.model = work_.preset;
  call.external_id = id();
  call.outcome = outcome;
  const json units = {{"gpu_ms", gpu.count()}};
  call.units = units.dump();
  call.cost_micros = cost.micros();
  call.estimated = !took;
  trail_.booked = trail_.run;
  remember();
  co_await book(tools_.db, context_, std::move(call));
}

/// Nobody will ask for this run any more: what it still takes of the server is given back, in a time of its own.
asio::awaitable<void> Execution::give_up() {
  const Mono until = tools_.clock.mono() + kGivingUp;
  if (server_ != nullptr && !trail_.server.empty() && !found_.ended()) {
    bool is_freed = co_await server_->cancel(asked_, id(), until);
    if (!trail_.accepted) {  // it may have been read, and not yet queued
      co_await tools_.clock.sleep_until(tools_.clock.mono() + 500ms);
      is_freed = co_await server_->cancel(asked_, id(), until);
    }
    context_.log().info("comfyui.cancelled", {{"server", server_->label()}, {"prompt_id", id()}}, is_freed ? "" : "the server did not answer: it may go on");
    if (ran() > 0ms) co_await book_run(ProviderCall::Outcome::lost, std::nullopt);
    next_run();
  }
  if (parts_) co_await clear_away();
}

void Execution::next_run() {
  trail_.next();
  running_since_.reset();
  remember();
}

asio::awaitable<void> Execution::clear_away() {
  parts_ = false;
  co_await tools_.images.clear_away(context_, work_.target);
}

void Execution::use(Server& server) {
  if (server_ != nullptr) --server_->busy;
  server_ = &server;
  ++server_->busy;
  asked_.label = server.label();
}

void Execution::remember() {
  const std::int64_t before = trail_.ran_ms;
  trail_.ran_ms = ran().count();
  context_.checkpoint(to_checkpoint(trail_));
  trail_.ran_ms = before;
}

void Execution::say(int percent, const std::string& note) {
  if (note == said_) return;
  said_ = note;
  context_.progress(percent, note);
}

std::string Execution::id() const { return prompt_id(key_, work_.target, trail_.run); }

/// A moment before the runtime would end this execution.
Mono Execution::last_moment() const {
  const auto whole = context_.deadline() - context_.started();
  return context_.deadline() - std::clamp<MonoClock::duration>(whole / 10, 200ms, 10s);
}

milliseconds Execution::ran() const {
  const milliseconds before(trail_.ran_ms);
  return running_since_ ? before + duration_cast<milliseconds>(tools_.clock.mono() - *running_since_) : before;
}

std::string format_of(const std::string& target) {
  std::string end = target.substr(std::min(target.rfind('.'), target.size() - 1));
  std::transform(end.begin(), end.end(), end.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  if (end == ".jpg" || end == ".jpeg") return "jpeg";
  if (end == ".png" || end == ".webp") return end.substr(1);
  return {};
}

}  // namespace rowcrew::generation::comfyui
