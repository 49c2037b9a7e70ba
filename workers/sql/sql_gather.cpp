#include "sql_gather.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace rowcrew::sql_kind {
namespace asio = boost::asio;
namespace {

/// For coroutines that let nothing out but the end of the process.
void swallow(std::exception_ptr) {}

}  // namespace

asio::awaitable<Settled> Gather::run(JobContext& context) {
  if (entry_.batch == 1) co_return co_await run_alone(context);
  auto executor = co_await asio::this_coro::executor;
  auto member = std::make_shared<Member>(context, executor);
  member->woken.expires_at(std::chrono::steady_clock::time_point::max());
  join(member);
  co_await wait_for(member);
  if (member->settled) co_return *member->settled;
  if (member->alone) std::rethrow_exception(member->failed);
  co_return co_await run_alone(context);
}

asio::awaitable<Settled> Gather::run_alone(JobContext& context) {
  std::vector<JobContext*> one{&context};
  const std::vector<Settled> settled = co_await context.transactions().call(entry_.function, std::move(one), entry_.timeout);
  co_return settled.at(0);
}

/// Returns when the member's transaction has ended; leaves as cancelled only if it was never sent.
asio::awaitable<void> Gather::wait_for(Ref member) {
  boost::system::error_code ignored;
  if (member->ended) co_return;  // a transaction that was begun here and is over already
  co_await member->woken.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (member->ended) co_return;
  if (!member->sent) {
    std::erase(waiting_, member);
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  // The transaction refers to this job, and may end it: that is what has to be told.
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!member->ended) co_await member->woken.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_await asio::this_coro::throw_if_cancelled(true);
}

void Gather::join(const Ref& member) {
  waiting_.push_back(member);
  const Executor executor = member->woken.get_executor();
  if (waiting_.size() >= entry_.batch) {
    send(executor);
  } else if (!sending_soon_) {
    sending_soon_ = true;
    asio::co_spawn(executor, send_soon(), swallow);
  }
}

asio::awaitable<void> Gather::send_soon() {
  auto executor = co_await asio::this_coro::executor;
  if (in_flight_ == 0) {
    co_await asio::post(executor, asio::use_awaitable);
  } else {
    co_await clock_.sleep_until(clock_.mono() + kLongestWait);
  }
  sending_soon_ = false;
  send(executor);
}

void Gather::send(const Executor& executor) {
  while (!waiting_.empty()) {
    // One transaction is about one job table.
    const std::string& table = waiting_.front()->context.job().table;
    std::vector<Ref> members;
    for (auto at = waiting_.begin(); at != waiting_.end() && members.size() < entry_.batch;) {
      if ((*at)->context.job().table != table) {
        ++at;
        continue;
      }
      members.push_back(*at);
      at = waiting_.erase(at);
    }
    for (const Ref& member : members) member->sent = true;
    ++in_flight_;
    asio::co_spawn(executor, run_batch(std::move(members)), swallow);
  }
}

asio::awaitable<void> Gather::run_batch(std::vector<Ref> members) {
  std::vector<JobContext*> jobs;
  for (const Ref& member : members) jobs.push_back(&member->context);
  std::vector<Settled> settled;
  std::exception_ptr failed;
  try {
    settled = co_await jobs.front()->transactions().call(entry_.function, jobs, entry_.timeout);
  } catch (...) {
    failed = std::current_exception();
  }
  --in_flight_;
  for (std::size_t i = 0; i < members.size(); ++i) {
    Member& member = *members[i];
    if (!failed) member.settled = settled.at(i);
    member.failed = failed;
    member.alone = members.size() == 1;
    member.ended = true;
    member.woken.cancel();
  }
  // Whoever has gathered meanwhile waits for nobody any more.
  send(members.front()->woken.get_executor());
}

}  // namespace rowcrew::sql_kind
