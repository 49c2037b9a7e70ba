// How an execution comes to its run: by finding it, or by beginning it.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include <rowcrew/fault.hpp>

#include "execution.hpp"

namespace rowcrew::generation::comfyui {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;
using Act = ProviderVerdict::Act;

constexpr int kMostPosts = 3;

}  // namespace

/// Where the run is, or is to be.
asio::awaitable<void> Execution::settle_on_server() {
  if (!trail_.server.empty()) {
    Server* known = tools_.named(trail_.server);
    if (known != nullptr) {
      use(*known);
      const auto closed = known->admit();
      if (closed) throw Decided{Snooze(*closed, "comfyui " + known->label() + ": has this run, and is waited for")};
      co_await look();
      if (found_.absent()) co_await look_twice();
      if (found_.absent() && trail_.accepted) co_await lose("comfyui_lost", "has lost this run, as after a restart");
      co_return;
    }
    context_.log().warning("comfyui.server_gone", {{"server", label_of(trail_.server)}}, "a run was left there, and it is configured no more");
    if (trail_.accepted) trail_.next();
    trail_.server.clear();
  }
  const bool is_repeated = context_.job().attempt > 1 || context_.job().crashes > 0;
  if (is_repeated && tools_.servers.size() > 1) co_await seek();
  if (server_ != nullptr) co_return;

  // The least busy one, in an order of the job's own.
  std::vector<Server*> order;
  for (const auto& server : tools_.servers) order.push_back(server.get());
  std::rotate(order.begin(), order.begin() + seed_of(key_) % order.size(), order.end());
  std::stable_sort(order.begin(), order.end(), [](const Server* a, const Server* b) { return a->busy < b->busy; });
  std::optional<Snooze> wait;
  for (Server* server : order) {
    std::optional<milliseconds> closed = server->admit();
    std::string why = "comfyui " + server->label() + ": is not called for a while";
    if (!closed) {
      use(*server);
      std::variant<Server::Found, ProviderVerdict> found = co_await server->find(asked_, id(), context_.deadline());
      if (Server::Found* seen = std::get_if<Server::Found>(&found)) {
        found_ = std::move(*seen);
        co_return;
      }
      const ProviderVerdict& verdict = std::get<ProviderVerdict>(found);
      if (verdict.act != Act::wait && verdict.act != Act::shut) decide(verdict);
      closed = server->closed_for();
      why = verdict.message;
    }
    if (!wait || *closed < wait->after) wait = Snooze(*closed, why);
  }
  throw Decided{std::move(*wait)};
}

/// An execution that left no word may have begun a run on any of them.
asio::awaitable<void> Execution::seek() {
  for (const auto& server : tools_.servers) {
    if (server->admit()) continue;
    use(*server);
    std::variant<Server::Found, ProviderVerdict> found = co_await server->find(asked_, id(), context_.deadline());
    Server::Found* seen = std::get_if<Server::Found>(&found);
    if (seen == nullptr || seen->absent()) continue;
    found_ = std::move(*seen);
    co_return;
  }
  if (server_ != nullptr) --server_->busy;
  server_ = nullptr;
}

asio::awaitable<void> Execution::look() {
  std::variant<Server::Found, ProviderVerdict> found = co_await server_->find(asked_, id(), context_.deadline());
  if (const ProviderVerdict* verdict = std::get_if<ProviderVerdict>(&found)) decide(*verdict);
  found_ = std::get<Server::Found>(std::move(found));
}

asio::awaitable<void> Execution::look_twice() {
  co_await tools_.clock.sleep_until(tools_.clock.mono() + kLooksApart);
  co_await look();
}

asio::awaitable<void> Execution::start() {
  if (preset_.source) co_await upload();
  while (found_.absent()) co_await submit();
}

