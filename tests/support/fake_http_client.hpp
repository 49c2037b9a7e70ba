// An HttpClient that answers from a script and keeps what it was asked.
#pragma once

#include <deque>
#include <exception>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include <rowcrew/http_client.hpp>

namespace rowcrew::testing {

class FakeHttpClient final : public HttpClient {
 public:
  /// The answer to the next request that has none yet.
  void answer(int status, HttpHeaders headers = {}, std::string body = {}) {
    HttpResponse response;
    response.status = status;
    response.headers = std::move(headers);
    response.body = std::move(body);
    script_.emplace_back(std::move(response));
  }
  /// It fails with `error`.
  template <class E>
  void fail(E error) {
    script_.emplace_back(std::make_exception_ptr(std::move(error)));
  }

  boost::asio::awaitable<HttpResponse> send(HttpRequest request) override {
    requests.push_back(std::move(request));
    if (script_.empty()) throw std::logic_error("fake http client: a request without an answer");
    auto next = std::move(script_.front());
    script_.pop_front();
    if (auto* error = std::get_if<std::exception_ptr>(&next)) std::rethrow_exception(*error);
    co_return std::get<HttpResponse>(std::move(next));
  }

  std::vector<HttpRequest> requests;

 private:
  std::deque<std::variant<HttpResponse, std::exception_ptr>> script_;
};

}  // namespace rowcrew::testing
