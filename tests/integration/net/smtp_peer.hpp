// A relay of one's own: answers every command by its script and keeps what it was told.
#pragma once

#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "loopback.hpp"

namespace rowcrew::testing {

struct SmtpPeer {
  static constexpr const char* kSilent = "";      ///< no answer; the connection stays open
  static constexpr const char* kClose = "close";  ///< no answer; the connection is closed

  std::string greeting = "220 relay.test ESMTP\r\n";
  std::string ehlo = "250-relay.test\r\n250 8BITMIME\r\n";
  std::string mail = "250 2.1.0 Ok\r\n";
  std::string rcpt = "250 2.1.5 Ok\r\n";
  std::string data = "354 go ahead\r\n";
  std::string end = "250 2.0.0 queued as 17\r\n";
  std::string quit = "221 2.0.0 bye\r\n";
  std::string other = "502 5.5.1 unknown command\r\n";

  std::vector<std::string> commands;  ///< without line ends
  std::vector<std::string> messages;  ///< dots unstuffed
  int closed = 0;                     ///< connections that are over

  RawServer::Script script() {
    return [this](boost::asio::ip::tcp::socket& socket) -> boost::asio::awaitable<void> {
      co_await serve(socket);
    };
  }
  bool heard(std::string_view prefix) const {
    for (const auto& command : commands) {
      if (command.starts_with(prefix)) return true;
    }
    return false;
  }

 private:
  boost::asio::awaitable<void> serve(boost::asio::ip::tcp::socket& socket) {
    try {
      co_await converse(socket);
    } catch (const boost::system::system_error&) {
      // The client went away.
    }
    ++closed;
  }

  boost::asio::awaitable<void> converse(boost::asio::ip::tcp::socket& socket) {
    std::string buffer;
    bool open = co_await answer(socket, greeting);
    while (open) {
      const std::string line = co_await next_line(socket, buffer);
      commands.push_back(line);
      open = co_await answer(socket, reply_to(line));
      if (line == "DATA" && data.starts_with("354") && open) {
        co_await take_message(socket, buffer);
        open = co_await answer(socket, end);
      }
    }
  }

  const std::string& reply_to(std::string_view line) const {
    if (line.starts_with("EHLO ")) return ehlo;
    if (line.starts_with("MAIL FROM:")) return mail;
    if (line.starts_with("RCPT TO:")) return rcpt;
    if (line == "DATA") return data;
    return line == "QUIT" ? quit : other;
  }

  static boost::asio::awaitable<bool> answer(boost::asio::ip::tcp::socket& socket,
                                             std::string text) {
    if (text == kClose) co_return false;
    if (!text.empty()) co_await write_text(socket, text);
    co_return true;
  }

  static boost::asio::awaitable<std::string> next_line(boost::asio::ip::tcp::socket& socket,
                                                       std::string& buffer) {
    auto target = boost::asio::dynamic_buffer(buffer);
    const std::size_t size =
        co_await boost::asio::async_read_until(socket, target, "\r\n", boost::asio::use_awaitable);
    std::string line = buffer.substr(0, size - 2);
    buffer.erase(0, size);
    co_return line;
  }

  boost::asio::awaitable<void> take_message(boost::asio::ip::tcp::socket& socket,
                                            std::string& buffer) {
    std::string message;
    for (;;) {
      const std::string line = co_await next_line(socket, buffer);
      if (line == ".") break;
      message += (line.starts_with('.') ? line.substr(1) : line) + "\r\n";
    }
    messages.push_back(message);
  }
};

}  // namespace rowcrew::testing
