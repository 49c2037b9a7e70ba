#include "web/web_refusal.hpp"

#include <nlohmann/json.hpp>

#include <rowcrew/db_error.hpp>

#include "cli/failure.hpp"

namespace rowcrew::web {
namespace {

/// Without the statement's name before it and the SQLSTATE behind it, which tell a reader of the page nothing.
std::string sentence_of(const DbError& error) {
  std::string text = error.what();
  const std::string state = " (" + error.sqlstate() + ")";
  if (text.ends_with(state)) text.resize(text.size() - state.size());
  const auto colon = text.find(": ");
  const bool is_named = colon != text.npos && text.substr(0, colon).find('/') != text.npos;
  return is_named ? text.substr(colon + 2) : text;
}

WebRefusal judge(const DbError& error, bool looking) {
  const std::string_view state = error.sqlstate();
  if (error.outcome_unknown() && !looking) {
    return {503, "outcome_unknown", "the answer of the database was lost: it may have been done, look before you repeat it"};
  }
  if (state == "22023" || state == "22021") return {400, "bad_value", sentence_of(error)};
  if (state == "42501") return {403, "forbidden", "the role of this page may not: " + sentence_of(error)};
  if (state == "57014") return {503, "too_slow", "the database took too long: ask for less, by type, queue or time"};
  if (cli::is_unknown_name(state)) {
    return {503, "schema", std::string("the schema is missing or older than this program, run rowcrew migrate: ") + error.what()};
  }
  return {503, "database", error.what()};
}

}  // namespace

HttpHeaders api_headers() {
  return {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}, {"Cross-Origin-Resource-Policy", "same-origin"}};
}

ServerResponse refusal_response(const WebRefusal& refusal) {
  const nlohmann::ordered_json body = {{"error", refusal.code()}, {"message", refusal.what()}};
  ServerResponse response(refusal.status, "application/json", body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  response.headers = api_headers();
  response.headers.insert(response.headers.end(), refusal.headers.begin(), refusal.headers.end());
  return response;
}

WebRefusal judge_web_failure(const std::exception_ptr& error, bool looking) {
  try {
    std::rethrow_exception(error);
  } catch (const WebRefusal& e) {
    return e;
  } catch (const UsageError& e) {
    return {400, "bad_value", e.what()};
  } catch (const DbError& e) {
    return judge(e, looking);
  } catch (const TransientError& e) {  // no database thread was free in time
    return {503, "busy", e.what()};
  }
}

}  // namespace rowcrew::web
