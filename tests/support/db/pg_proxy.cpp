#include "support/db/pg_proxy.hpp"

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <future>
#include <list>
#include <thread>

#include "pg/connect_params.hpp"
#include "support/db/temp_database.hpp"

namespace asio = boost::asio;

namespace rowcrew::testing {
namespace {

using Socket = asio::generic::stream_protocol::socket;

struct Pair {
  explicit Pair(const asio::any_io_executor& executor) : client(executor), server(executor) {}
  Socket client, server;
  bool forgotten = false;
  void close() {
    boost::system::error_code ignored;
    client.close(ignored);
    server.close(ignored);
  }
};

ConnectParams params_of(const std::string& url) {
  PoolOptions options;
  options.url = url;
  return connect_params(options);
}

asio::generic::stream_protocol::endpoint server_endpoint(const ConnectParams& params) {
  const auto port = params.contains("port") ? params.at("port") : std::string("5432");
  const std::string host = params.contains("host") ? params.at("host") : "127.0.0.1";
  if (host.starts_with('/')) {
    return asio::local::stream_protocol::endpoint(host + "/.s.PGSQL." + port);
  }
  asio::io_context io;
  asio::ip::tcp::resolver resolver(io);
  return resolver.resolve(host, port).begin()->endpoint();
}

}  // namespace

struct PgProxy::State {
  enum class Fuse { none, request, answer, frozen };

  explicit State(const std::string& server_url)
      : params(params_of(server_url)), server(server_endpoint(params)) {
    open();
    params["host"] = "127.0.0.1";
    params["port"] = std::to_string(port);
    params["sslmode"] = "disable";
    params["gssencmode"] = "disable";
    thread = std::thread([this] { io.run(); });
  }

  void open() {
    asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
    acceptor = asio::ip::tcp::acceptor(io, endpoint);
    port = acceptor.local_endpoint().port();
    asio::co_spawn(io, accept(), [](std::exception_ptr) {});
  }

  asio::awaitable<void> accept() {
    for (;;) {
      auto pair = std::make_shared<Pair>(io.get_executor());
      auto [error] =
          co_await acceptor.async_accept(pair->client, asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      pairs.push_back(pair);
      ++accepted;
      asio::co_spawn(io, serve(pair), [](std::exception_ptr) {});
    }
  }

  /// What a server says to a password that is wrong: message 'E', its length, its fields.
  asio::awaitable<void> send_refusal(std::shared_ptr<Pair> pair) {
    using namespace std::string_literals;
    const std::string fields = "SFATAL\0VFATAL\0C28P01\0Mno\0\0"s;
    const std::string message = "E\0\0\0"s + static_cast<char>(fields.size() + 4) + fields;
    std::array<char, 1024> startup;
    co_await pair->client.async_read_some(asio::buffer(startup), asio::use_awaitable);
    co_await asio::async_write(pair->client, asio::buffer(message), asio::use_awaitable);
    pair->close();
  }

  asio::awaitable<void> serve(std::shared_ptr<Pair> pair) {
    if (refusing_logins) {
      co_await send_refusal(pair);
      co_return;
    }
    co_await pair->server.async_connect(server, asio::use_awaitable);
    asio::co_spawn(io, pump(pair, pair->server, pair->client, Fuse::answer),
                   [](std::exception_ptr) {});
    co_await pump(pair, pair->client, pair->server, Fuse::request);
  }

  asio::awaitable<void> pump(std::shared_ptr<Pair> pair, Socket& from, Socket& to, Fuse mine) {
    std::array<char, 16384> buffer;
    for (;;) {
      const auto [error, size] =
          co_await from.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
      if ((fuse == Fuse::frozen || pair->forgotten) && !error) continue;
      if (fuse == mine) {
        fuse = Fuse::none;
        close_all();
      }
      if (error) break;
      if (mine == Fuse::answer) ++answers;
      const auto [failed, written] = co_await asio::async_write(
          to, asio::buffer(buffer.data(), size), asio::as_tuple(asio::use_awaitable));
      if (failed) break;
    }
    pair->close();
  }

  void close_all() {
    for (const auto& weak : pairs) {
      if (const auto pair = weak.lock()) pair->close();
    }
    pairs.clear();
  }

  void call(std::function<void()> action) {
    asio::post(io, asio::use_future(std::move(action))).get();
  }

  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(io);
  ConnectParams params;
  asio::generic::stream_protocol::endpoint server;
  asio::ip::tcp::acceptor acceptor{io};
  unsigned short port = 0;
  std::list<std::weak_ptr<Pair>> pairs;
  Fuse fuse = Fuse::none;
  bool refusing_logins = false;
  std::atomic<unsigned> accepted{0};
  std::atomic<unsigned> answers{0};
  std::string url;
  std::thread thread;
};

PgProxy::PgProxy(const std::string& url) : state_(std::make_unique<State>(url)) {
  state_->url = test_url(state_->params);
}

PgProxy::~PgProxy() {
  state_->io.stop();
  state_->thread.join();
}

const std::string& PgProxy::url() const {
  return state_->url;
}

unsigned PgProxy::accepted() const {
  return state_->accepted;
}

unsigned PgProxy::answers() const {
  return state_->answers;
}

void PgProxy::refuse() {
  state_->call([this] {
    state_->acceptor.close();
    state_->close_all();
  });
}

void PgProxy::admit() {
  state_->call([this] {
    state_->fuse = State::Fuse::none;
    state_->open();
  });
}

void PgProxy::freeze() {
  state_->call([this] { state_->fuse = State::Fuse::frozen; });
}

void PgProxy::forget() {
  state_->call([this] {
    for (const auto& weak : state_->pairs) {
      if (const auto pair = weak.lock()) pair->forgotten = true;
    }
  });
}

void PgProxy::refuse_login() {
  state_->call([this] { state_->refusing_logins = true; });
}

void PgProxy::cut_at_request() {
  state_->call([this] { state_->fuse = State::Fuse::request; });
}

void PgProxy::cut_at_answer() {
  state_->call([this] { state_->fuse = State::Fuse::answer; });
}

}  // namespace rowcrew::testing
