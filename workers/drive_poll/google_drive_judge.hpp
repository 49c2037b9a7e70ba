// What Google's answers mean for a look, its account and everybody else who calls: pure.
#pragma once

#include <chrono>
#include <string>

#include <rowcrew/http_client.hpp>
#include <rowcrew/provider_verdict.hpp>

namespace rowcrew::drive_poll {

/// What was asked for.
enum class GoogleCall {
  folder,    ///< the watched folder itself
  list,      ///< its files, from a page that we did not keep
  changes,   ///< from a page token that was kept
  download,  ///< a file's bytes
};

struct GoogleVerdict {
  enum class About {
    call,     ///< this call, or the folder that it asked for
    file,     ///< one file, the others go on
    page,     ///< the page token is none (any more)
    access,   ///< the access token has to be made anew
    account,  ///< whose folder it is
    client,   ///< our registration with Google, hence every account
  };

  GoogleVerdict() = default;
  explicit GoogleVerdict(ProviderVerdict what, About whom = About::call, bool for_now = false)
      : verdict(std::move(what)), about(whom), passing(for_now) {}

  ProviderVerdict verdict;
  About about = About::call;
  bool passing = false;  ///< About::file: a later look may have it

  bool answered() const { return verdict.act == ProviderVerdict::Act::answered; }
};

/// The owner took the access back, or it ran out: nothing works before he connects anew.
inline constexpr const char* kDisconnected = "google_drive_disconnected";
/// Code of About::file: the file is not there (any more), which is no problem.
inline constexpr const char* kFileGone = "file_gone";

/// Of the endpoint that makes access tokens.
GoogleVerdict judge_token(const HttpResponse& response, std::chrono::system_clock::time_point now);

/// Of the API. Codes of About::file are the problems that the port is told.
GoogleVerdict judge_call(GoogleCall call, const HttpResponse& response,
                         std::chrono::system_clock::time_point now);

}  // namespace rowcrew::drive_poll
