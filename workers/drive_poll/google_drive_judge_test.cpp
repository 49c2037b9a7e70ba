#include "google_drive_judge.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace rowcrew::drive_poll {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Act = ProviderVerdict::Act;
using About = GoogleVerdict::About;

constexpr std::chrono::system_clock::time_point kNow{};

HttpResponse answer(int status, const std::string& body = "", HttpHeaders headers = {}) {
  HttpResponse response;
  response.status = status;
  response.body = body;
  response.headers = std::move(headers);
  return response;
}

HttpResponse refusal(int status, const std::string& reason, const std::string& message = "Words.") {
  const json error = {{"domain", "global"}, {"reason", reason}, {"message", message}};
  return answer(status, json{{"error", {{"errors", {error}}, {"code", status}, {"message", message}}}}.dump());
}

struct Row {
  GoogleCall call;
  int status;
  const char* reason;
  Act act;
  About about;
  const char* code;
  bool passing = false;
};

TEST_CASE("google drive: every refusal of the API has its meaning") {
  using enum GoogleCall;
  for (const Row& row : {
           Row{list, 200, "", Act::answered, About::call, ""},
           Row{download, 206, "", Act::answered, About::call, ""},
           Row{list, 400, "invalid", Act::fail, About::call, "google_drive_http_400"},
           Row{changes, 400, "invalid", Act::fail, About::page, "google_drive_page"},
           Row{changes, 404, "notFound", Act::fail, About::page, "google_drive_page"},
           Row{changes, 410, "gone", Act::fail, About::page, "google_drive_page"},
           Row{list, 401, "authError", Act::shut, About::access, "google_drive_refuses_us"},
           Row{download, 401, "required", Act::shut, About::access, "google_drive_refuses_us"},
           Row{list, 403, "userRateLimitExceeded", Act::wait, About::account, "google_drive_rate_limited"},
           Row{download, 403, "rateLimitExceeded", Act::wait, About::account, "google_drive_rate_limited"},
           Row{changes, 403, "sharingRateLimitExceeded", Act::wait, About::account, "google_drive_rate_limited"},
           Row{changes, 429, "rateLimitExceeded", Act::wait, About::account, "google_drive_rate_limited"},
           Row{list, 403, "dailyLimitExceeded", Act::wait, About::client, "google_drive_quota"},
           Row{list, 403, "quotaExceeded", Act::wait, About::client, "google_drive_quota"},
           Row{list, 403, "accessNotConfigured", Act::shut, About::client, "google_drive_client"},
           Row{list, 403, "SERVICE_DISABLED", Act::shut, About::client, "google_drive_client"},
           Row{list, 403, "insufficientPermissions", Act::fail, About::call, "folder_unreadable"},
           Row{folder, 403, "insufficientFilePermissions", Act::fail, About::call, "folder_unreadable"},
           Row{changes, 403, "appNotAuthorizedToFile", Act::fail, About::call, "folder_unreadable"},
           Row{changes, 403, "domainPolicy", Act::fail, About::call, "folder_unreadable"},
           Row{list, 403, "news", Act::shut, About::account, "google_drive_refuses_us"},
           Row{download, 403, "news", Act::shut, About::account, "google_drive_refuses_us"},
           Row{download, 403, "downloadQuotaExceeded", Act::fail, About::file, "file_quota", true},
           Row{download, 403, "cannotDownloadAbusiveFile", Act::fail, About::file, "file_unreadable"},
           Row{download, 403, "fileNotDownloadable", Act::fail, About::file, "file_unreadable"},
           Row{download, 403, "cannotDownloadFile", Act::fail, About::file, "file_unreadable"},
           Row{download, 403, "insufficientFilePermissions", Act::fail, About::file, "file_unreadable"},
           Row{download, 404, "notFound", Act::fail, About::file, "file_gone"},
           Row{folder, 404, "notFound", Act::fail, About::call, "folder_missing"},
           Row{list, 404, "notFound", Act::fail, About::call, "folder_missing"},
           Row{list, 500, "internalError", Act::again, About::call, "google_drive_http_500"},
           Row{download, 503, "backendError", Act::again, About::call, "google_drive_http_503"},
           Row{download, 416, "", Act::fail, About::call, "google_drive_http_416"},
       }) {
    CAPTURE(row.status);
    CAPTURE(row.reason);
    const GoogleVerdict judged = judge_call(row.call, refusal(row.status, row.reason), kNow);
    CHECK(judged.verdict.act == row.act);
    CHECK(judged.about == row.about);
    CHECK(judged.verdict.code == row.code);
    CHECK(judged.passing == row.passing);
    CHECK(judged.answered() == (row.act == Act::answered));
  }
}

