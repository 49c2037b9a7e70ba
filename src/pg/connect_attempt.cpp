#include "pg/connect_attempt.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <system_error>

#include <rowcrew/db_error.hpp>

#include "pg/continuation.hpp"

namespace rowcrew {

namespace asio = boost::asio;

asio::awaitable<std::shared_ptr<ConnectAttempt>> ConnectAttempt::make(Connector& connector, const std::string& batch,
                                                                      std::weak_ptr<ConnectAttempt>& current) {
  auto made = std::make_shared<ConnectAttempt>();
  current = made;
  auto initiate = [&connector, &batch, made](auto handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([weak = std::weak_ptr(made)](asio::cancellation_type) {
        if (const auto attempt = weak.lock()) attempt->interrupt_.trigger();
      });
    }
    auto resume = continuation<>(std::move(handler));
    try {
      // Not the owner of the attempt: a thread cannot join itself.
      made->thread_ = std::thread([&connector, &batch, attempt = made.get(), resume] {
        attempt->run(connector, batch);
        resume();
      });
    } catch (const std::system_error&) {  // no thread to be had
      made->error = std::current_exception();
      resume();
    }
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(std::move(initiate), asio::use_awaitable);
  made->join();
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return made;
}

void ConnectAttempt::run(Connector& connector, const std::string& batch) {
  try {
    connection = connector.connect(&interrupt_);
    begin_session(connection.get(), batch, connector.options(), &interrupt_);
  } catch (...) {
    connection.reset();
    error = std::current_exception();
  }
}

std::string ConnectAttempt::failure() const {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
  return {};
}

bool ConnectAttempt::crowded() const {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const DbError& e) {
    return e.connection_lost() && e.sqlstate() == kTooManyConnections;
  } catch (const std::exception&) {
  }
  return false;
}

void ConnectAttempt::end() {
  interrupt_.trigger();
  join();
}

void ConnectAttempt::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace rowcrew
