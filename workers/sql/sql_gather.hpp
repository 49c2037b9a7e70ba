// Jobs of one entry that are in flight together share a transaction.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/job_transactions.hpp>

#include "sql_entry.hpp"

namespace rowcrew::sql_kind {

/// Event thread only. Lives as long as the process.
class Gather {
 public:
  /// A job waits no longer than this for others, and only while a transaction of the entry is under way:
  /// alone it goes at once, with whatever started in the same turn of the event loop.
  static constexpr std::chrono::milliseconds kLongestWait{2};

  /// Both must outlive this.
  Gather(const Entry& entry, Clock& clock) : entry_(entry), clock_(clock) {}

  /// Ends the job and calls the entry's function for it. When anything fails in a transaction of several
  /// jobs, all of it is undone and each member runs in one of its own: no job spoils its neighbours.
  /// Throws as JobTransactions::call does.
  boost::asio::awaitable<Settled> run(JobContext& context);

 private:
  using Executor = boost::asio::any_io_executor;
  struct Member {
    Member(JobContext& job, Executor executor) : context(job), woken(std::move(executor)) {}
    JobContext& context;
    boost::asio::steady_timer woken;
    bool sent = false;
    bool ended = false;
    bool alone = false;
    std::optional<Settled> settled;
    std::exception_ptr failed;
  };
  using Ref = std::shared_ptr<Member>;

  boost::asio::awaitable<Settled> run_alone(JobContext& context);
  boost::asio::awaitable<void> wait_for(Ref member);
  boost::asio::awaitable<void> send_soon();
  boost::asio::awaitable<void> run_batch(std::vector<Ref> members);
  void join(const Ref& member);
  void send(const Executor& executor);

  const Entry& entry_;
  Clock& clock_;
  std::deque<Ref> waiting_;
  bool sending_soon_ = false;
  std::size_t in_flight_ = 0;  ///< transactions
};

}  // namespace rowcrew::sql_kind