/// Leaves found_ absent where it is to be tried again.
asio::awaitable<void> Execution::submit() {
  if (++posts_ > kMostPosts) {
    throw Decided{Retry("comfyui_no_answer", "comfyui " + server_->label() + ": does not answer when it is given the graph")};
  }
  Filling filling;
  filling.source = source_;
  filling.prompt = work_.prompt;
  filling.seed = seed_of(key_ + "\n" + work_.target);
  filling.prefix = "rowcrew-" + id();
  json body = {{"client_id", client_id(key_, work_.target)}, {"prompt_id", id()}};
  body["prompt"] = fill(preset_, filling);
  trail_.server = server_->base();
  remember();
  ROWCREW_FAULT_POINT("comfyui.submitting");
  std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
  const Reply reply = co_await server_->submit(asked_, std::move(text), context_.deadline());
  ROWCREW_FAULT_POINT("comfyui.submitted");
  const bool is_there = co_await submitted(reply);
  if (!is_there) co_return;
  trail_.accepted = true;
  remember();
  context_.log().debug("comfyui.submitted", {{"server", server_->label()}, {"prompt_id", id()}, {"run", trail_.run}});
}

/// Whether the server has it, as found_ then says.
asio::awaitable<bool> Execution::submitted(const Reply& reply) {
  if (reply.silent && reply.verdict.act == Act::fail) decide(reply.verdict);
  Submission submission;
  if (!reply.silent) {
    submission = judge_submission(reply.response, id(), preset_, asked_, server_->times_away(), tools_.clock.wall());
  }
  if (reply.silent || submission.what == Submission::What::known) {
    co_await look();
    if (found_.absent()) co_await look_twice();
    const bool is_known_elsewhere = found_.absent() && !reply.silent;
    if (is_known_elsewhere) {  // the server keeps the name, but neither a run nor its end
      const std::string server = trail_.server;
      trail_.next();
      trail_.server = server;
    }
    co_return !found_.absent();
  }
  server_->tell(submission.verdict);
  switch (submission.what) {
    case Submission::What::accepted:
      found_.sight.place = Place::pending;
      co_return true;
    case Submission::What::upload_again:
      if (uploaded_again_) break;
      uploaded_again_ = true;
      co_await upload();
      co_return false;
    case Submission::What::node_missing:
      context_.log().warning("comfyui.node_missing", {{"server", server_->label()}, {"preset", work_.preset}}, submission.verdict.message);
      break;
    default: break;
  }
  if (!submission.queued.empty()) {
    co_await server_->cancel(asked_, submission.queued, context_.deadline());
    next_run();
  }
  decide(submission.verdict);
}

asio::awaitable<void> Execution::upload() {
  Preparation order;
  order.source = work_.source;
  order.target = work_.target;
  order.to = ImageProgram::part_of(work_.target, context_.job().claim_token, "source");
  order.format = "png";
  order.max_side = tools_.config.max_side;
  const std::string part = order.to;
  parts_ = true;
  std::variant<Prepared, Outcome> prepared = co_await tools_.images.prepare(context_, std::move(order));
  if (Outcome* refused = std::get_if<Outcome>(&prepared)) throw Decided{std::move(*refused)};
  const std::string boundary = "rowcrew-" + std::to_string(tools_.random.bits()) + "-" + std::to_string(tools_.random.bits());
  const std::string name = upload_name(key_, work_.target);
  const Reply reply = co_await server_->upload(asked_, name, part, boundary, context_.deadline());
  if (reply.silent && reply.verdict.act == Act::wait) {
    co_await look();  // is it away, or are uploads what it does not take?
    throw Decided{Retry("comfyui_upload_failed", "comfyui " + server_->label() + ": answers, but did not take the picture")};
  }
  if (!reply.silent) server_->tell(reply.verdict);
  if (!reply.ok()) decide(reply.verdict);
  const std::optional<std::string> as = uploaded_as(reply.response.body);
  if (!as) decide_fail("comfyui_upload_failed", "comfyui " + server_->label() + ": took the picture, but gave it no name");
  source_ = *as;
  co_await clear_away();
}

}  // namespace rowcrew::generation::comfyui
