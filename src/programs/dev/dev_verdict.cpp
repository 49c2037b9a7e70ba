#include "programs/dev/dev_verdict.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "programs/dev/dev_progress.hpp"

namespace rowcrew::dev {
namespace {

const PhotoOutcome* find_last(const std::vector<PhotoOutcome>& outcomes, const std::string& name) {
  const auto at = std::find_if(outcomes.rbegin(), outcomes.rend(),
                               [&](const PhotoOutcome& photo) { return photo.name == name; });
  return at == outcomes.rend() ? nullptr : &*at;
}

std::string outcome_of(const PhotoOutcome& photo) {
  return photo.error_code.empty() ? photo.status : photo.error_code;
}

std::string or_none(const std::string& status) { return status.empty() ? "none" : status; }

}  // namespace

bool all_ended(const std::vector<ExpectedPhoto>& expected,
               const std::vector<PhotoOutcome>& outcomes) {
  return std::all_of(expected.begin(), expected.end(), [&](const ExpectedPhoto& wanted) {
    const PhotoOutcome* photo = find_last(outcomes, wanted.name);
    return photo != nullptr && photo->status != "queued";
  });
}

std::vector<std::string> differences(const std::vector<ExpectedPhoto>& expected,
                                     const std::vector<PhotoOutcome>& outcomes,
                                     const std::set<std::string>& verified,
                                     const std::function<bool(const std::string& path)>& exists) {
  std::vector<std::string> found;
  for (const ExpectedPhoto& wanted : expected) {
    const std::string name = one_line(wanted.name);
    const PhotoOutcome* photo = find_last(outcomes, wanted.name);
    if (photo == nullptr) {
      found.push_back(fmt::format("{}: was not found in the inbox", name));
      continue;
    }
    if (outcome_of(*photo) != wanted.outcome) {
      found.push_back(fmt::format("{}: ended as {}, expected {}", name,
                                  one_line(outcome_of(*photo)), one_line(wanted.outcome)));
    }
    if (photo->status == "queued") continue;
    if (photo->status == "done" && !exists(photo->output)) {
      found.push_back(fmt::format("{}: its output {} is not there", name, one_line(photo->output)));
    }
    // At the limit one mail a month tells about all photos.
    if (photo->mail != "sent" && photo->status != "blocked") {
      found.push_back(fmt::format("{}: mail {}, expected sent", name, or_none(photo->mail)));
    }
    if (photo->webhook != "delivered") {
      found.push_back(
          fmt::format("{}: webhook {}, expected delivered", name, or_none(photo->webhook)));
    } else if (!photo->told_before && !verified.contains(photo->message_id)) {
      found.push_back(
          fmt::format("{}: the receiver has not verified webhook {}", name, photo->message_id));
    }
  }
  return found;
}

}  // namespace rowcrew::dev
