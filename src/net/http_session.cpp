#include "net/http_session.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/read_size.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/write.hpp>

#include "base/event.hpp"
#include "net/http_syntax.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::as_tuple;
using asio::use_awaitable;
using beast::error_code;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t kReadChunk = 4096;
constexpr std::size_t kMostAtOnce = std::size_t{64} << 10;
/// What an answer gets when its request has used up the deadline, and what a peer gets to read it.
constexpr std::chrono::seconds kLastWords{1};
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::size_t kMaxLoggedPath = 200;

bool is_http_error(const error_code& ec) {
  return ec.category() == http::make_error_code(http::error::end_of_stream).category();
}

/// Nullopt: there is nobody to tell.
std::optional<Refusal> judge_read_error(const error_code& ec) {
  if (!is_http_error(ec) || ec == http::error::end_of_stream) return std::nullopt;
  if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
    return Refusal(431, "head_too_large", "request line and headers are too long");
  }
  if (ec == http::error::body_limit) return Refusal(413, "body_too_large", "the body is too long");
  if (ec == http::error::partial_message) {
    return Refusal(400, "bad_request", "the request ends before it is complete");
  }
  return Refusal(400, "bad_request", "the request is malformed");
}

Refusal internal_error() {
  return Refusal(500, "internal", "the request could not be served");
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

/// What a handler made must not be able to break the framing of the answer.
bool is_sound(const ServerResponse& response) {
  if (response.status < 200 || response.status > 599) return false;
  return is_header_value(response.content_type) &&
         std::all_of(response.headers.begin(), response.headers.end(), [](const auto& header) {
           return is_header_name(header.first) && is_header_value(header.second) &&
                  !equals_ignoring_case(header.first, "content-length") &&
                  !equals_ignoring_case(header.first, "transfer-encoding") &&
                  !equals_ignoring_case(header.first, "connection");
         });
}

http::response<http::string_body> to_message(ServerResponse response, unsigned version,
                                             bool keep_alive) {
  http::response<http::string_body> message;
  message.version(version);
  message.result(static_cast<unsigned>(response.status));
  for (const auto& [name, value] : response.headers) message.insert(name, value);
  if (!has_no_body(response.status)) {
    if (!response.content_type.empty()) {
      message.set(http::field::content_type, response.content_type);
    }
    message.body() = std::move(response.body);
  }
  message.keep_alive(keep_alive);
  message.prepare_payload();
  return message;
}

}  // namespace

HttpSession::HttpSession(std::shared_ptr<HttpServerCore> core, StreamSocket socket)
    : core_(std::move(core)),
      socket_(std::move(socket)),
      buffer_(core_->options.max_header_bytes + 2 * kReadChunk),
      timer_(socket_.get_executor()),
      turn_(socket_.get_executor()) {
  error_code ignored;  // a unix socket knows no such option
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

asio::awaitable<void> HttpSession::run() {
  const auto& options = core_->options;
  // The first request's time begins with the connection, so that silence buys nothing.
  arm(steady_clock::now() + options.request_deadline);
  wait_for_peer();
  bool open = co_await await_request();
  while (open) {
    co_await take_turn();
    const bool goes_on = co_await serve_request();
    if (!goes_on) {
      co_await close();
      co_return;
    }
    arm(steady_clock::now() + options.idle);
    wait_for_peer();
    open = co_await await_request();
    arm(steady_clock::now() + options.request_deadline);
  }
}

asio::awaitable<void> HttpSession::turn_away() {
  const Refusal busy(503, "busy", "too many connections");
  co_await refuse(busy);
  co_await close();
}

asio::awaitable<bool> HttpSession::await_request() {
  if (buffer_.size() > 0) co_return true;  // sent before the last answer was read
  if (core_->stopping) co_return false;
  idle_ = true;
  const auto [ec, bytes] =
      co_await socket_.async_read_some(buffer_.prepare(kReadChunk), as_tuple(use_awaitable));
  idle_ = false;
  wait_for_peer();
  buffer_.commit(bytes);
  co_return !ec;
}

asio::awaitable<bool> HttpSession::serve_request() {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(core_->options.max_header_bytes));
  parser.body_limit(core_->options.max_body_bytes);
  error_code broken;
  while (!broken && !parser.is_header_done()) broken = co_await read_piece(parser);
  if (broken || expired_) co_return co_await refuse_unread(broken);
  // Copied before the body is read: trailers would be merged into the headers.
  const auto& head = parser.get().base();
  if (const auto refusal = judge_head(head)) co_return co_await refuse(*refusal);
  auto request = to_request(head);
  request.peer = peer_address(socket_);
  const unsigned version = head.version();
  const bool head_only = head.method() == http::verb::head;
  const bool keep_alive = parser.get().keep_alive();

  const error_code failed = co_await read_body(parser);
  if (failed || expired_) co_return co_await refuse_unread(failed);
  if (core_->stopping) {
    const Refusal stopping(503, "stopping", "the server is stopping");
    co_return co_await refuse(stopping);
  }
  request.body = std::move(parser.get().body());
  waits_since_.reset();
  auto response = co_await answer(std::move(request));
  wait_for_peer();
  co_return co_await write(std::move(response), version, head_only, keep_alive);
}

asio::awaitable<error_code> HttpSession::read_body(Parser& parser) {
  if (parser.is_done()) co_return error_code{};
  if (beast::iequals(parser.get()[http::field::expect], "100-continue") && buffer_.size() == 0) {
    const auto proceed = asio::buffer(kContinue);
    const auto [ec, bytes] = co_await asio::async_write(socket_, proceed, as_tuple(use_awaitable));
    if (ec) co_return ec;
  }
  parser.eager(true);
  error_code broken;
  while (!broken && !parser.is_done()) broken = co_await read_piece(parser);
  co_return broken;
}

