#include "net/curl_http_client.hpp"

#include <utility>

#include "net/curl_multi.hpp"
#include "net/curl_transfer.hpp"

namespace rowcrew {
namespace asio = boost::asio;

struct CurlHttpClient::State {
  State(asio::any_io_executor executor, EgressGuard allowed, CurlLimits limits)
      : guard(std::move(allowed)),
        multi(std::make_shared<CurlMulti>(std::move(executor), limits)) {}

  const EgressGuard guard;
  const std::shared_ptr<CurlMulti> multi;
};

CurlHttpClient::CurlHttpClient(asio::any_io_executor executor, EgressGuard guard)
    : CurlHttpClient(std::move(executor), std::move(guard), CurlLimits::of_process()) {}

CurlHttpClient::CurlHttpClient(asio::any_io_executor executor, EgressGuard guard, CurlLimits limits)
    : state_(std::make_shared<State>(std::move(executor), std::move(guard), limits)) {}

CurlHttpClient::~CurlHttpClient() = default;

asio::awaitable<HttpResponse> CurlHttpClient::send(HttpRequest request) {
  const auto state = state_;
  const auto transfer = std::make_unique<CurlTransfer>(state->guard, std::move(request));
  const auto code = co_await state->multi->perform(transfer->easy(), transfer->timeout());
  co_return transfer->finish(code);
}

}  // namespace rowcrew
