#include "google_drive_look.hpp"

#include <algorithm>

#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>

namespace rowcrew::drive_poll {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using About = GoogleVerdict::About;
using std::chrono::milliseconds;

constexpr milliseconds kCallTimeout = 30s;
constexpr std::size_t kLongestPage = std::size_t{16} << 20;
// Downloads that fail one by one may be the files' fault; so many are Google's.
constexpr int kMostFailures = 3;

milliseconds span(Mono from, Mono to) {
  return std::max(milliseconds(1), std::chrono::duration_cast<milliseconds>(to - from));
}

/// A verdict that is not about one file, as the end of a job that found nothing.
Outcome ending(const GoogleVerdict& judged) {
  const ProviderVerdict& verdict = judged.verdict;
  // Told to the application, once per look, instead of waiting for what only a person can do.
  if (verdict.code == kDisconnected) return Failed(verdict.code, verdict.message);
  return outcome_of(verdict, verdict.wait.value_or(30s)).value_or(Outcome(Retry(verdict.code, verdict.message)));
}

}  // namespace

GoogleLook::GoogleLook(const GoogleSettings& settings, const Clock& clock, GoogleApi& api, GoogleSpool& spool,
                       const WatchedFolder& folder, Mono deadline)
    : settings_(settings),
      clock_(clock),
      api_(api),
      spool_(spool),
      owner_(folder.app + "\n" + folder.id),
      folder_(parse_google_folder(folder.description, folder.known)),
      began_(clock.mono()),
      until_(std::min(deadline, began_ + settings.timeout)),
      account_(api.account(folder.app + "\n" + folder_.account, folder_.account, folder_.refresh_token)),
      position_(folder_.position) {}

asio::awaitable<Listing> GoogleLook::run() {
  if (position_.next == DrivePosition::Next::changes) co_await change_pages();
  if (new_page_) position_ = DrivePosition();
  if (position_.next != DrivePosition::Next::changes && !stopped_) co_await list();
  listing_.position = position_.text();
  // What was found is worth more than why there is not more of it: the next look will tell that.
  if (!listing_.files.empty()) listing_.otherwise.reset();
  if (stopped_ || untold_ || failures_ > 0) listing_.more = true;
  co_return std::move(listing_);
}

asio::awaitable<void> GoogleLook::list() {
  const bool there = co_await check_folder();
  if (!there) co_return;
  DrivePosition after = position_;
  if (after.next == DrivePosition::Next::list) {
    // Before the list is read: what changes meanwhile is told as a change.
    auto answer = co_await ask(GoogleCall::list, start_target(folder_));
    if (!answer) co_return;
    after.token = parse_start(answer->response.body);
    after.next = DrivePosition::Next::list_again;
  } else {
    after.next = DrivePosition::Next::changes;
  }
  std::string page;
  do {
    auto answer = co_await ask(GoogleCall::list, list_target(folder_, page));
    if (!answer) co_return;
    const DrivePage read = parse_list(answer->response.body);
    co_await take_all(read.files);
    page = read.next;
  } while (!page.empty() && !stopped_ && !listing_.more);
  if (!held_) position_ = after;
}

asio::awaitable<void> GoogleLook::change_pages() {
  std::string page = position_.token;
  while (!stopped_ && !listing_.more) {
    auto answer = co_await ask(GoogleCall::changes, changes_target(folder_, page, settings_.max_files));
    if (!answer) co_return;
    const DrivePage read = parse_changes(answer->response.body, folder_.folder_id);
    if (read.folder_gone) throw PermanentError("folder_missing", "The watched folder was deleted, or lies in the bin.");
    co_await take_all(read.files);
    page = read.next.empty() ? read.start : read.next;
    if (!held_) position_.token = page;
    if (read.next.empty()) co_return;
  }
}

asio::awaitable<bool> GoogleLook::check_folder() {
  auto answer = co_await ask(GoogleCall::folder, folder_target(folder_));
  if (!answer) co_return false;
  const std::string wrong = parse_folder(answer->response.body);
  if (wrong == "folder_missing") throw PermanentError(wrong, "The watched folder lies in the bin.");
  if (!wrong.empty()) throw PermanentError(wrong, "What is watched is not a folder.");
  co_return true;
}

asio::awaitable<void> GoogleLook::take_all(const std::vector<DriveFile>& files) {
  for (const DriveFile& file : files) {
    const auto extension = wanted_extension(file, settings_.extensions);
    if (!extension || folder_.known.contains(file.version())) continue;
    if (stopped_ || !has_room(file)) {
      listing_.more = held_ = true;
      co_return;
    }
    co_await take(file, *extension);
  }
}

