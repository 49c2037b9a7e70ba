#include "loopback.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace rowcrew::testing {
namespace asio = boost::asio;
using asio::as_tuple;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

std::string url_of(std::uint16_t port, std::string_view path) {
  return "http://127.0.0.1:" + std::to_string(port) + std::string(path);
}

asio::awaitable<void> serve_one(RawServer::Script script, tcp::socket socket) {
  co_await script(socket);
}

asio::awaitable<void> accept_all(std::shared_ptr<tcp::acceptor> acceptor, RawServer::Script script,
                                 std::shared_ptr<int> accepted) {
  for (;;) {
    auto [ec, socket] = co_await acceptor->async_accept(as_tuple(use_awaitable));
    if (ec) co_return;
    ++*accepted;
    // A script that the peer cuts short has done its part.
    asio::co_spawn(acceptor->get_executor(), serve_one(script, std::move(socket)),
                   [](std::exception_ptr) {});
  }
}

}  // namespace

RunningServer::RunningServer(asio::io_context& io, HttpServer::Handler handler,
                             HttpServerOptions options)
    : server_(io.get_executor(), std::move(options), std::move(handler), log_),
      stop_(std::make_shared<asio::cancellation_signal>()) {
  auto ended = [stopped = stopped_, signal = stop_](std::exception_ptr) { *stopped = true; };
  asio::co_spawn(io, server_.run(), asio::bind_cancellation_slot(stop_->slot(), std::move(ended)));
}

RunningServer::~RunningServer() = default;

std::string RunningServer::url(std::string_view path) const {
  return url_of(port(), path);
}

void RunningServer::stop() {
  stop_->emit(asio::cancellation_type::terminal);
}

RawServer::RawServer(asio::io_context& io, Script script)
    : acceptor_(
          std::make_shared<tcp::acceptor>(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0))) {
  asio::co_spawn(io, accept_all(acceptor_, std::move(script), accepted_),
                 [](std::exception_ptr) {});
}

RawServer::~RawServer() {
  acceptor_->close();
}

std::string RawServer::url(std::string_view path) const {
  return url_of(acceptor_->local_endpoint().port(), path);
}

asio::awaitable<std::string> read_head(tcp::socket& socket) {
  std::string head;
  auto buffer = asio::dynamic_buffer(head);
  const auto bytes =
      co_await asio::async_read_until(socket, buffer, std::string_view("\r\n\r\n"), use_awaitable);
  head.resize(bytes);
  co_return head;
}

asio::awaitable<void> write_text(tcp::socket& socket, std::string text) {
  const auto bytes = asio::buffer(text);
  co_await asio::async_write(socket, bytes, use_awaitable);
}

asio::awaitable<std::string> read_rest(tcp::socket& socket) {
  std::string all;
  std::array<char, 4096> chunk{};
  for (;;) {
    const auto space = asio::buffer(chunk);
    const auto [ec, bytes] = co_await socket.async_read_some(space, as_tuple(use_awaitable));
    all.append(chunk.data(), bytes);
    if (ec) co_return all;
  }
}

asio::awaitable<tcp::socket> connect_to(std::uint16_t port) {
  tcp::socket socket(co_await asio::this_coro::executor);
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
  co_await socket.async_connect(endpoint, use_awaitable);
  co_return socket;
}

asio::awaitable<std::string> exchange(std::uint16_t port, std::string text) {
  auto socket = co_await connect_to(port);
  co_await write_text(socket, std::move(text));
  co_return co_await read_rest(socket);
}

asio::awaitable<void> pause_for(std::chrono::milliseconds span) {
  asio::steady_timer timer(co_await asio::this_coro::executor, span);
  co_await timer.async_wait(use_awaitable);
}

asio::awaitable<bool> until(std::function<bool()> condition) {
  const auto start = std::chrono::steady_clock::now();
  while (!condition()) {
    if (since(start) > std::chrono::seconds(5)) co_return false;
    co_await pause_for(std::chrono::milliseconds(1));
  }
  co_return true;
}

std::chrono::milliseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               start);
}

}  // namespace rowcrew::testing