TEST_CASE("google drive: a refusal without Google's own words is judged by its status") {
  for (const std::string body : {"", "<html>Bad Gateway</html>", "[]", "{}", R"({"error": "text"})", R"({"error": {"errors": []}})",
                                 R"({"error": {"errors": [1], "message": 2}})", R"({"error": {"errors": {}}})"}) {
    CAPTURE(body);
    CHECK(judge_call(GoogleCall::list, answer(502, body), kNow).verdict.act == Act::again);
    CHECK(judge_call(GoogleCall::list, answer(403, body), kNow).verdict.code == "google_drive_refuses_us");
    CHECK(judge_call(GoogleCall::download, answer(403, body), kNow).about == About::account);
    CHECK(judge_token(answer(502, body), kNow).verdict.act == Act::again);
    CHECK(judge_token(answer(400, body), kNow).verdict.code == "google_drive_client");
  }
  const auto denied = judge_call(GoogleCall::list, answer(403, R"({"error": {"status": "PERMISSION_DENIED", "message": "No."}})"), kNow);
  CHECK(denied.verdict.code == "folder_unreadable");
}

TEST_CASE("google drive: how long to wait is what Google says, a minute, or an hour for the day's quota") {
  HttpResponse asked = refusal(403, "userRateLimitExceeded");
  CHECK(judge_call(GoogleCall::list, asked, kNow).verdict.wait == 60s);
  asked.headers.emplace_back("Retry-After", "7");
  CHECK(judge_call(GoogleCall::list, asked, kNow).verdict.wait == 7s);
  CHECK(judge_call(GoogleCall::list, refusal(403, "dailyLimitExceeded"), kNow).verdict.wait == 1h);
}

TEST_CASE("google drive: what is said of a missing access token") {
  const auto said = [](int status, const char* error) {
    return judge_token(answer(status, json{{"error", error}, {"error_description", "Token has been expired or revoked."}}.dump()), kNow);
  };
  const GoogleVerdict revoked = said(400, "invalid_grant");
  CHECK(revoked.verdict.act == Act::shut);
  CHECK(revoked.about == About::account);
  CHECK(revoked.verdict.code == kDisconnected);
  CHECK(revoked.verdict.message.ends_with("connect anew: Token has been expired or revoked."));
  for (const char* policy : {"admin_policy_enforced", "access_denied", "org_internal"}) {
    CHECK(said(403, policy).verdict.code == "google_drive_policy");
    CHECK(said(403, policy).about == About::account);
  }
  for (const auto& [status, error] : {std::pair{401, "invalid_client"}, std::pair{401, "deleted_client"}, std::pair{400, "invalid_scope"},
                                      std::pair{400, "invalid_request"}, std::pair{403, "unauthorized_client"}}) {
    CAPTURE(error);
    CHECK(said(status, error).verdict.act == Act::shut);
    CHECK(said(status, error).verdict.code == "google_drive_client");
    CHECK(said(status, error).about == About::client);
  }
  CHECK(said(500, "internal_failure").verdict.act == Act::again);
  CHECK(said(429, "rate_limit_exceeded").verdict.act == Act::wait);
  CHECK(judge_token(answer(200, "{}"), kNow).answered());
}

TEST_CASE("google drive: a stranger's words stay one short line") {
  const GoogleVerdict judged = judge_call(GoogleCall::list, refusal(403, "domainPolicy", "a\nb\x01" + std::string(900, 'x')), kNow);
  CHECK(judged.verdict.message.size() < 400);
  CHECK(judged.verdict.message.find('\n') == std::string::npos);
}

}  // namespace
}  // namespace rowcrew::drive_poll