asio::awaitable<error_code> HttpSession::read_piece(Parser& parser) {
  error_code ec = http::error::need_more;
  if (buffer_.size() > 0) buffer_.consume(parser.put(buffer_.data(), ec));
  if (ec != http::error::need_more) co_return ec;
  const std::size_t room = beast::read_size(buffer_, kMostAtOnce);
  if (room == 0) co_return http::error::buffer_overflow;
  co_await take_turn();
  if (expired_) co_return asio::error::timed_out;
  const auto [failed, bytes] =
      co_await socket_.async_read_some(buffer_.prepare(room), as_tuple(use_awaitable));
  buffer_.commit(bytes);
  if (failed != asio::error::eof) co_return failed;
  if (!parser.got_some()) co_return http::error::end_of_stream;
  parser.put_eof(ec);
  co_return ec;
}

asio::awaitable<bool> HttpSession::refuse_unread(error_code ec) {
  if (expired_) {
    const Refusal late(408, "timeout", "the request took too long to arrive");
    co_return co_await refuse(late);
  }
  const auto refusal = judge_read_error(ec);
  if (!refusal) co_return false;
  co_return co_await refuse(*refusal);
}

asio::awaitable<bool> HttpSession::refuse(Refusal refusal) {
  auto response = own_answer(refusal);
  co_return co_await write(std::move(response), 11, false, false);
}

asio::awaitable<ServerResponse> HttpSession::answer(ServerRequest request) {
  const std::string subject = request.method + " " + request.path.substr(0, kMaxLoggedPath);
  std::exception_ptr error;
  ServerResponse response;
  try {
    auto work = core_->handler(std::move(request));
    response = co_await asio::co_spawn(
        socket_.get_executor(), std::move(work),
        asio::bind_cancellation_slot(cancel_handler_.slot(), use_awaitable));
  } catch (...) {
    error = std::current_exception();
  }
  cancel_handler_.slot().clear();
  if (error) co_return judge_failure(error, subject);
  if (is_sound(response)) co_return response;
  core_->report(LogLevel::error, event::kHttpHandlerFailed, {{"request", subject}},
                "the answer has a status or header that cannot be sent");
  co_return own_answer(internal_error());
}

ServerResponse HttpSession::own_answer(const Refusal& refusal) const {
  if (core_->options.refused) core_->options.refused(refusal.status, refusal.code);
  return refusal.response();
}

ServerResponse HttpSession::judge_failure(const std::exception_ptr& error,
                                          std::string_view subject) {
  std::string why = "foreign exception";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    why = e.what();
  } catch (...) {  // its type is all that there is to say
  }
  if (expired_) {
    core_->report(LogLevel::warning, event::kHttpHandlerFailed, {{"request", subject}},
                  "no answer in time");
    return own_answer(Refusal(503, "timeout", "no answer in time"));
  }
  core_->report(LogLevel::error, event::kHttpHandlerFailed, {{"request", subject}}, why);
  return own_answer(internal_error());
}

asio::awaitable<bool> HttpSession::write(ServerResponse response, unsigned version, bool head_only,
                                         bool keep_alive) {
  const bool stays = keep_alive && !core_->stopping && !expired_;
  arm(std::max(timer_.expiry(), steady_clock::now() + kLastWords));
  const auto message = to_message(std::move(response), version, stays);
  http::response_serializer<http::string_body> serializer(message);
  serializer.split(head_only);
  const auto done = [&] { return head_only ? serializer.is_header_done() : serializer.is_done(); };
  error_code failed;
  while (!failed && !expired_ && !done()) {
    const auto [ec, bytes] =
        co_await http::async_write_some(socket_, serializer, as_tuple(use_awaitable));
    failed = ec;
  }
  co_return !failed && done() && stays;
}

asio::awaitable<void> HttpSession::close() {
  // A socket closed over unread bytes resets the connection, and the answer may be lost with it.
  error_code failed;
  socket_.shutdown(asio::socket_base::shutdown_send, failed);
  arm(steady_clock::now() + kLastWords);
  while (!failed && !expired_) {
    buffer_.clear();
    co_await take_turn();
    if (expired_) break;
    const auto [ec, bytes] =
        co_await socket_.async_read_some(buffer_.prepare(kReadChunk), as_tuple(use_awaitable));
    failed = ec;
  }
  timer_.cancel();
  socket_.close(failed);
}

asio::awaitable<void> HttpSession::take_turn() {
  const auto turn = core_->next_turn();
  if (turn <= steady_clock::now()) co_return;
  turn_.expires_at(turn);
  co_await turn_.async_wait(as_tuple(use_awaitable));
}

void HttpSession::stop_if_idle() {
  error_code ignored;
  if (idle_) socket_.cancel(ignored);
}

void HttpSession::give_up() {
  error_code ignored;
  given_up_ = true;
  waits_since_.reset();
  socket_.close(ignored);
}

void HttpSession::wait_for_peer() {
  if (!given_up_) waits_since_ = steady_clock::now();
}

void HttpSession::abort() {
  error_code ignored;
  socket_.close(ignored);
  cancel_handler_.emit(asio::cancellation_type::terminal);
}

void HttpSession::arm(steady_clock::time_point deadline) {
  expired_ = false;
  timer_.expires_at(deadline);
  timer_.async_wait([weak = weak_from_this()](error_code ec) {
    const auto self = weak.lock();
    if (!ec && self) self->on_deadline();
  });
}

void HttpSession::on_deadline() {
  if (timer_.expiry() > steady_clock::now()) return;  // armed anew while this was on its way
  expired_ = true;
  error_code ignored;
  socket_.cancel(ignored);
  cancel_handler_.emit(asio::cancellation_type::terminal);
}

}  // namespace rowcrew