bool GoogleLook::has_room(const DriveFile& file) {
  if (found_ >= settings_.max_files) return false;
  if (clock_.mono() - began_ > (until_ - began_) / 2) return false;  // past half of the time none is begun
  return bytes_ == 0 || file.size > settings_.max_bytes || bytes_ + file.size <= settings_.max_bytes;
}

asio::awaitable<void> GoogleLook::take(const DriveFile& file, const std::string& extension) {
  if (file.size > settings_.max_bytes) {
    tell(file, "file_too_large", "The file is too large to be taken.");
    co_return;
  }
  const std::string path = spool_.path_of(owner_, file, extension);
  std::string sha256 = co_await spool_.find(path);
  if (sha256.empty()) sha256 = co_await bring(file, path);
  if (!sha256.empty()) found(file, path, sha256);
}

asio::awaitable<std::string> GoogleLook::bring(const DriveFile& file, const std::string& path) {
  const std::string part = spool_.part_of(path);
  GoogleSpool::clear(part);
  const bool whole = co_await download(file, part);
  if (!whole) co_return "";
  ROWCREW_FAULT_POINT("drive_poll.downloaded");
  bytes_ += file.size;
  const std::string sha256 = co_await spool_.keep(path, file);
  ROWCREW_FAULT_POINT("drive_poll.kept");
  if (sha256.empty()) {
    held_ = true;
    tell(file, "file_changed", "What was downloaded is not the file that Google told of.");
  }
  co_return sha256;
}

asio::awaitable<bool> GoogleLook::download(const DriveFile& file, const std::string& part) {
  HttpRequest request("GET", download_target(file));
  request.save_to = part;
  request.max_response_bytes = file.size;
  request.timeout = std::min(span(clock_.mono(), until_), span(began_, until_) * 3 / 8);
  std::string code;
  std::string message;
  try {
    GoogleAnswer answer = co_await api_.get(*account_, GoogleCall::download, std::move(request));
    if (answer.verdict.answered()) co_return true;
    const ProviderVerdict& verdict = answer.verdict.verdict;
    if (answer.verdict.about == About::file) {
      held_ = held_ || answer.verdict.passing;
      if (verdict.code != kFileGone) tell(file, verdict.code, verdict.message);
    } else if (verdict.act == ProviderVerdict::Act::again) {
      later(verdict.code, verdict.message);
    } else {
      stop(answer.verdict);
    }
    co_return false;
  } catch (const Error& error) {
    code = error.code();
    message = error.what();
    if (code == "http_file") throw TransientError("drive_spool", message);
    if (code == "http_disk" || code == "egress_refused") throw;
  }
  held_ = true;
  if (code == "http_body_too_large") {
    tell(file, "file_changed", "The file is longer than Google told.");
  } else if (code == "http_timeout") {
    tell(file, "file_slow", "The file was not downloaded in time.");
  } else {
    later(code, message);
  }
  co_return false;
}

asio::awaitable<std::optional<GoogleAnswer>> GoogleLook::ask(GoogleCall call, std::string target) {
  HttpRequest request("GET", std::move(target));
  request.max_response_bytes = kLongestPage;
  request.timeout = std::min(span(clock_.mono(), until_), kCallTimeout);
  std::optional<GoogleAnswer> answer = co_await api_.get(*account_, call, std::move(request));
  if (answer->verdict.answered()) co_return answer;
  const GoogleVerdict judged = answer->verdict;
  answer.reset();
  if (judged.about != About::page) {
    stop(judged);
  } else if (held_) {
    stopped_ = true;  // the next look begins where this one was held
  } else {
    new_page_ = true;
  }
  co_return answer;
}

void GoogleLook::found(const DriveFile& file, const std::string& path, const std::string& sha256) {
  nlohmann::json entry = described(file);
  entry["path"] = path;
  entry["sha256"] = sha256;
  listing_.files.push_back(std::move(entry));
  ++found_;
  folder_.known.insert(file.version());  // pages overlap where something changes meanwhile
}

void GoogleLook::tell(const DriveFile& file, const std::string& code, const std::string& message) {
  if (++problems_ > settings_.max_files) {
    held_ = untold_ = true;
    return;
  }
  nlohmann::json entry = described(file);
  entry["problem"] = code;
  entry["message"] = message;
  listing_.files.push_back(std::move(entry));
  folder_.known.insert(file.version());
}

void GoogleLook::later(const std::string& code, const std::string& message) {
  held_ = true;
  ++failures_;
  if (!listing_.otherwise) listing_.otherwise = Outcome(Retry(code, message));
  if (failures_ >= kMostFailures) stopped_ = true;
}

void GoogleLook::stop(const GoogleVerdict& verdict) {
  held_ = stopped_ = true;
  listing_.otherwise = ending(verdict);
}

}  // namespace rowcrew::drive_poll
