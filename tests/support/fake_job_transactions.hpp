// Transactions without a database: every call is kept, takes as long as the test says, and ends as it says.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/job_transactions.hpp>

namespace rowcrew::testing {

class FakeJobTransactions final : public JobTransactions {
 public:
  explicit FakeJobTransactions(Clock& clock) : clock_(clock) {}

  struct Call {
    SqlFunction function;
    std::vector<std::string> ids;
    std::chrono::milliseconds within;
  };
  std::vector<Call> calls;
  std::chrono::milliseconds takes{0};
  /// Throws for a call that fails.
  std::function<void(const Call&)> refuse;
  bool ours = true;

  Awaitable<std::vector<Settled>> call(SqlFunction function, std::vector<JobContext*> jobs,
                                       std::chrono::milliseconds within) override {
    Call made{std::move(function), {}, within};
    for (const JobContext* job : jobs) made.ids.push_back(job->job().id);
    calls.push_back(made);
    if (takes.count() > 0) co_await clock_.sleep_until(clock_.mono() + takes);
    if (refuse) refuse(made);
    co_return std::vector<Settled>(jobs.size(), settled(ours));
  }

 protected:
  Awaitable<Settled> complete_with(JobContext&, std::function<std::string(Tx&)>) override { co_return settled(ours); }

 private:
  Clock& clock_;
};

class EndlessLease final : public LeaseView {
  Mono lease_until() const override { return Mono::max(); }
};

}  // namespace rowcrew::testing
