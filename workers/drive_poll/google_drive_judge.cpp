#include "google_drive_judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace rowcrew::drive_poll {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Act = ProviderVerdict::Act;
using About = GoogleVerdict::About;

constexpr const char* kProvider = "google_drive";
// Daily quotas come back by the day, in a zone of Google's: asking once an hour finds out when.
constexpr std::chrono::milliseconds kQuotaWait = 1h;

template <std::size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string text_of(const json& object, const char* key) {
  const auto at = object.is_object() ? object.find(key) : object.end();
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

/// Google's word for what went wrong, and its sentence.
struct Said {
  std::string reason;
  std::string words;
};

Said said_by_api(const HttpResponse& response) {
  const json body = json::parse(response.body, nullptr, false);
  Said said;
  if (!body.is_object() || !body.contains("error")) return said;
  const json& error = body.at("error");
  said.words = provider_words(text_of(error, "message"));
  if (!error.is_object()) return said;
  const auto all = error.find("errors");
  if (all != error.end() && all->is_array() && !all->empty()) said.reason = text_of(all->front(), "reason");
  if (said.reason.empty()) said.reason = text_of(error, "status");
  return said;
}

std::string with_words(std::string sentence, const std::string& words) {
  return words.empty() ? sentence + "." : sentence + ": " + words;
}

GoogleVerdict verdict(Act act, const char* code, const std::string& message, About about,
                      std::optional<std::chrono::milliseconds> wait = std::nullopt) {
  return GoogleVerdict(ProviderVerdict(act, code, message, wait), about);
}

GoogleVerdict problem(const char* code, const std::string& message, bool passing = false) {
  return GoogleVerdict(ProviderVerdict(Act::fail, code, message), About::file, passing);
}

GoogleVerdict refused_download(const Said& said, const GoogleVerdict& by_status) {
  if (said.reason == "downloadQuotaExceeded") {
    return problem("file_quota", "Google lets nobody download this file for now: it was downloaded too often.", true);
  }
  if (said.reason == "cannotDownloadAbusiveFile") {
    return problem("file_unreadable", "Google holds this file for harmful and does not hand it out.");
  }
  static constexpr std::array<std::string_view, 6> kThisFile = {
      "fileNotDownloadable",         "cannotDownloadFile",      "insufficientPermissions",
      "insufficientFilePermissions", "appNotAuthorizedToFile", "domainPolicy"};
  if (is_one_of(said.reason, kThisFile)) {
    return problem("file_unreadable", with_words("Google does not hand out this file", said.words));
  }
  return by_status;
}

GoogleVerdict forbidden(GoogleCall call, const HttpResponse& response, const Said& said,
                        std::chrono::system_clock::time_point now) {
  if (said.reason == "userRateLimitExceeded" || said.reason == "rateLimitExceeded" ||
      said.reason == "sharingRateLimitExceeded") {
    HttpResponse too_many = response;
    too_many.status = 429;
    return GoogleVerdict(judge_status(kProvider, too_many, now), About::account);
  }
  if (said.reason == "dailyLimitExceeded" || said.reason == "quotaExceeded") {
    return verdict(Act::wait, "google_drive_quota", with_words("google_drive: the day's quota is used up", said.words),
                   About::client, kQuotaWait);
  }
  if (said.reason == "accessNotConfigured" || said.reason == "SERVICE_DISABLED") {
    return verdict(Act::shut, "google_drive_client",
                   with_words("google_drive: the Drive API is not enabled for this client", said.words), About::client);
  }
  const GoogleVerdict refused = verdict(Act::shut, "google_drive_refuses_us",
                                        with_words("google_drive: answered 403", said.words), About::account);
  if (call == GoogleCall::download) return refused_download(said, refused);
  static constexpr std::array<std::string_view, 5> kThisFolder = {"insufficientPermissions", "insufficientFilePermissions",
                                                                  "appNotAuthorizedToFile", "domainPolicy", "PERMISSION_DENIED"};
  if (!is_one_of(said.reason, kThisFolder)) return refused;
  return verdict(Act::fail, "folder_unreadable", with_words("The watched folder may not be read", said.words), About::call);
}

GoogleVerdict missing(GoogleCall call) {
  switch (call) {
    case GoogleCall::download: return problem(kFileGone, "The file is gone.");
    case GoogleCall::changes:
      return verdict(Act::fail, "google_drive_page", "google_drive: the page token is none.", About::page);
    case GoogleCall::folder:
    case GoogleCall::list: break;
  }
  return verdict(Act::fail, "folder_missing", "The watched folder does not exist, or its owner may not see it.", About::call);
}

}  // namespace

GoogleVerdict judge_token(const HttpResponse& response, std::chrono::system_clock::time_point now) {
  const ProviderVerdict by_status = judge_status(kProvider, response, now);
  if (by_status.act == Act::answered) return {};
  const json body = json::parse(response.body, nullptr, false);
  const std::string error = text_of(body, "error");
  const std::string words = provider_words(text_of(body, "error_description"));
  if (error == "invalid_grant") {
    return verdict(Act::shut, kDisconnected,
                   with_words("Google does not accept the access to this account any more, its owner has to connect anew", words),
                   About::account);
  }
  static constexpr std::array<std::string_view, 3> kPolicy = {"admin_policy_enforced", "access_denied", "org_internal"};
  if (is_one_of(error, kPolicy)) {
    return verdict(Act::shut, "google_drive_policy",
                   with_words("google_drive: a policy of the account's organisation does not allow this client", words), About::account);
  }
  if (by_status.act == Act::again || by_status.act == Act::wait) return GoogleVerdict(by_status, About::client);
  return verdict(Act::shut, "google_drive_client",
                 with_words(fmt::format("google_drive: no access token, answered {} {}, expected a client that Google knows",
                                        response.status, provider_words(error)),
                            words),
                 About::client);
}

GoogleVerdict judge_call(GoogleCall call, const HttpResponse& response,
                         std::chrono::system_clock::time_point now) {
  const ProviderVerdict by_status = judge_status(kProvider, response, now);
  if (by_status.act == Act::answered) return {};
  const Said said = said_by_api(response);
  switch (response.status) {
    case 400:
      if (call != GoogleCall::changes) break;
      return verdict(Act::fail, "google_drive_page", with_words("google_drive: the page token is none", said.words), About::page);
    case 401:
      return verdict(Act::shut, "google_drive_refuses_us", with_words("google_drive: answered 401", said.words), About::access);
    case 403: return forbidden(call, response, said, now);
    case 404: return missing(call);
    case 410:
      if (call == GoogleCall::changes) return missing(call);
      break;
    case 429: return GoogleVerdict(by_status, About::account);
    default: break;
  }
  ProviderVerdict other = by_status;
  if (!said.words.empty()) other.message += ": " + said.words;
  return GoogleVerdict(other, About::call);
}

}  // namespace rowcrew::drive_poll
