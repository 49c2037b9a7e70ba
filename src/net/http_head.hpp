// Judging a request's head before its body is read. Pure.
#pragma once

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "net/http_server.hpp"

namespace rowcrew {

/// An answer that the server gives by itself: {"error":code,"message":sentence}.
struct Refusal {
  Refusal(int http_status, std::string_view word, std::string_view text)
      : status(http_status), code(word), sentence(text) {}
  ServerResponse response() const;

  int status;
  std::string_view code;  ///< both must be literals that need no JSON escape
  std::string_view sentence;
};

/// Nullopt: go on and read the body. Refuses what Beast's parser lets pass: a missing Host, framing
/// that another hop could read differently, encodings that we do not undo.
std::optional<Refusal> judge_head(
    const boost::beast::http::header<true, boost::beast::http::fields>& head);

/// Everything but body and peer; the head must have been judged.
ServerRequest to_request(const boost::beast::http::header<true, boost::beast::http::fields>& head);

}  // namespace rowcrew
