#include "net/smtp_mailer.hpp"

#include <algorithm>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <vector>

#include "net/smtp_transfer.hpp"

namespace rowcrew {
namespace asio = boost::asio;

namespace {

using TransferPtr = std::shared_ptr<SmtpTransfer>;

}  // namespace

struct SmtpMailer::State {
  class Flight;

  State(asio::any_io_executor events, EgressGuard allowed, SmtpOptions wanted)
      : executor(std::move(events)),
        guard(std::move(allowed)),
        options(std::move(wanted)),
        free_threads(executor, options.connections),
        threads(options.connections) {
    for (unsigned i = 0; i < options.connections; ++i) give_back();
  }

  void give_back() { free_threads.try_send(boost::system::error_code()); }

  asio::any_io_executor executor;
  const EgressGuard guard;
  const SmtpOptions options;
  /// One message per thread that is free: whoever waits for one can be cancelled.
  asio::experimental::channel<void(boost::system::error_code)> free_threads;
  std::vector<TransferPtr> in_flight;
  asio::thread_pool threads;
};

/// A thread taken for one transfer; given back when the coroutine's frame ends.
class SmtpMailer::State::Flight {
 public:
  Flight(std::shared_ptr<State> state, TransferPtr transfer)
      : state_(std::move(state)), transfer_(std::move(transfer)) {
    state_->in_flight.push_back(transfer_);
  }
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  ~Flight() {
    std::erase(state_->in_flight, transfer_);
    state_->give_back();
  }

 private:
  std::shared_ptr<State> state_;
  TransferPtr transfer_;
};

namespace {

/// Runs the conversation on a thread; the caller resumes when it is over, also when cancelled.
asio::awaitable<void> run_on(asio::thread_pool& threads, asio::any_io_executor executor,
                             TransferPtr transfer) {
  auto initiate = [&threads, executor](auto handler, TransferPtr started) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([started](asio::cancellation_type) { started->abort(); });
    }
    auto work = [handler = std::move(handler), guard = asio::make_work_guard(executor), slot,
                 started]() mutable {
      started->run();
      auto resume = [handler = std::move(handler), slot]() mutable {
        slot.clear();
        std::move(handler)();
      };
      asio::post(guard.get_executor(), std::move(resume));
    };
    asio::post(threads, std::move(work));
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      std::move(initiate), asio::use_awaitable, std::move(transfer));
}

}  // namespace

SmtpMailer::SmtpMailer(asio::any_io_executor executor, EgressGuard guard, SmtpOptions options)
    : state_(std::make_shared<State>(std::move(executor), std::move(guard), std::move(options))) {}

SmtpMailer::~SmtpMailer() {
  state_->free_threads.close();
  for (const auto& transfer : state_->in_flight) transfer->abort();
  state_->threads.join();
}

asio::awaitable<MailReceipt> SmtpMailer::send(Mail mail) {
  const auto state = state_;
  const auto transfer =
      std::make_shared<SmtpTransfer>(state->guard, state->options, std::move(mail));
  co_await state->free_threads.async_receive(asio::use_awaitable);
  const State::Flight flight(state, transfer);
  co_await run_on(state->threads, state->executor, transfer);
  co_return transfer->finish();
}

}  // namespace rowcrew
