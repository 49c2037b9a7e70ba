// What the tests of watched folders on Google Drive share: a backend with a spool of its own, answers from a script.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "workers/drive_poll/google_drive_backend.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::drive_poll {

using nlohmann::json;
using testing::KindBench;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

inline const std::string kToken = R"({"access_token": "ya29.secret", "expires_in": 3599, "token_type": "Bearer"})";
inline const std::string kIsFolder = R"({"id": "F", "mimeType": "application/vnd.google-apps.folder", "trashed": false})";
inline const std::string kMd5OfPhoto = "5ae0c1c8a5260bc7b6648f6fbd115c35";  // of "photo"
inline const std::string kSha256OfPhoto = "55c64d0fcd6f9d5f7c828093857e3fdfda68478bb4e9bd24d481ef391c7804e8";

inline json file_of(const std::string& id, const std::string& name, int size = 5) {
  return {{"id", id}, {"name", name}, {"mimeType", "image/jpeg"}, {"size", std::to_string(size)}, {"md5Checksum", kMd5OfPhoto},
          {"modifiedTime", "2026-11-01T00:00:00.000Z"}, {"parents", {"F"}}, {"trashed", false}};
}

inline json change_of(const json& file) {
  return {{"changeType", "file"}, {"removed", false}, {"fileId", file.at("id")}, {"file", file}};
}

struct Folder {
  Folder() {
    std::string name = "/tmp/rowcrew-spool-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

struct Bench : Folder, KindBench {
  explicit Bench(const std::string& lines = "")
      : KindBench("kinds: {drive_poll: {program: /bin/true" + lines + ", google_drive: {client_id: c1, client_secret: cs, spool: " +
                  path.string() + "}}}"),
        backend(make_google_drive_backend(deps)) {
    folder.app = "studio";
    folder.id = "7";
    describe("");
  }

  void describe(const std::string& page_token, const std::string& refresh_token = "1//secret") {
    json said = {{"backend", "google_drive"}, {"folder_id", "F"}, {"account", "7"}, {"refresh_token", refresh_token}};
    if (!page_token.empty()) said["page_token"] = page_token;
    folder.description = said.dump();
  }
  void answers(const json& body) { http.answer(200, {}, body.dump()); }
  void answers_text(const std::string& body) { http.answer(200, {}, body); }
  void refuses(int status, const std::string& reason) {
    const json error = {{"reason", reason}};
    http.answer(status, {}, json{{"error", {{"errors", {error}}, {"message", "Words."}}}}.dump());
  }
  void changes(const std::vector<json>& files, const std::string& start = "9", const std::string& next = "") {
    json all = json::array();
    for (const json& file : files) all.push_back(change_of(file));
    json page = {{"changes", all}};
    if (next.empty()) {
      page["newStartPageToken"] = start;
    } else {
      page["nextPageToken"] = next;
    }
    answers(page);
  }
  Listing look(std::chrono::milliseconds left = 1h) { return testing::run(io, backend->list_new(folder, clock.mono() + left)); }
  std::size_t spooled() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }

  std::unique_ptr<DriveBackend> backend;
  WatchedFolder folder;
};

inline std::vector<std::string> names_of(const Listing& listing) {
  std::vector<std::string> names;
  for (const json& file : listing.files) {
    names.push_back(file.at("name").get<std::string>() + (file.contains("problem") ? " " + file.at("problem").get<std::string>() : ""));
  }
  return names;
}
using Names = std::vector<std::string>;

}  // namespace rowcrew::drive_poll
