// A ChildRunner that runs nothing: it answers from a script and keeps what it was asked.
#pragma once

#include <deque>
#include <exception>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include <rowcrew/child_runner.hpp>

namespace rowcrew::testing {

class FakeChildRunner final : public ChildRunner {
 public:
  /// How the next child without a result ends.
  void end(ChildResult result) { script_.emplace_back(std::move(result)); }
  /// It cannot be run.
  template <class E>
  void fail(E error) {
    script_.emplace_back(std::make_exception_ptr(std::move(error)));
  }

  boost::asio::awaitable<ChildResult> run(ChildRequest request) override {
    requests.push_back(std::move(request));
    if (script_.empty()) throw std::logic_error("fake child runner: a child without a result");
    auto next = std::move(script_.front());
    script_.pop_front();
    if (auto* error = std::get_if<std::exception_ptr>(&next)) std::rethrow_exception(*error);
    co_return std::get<ChildResult>(std::move(next));
  }

  std::vector<ChildRequest> requests;

 private:
  std::deque<std::variant<ChildResult, std::exception_ptr>> script_;
};

}  // namespace rowcrew::testing
