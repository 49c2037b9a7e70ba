#include "google_drive_files.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

namespace rowcrew::drive_poll {
namespace {

using nlohmann::json;
using Next = DrivePosition::Next;

const std::string kMd5(32, 'a');
const std::vector<std::string> kKinds = {"jpg", "jpeg", "png", "webp"};

json file_of(const std::string& id, const std::string& name = "a.jpg") {
  return {{"id", id}, {"name", name}, {"mimeType", "image/jpeg"}, {"size", "123"}, {"md5Checksum", kMd5}, {"modifiedTime", "2026-11-01T00:00:00.000Z"}};
}

json folder_of() {
  return {{"backend", "google_drive"}, {"folder_id", "F_1-x"}, {"account", "7"}, {"refresh_token", "1//secret"}};
}

std::string refusal_of(const json& description, const std::string& known = "[]") {
  try {
    parse_google_folder(description.dump(), known);
  } catch (const PermanentError& error) {
    CHECK(error.code() == "bad_folder");
    return error.what();
  }
  return "";
}

TEST_CASE("google drive: a position is listed twice, then followed, and survives as text") {
  DrivePosition position = DrivePosition::parse("");
  CHECK(position.next == Next::list);
  CHECK(position.text() == "");
  position.token = "8123";
  CHECK(position.text() == "");
  position.next = Next::list_again;
  CHECK(position.text() == "again:8123");
  position = DrivePosition::parse("again:8123");
  CHECK(position.next == Next::list_again);
  CHECK(position.token == "8123");
  position.next = Next::changes;
  CHECK(position.text() == "8123");
  CHECK(DrivePosition::parse("8123").next == Next::changes);
}

TEST_CASE("google drive: the port's description is checked, and no message repeats a token") {
  json said = folder_of();
  const GoogleFolder folder = parse_google_folder(said.dump(), R"([{"id": "i", "md5": "m"}])");
  CHECK(folder.folder_id == "F_1-x");
  CHECK(folder.refresh_token == "1//secret");
  CHECK(folder.position.next == Next::list);
  CHECK(folder.known.contains("i-m"));
  said["page_token"] = "9";
  said["drive_id"] = nullptr;
  CHECK(parse_google_folder(said.dump(), "[]").position.token == "9");
  for (const char* key : {"folder_id", "account", "refresh_token"}) {
    CAPTURE(key);
    for (const json& wrong : {json(nullptr), json(""), json(7), json(std::string(5'000, 'x')), json::array()}) {
      said = folder_of();
      said[key] = wrong;
      CHECK(refusal_of(said) != "");
      CHECK(refusal_of(said).find("secret") == std::string::npos);
    }
    said = folder_of();
    said.erase(key);
    CHECK(refusal_of(said) != "");
  }
  for (const std::string id : {"../x", "a/b", "a'b", "a b", "\n"}) {
    said = folder_of();
    said["folder_id"] = id;
    CHECK(refusal_of(said) == "folder_id of the watched folder is none.");
    said = folder_of();
    said["drive_id"] = id;
    CHECK(refusal_of(said) == "drive_id of the watched folder is none.");
  }
  for (const std::string known : {"{}", "[1]", R"([{"id": 1, "md5": "m"}])", R"([{"id": "i"}])", "7"}) {
    CAPTURE(known);
    if (known != "{}") CHECK(refusal_of(folder_of(), known) != "");
  }
}

TEST_CASE("google drive: pages are read, and what is no page is a trouble of the moment") {
  const json list = {{"nextPageToken", "n"}, {"files", {file_of("a"), file_of("b", "b.jpg")}}};
  const DrivePage page = parse_list(list.dump());
  CHECK(page.next == "n");
  REQUIRE(page.files.size() == 2);
  CHECK(page.files[0].version() == "a-" + kMd5);
  CHECK(page.files[0].size == 123);
  CHECK(described(page.files[0]) == json::parse(R"({"name": "a.jpg", "id": "a", "md5": ")" + kMd5 +
                                               R"(", "size": 123, "mime": "image/jpeg", "modified": "2026-11-01T00:00:00.000Z"})"));
  json with_nul = file_of("c");
  with_nul["name"] = std::string("a\0b", 3);
  CHECK(parse_list(json{{"files", {with_nul}}}.dump()).files[0].name == "a\xEF\xBF\xBD" "b");
  json wrong_id = file_of("../../etc/passwd");
  json wrong_md5 = file_of("a");
  wrong_md5["md5Checksum"] = "../../etc/passwd";
  json wrong_size = file_of("a");
  wrong_size["size"] = "-1";
  for (const json& wrong : {json(1), json::object(), json{{"files", 1}}, json{{"files", {1}}}, json{{"files", {wrong_id}}},
                            json{{"files", {wrong_md5}}}, json{{"files", {wrong_size}}}}) {
    CAPTURE(wrong.dump());
    CHECK_THROWS_AS(parse_list(wrong.dump()), TransientError);
  }
  CHECK_THROWS_AS(parse_list("<html>"), TransientError);
  CHECK(parse_start(R"({"startPageToken": "8"})") == "8");
  CHECK_THROWS_AS(parse_start(R"({"startPageToken": ""})"), TransientError);
  CHECK(parse_folder(R"({"mimeType": "application/vnd.google-apps.folder", "trashed": false})") == "");
  CHECK(parse_folder(R"({"mimeType": "application/vnd.google-apps.folder", "trashed": true})") == "folder_missing");
  CHECK(parse_folder(R"({"mimeType": "image/png"})") == "not_a_folder");
}

TEST_CASE("google drive: changes are of the folder itself, not of what was removed, lies elsewhere or in the bin") {
  const auto change = [](const std::string& id, const json& parents, bool trashed) {
    json file = file_of(id);
    if (!parents.is_null()) file["parents"] = parents;
    file["trashed"] = trashed;
    return json{{"changeType", "file"}, {"removed", false}, {"fileId", id}, {"file", file}};
  };
  json changes = {change("in", {"F"}, false), change("elsewhere", {"G"}, false), change("no_parents", nullptr, false),
                  change("binned", {"F"}, true), {{"changeType", "file"}, {"removed", true}, {"fileId", "gone"}},
                  {{"changeType", "drive"}, {"removed", false}}};
  const auto read = [&] { return parse_changes(json{{"changes", changes}, {"newStartPageToken", "9"}}.dump(), "F"); };
  DrivePage page = read();
  REQUIRE(page.files.size() == 1);
  CHECK(page.files[0].id == "in");
  CHECK(page.start == "9");
  CHECK_FALSE(page.folder_gone);
  changes.push_back({{"changeType", "file"}, {"removed", true}, {"fileId", "F"}});
  CHECK(read().folder_gone);
  changes.back() = change("F", {"root"}, true);
  CHECK(read().folder_gone);
  changes.back() = change("F", {"root"}, false);
  CHECK_FALSE(read().folder_gone);
  CHECK_THROWS_AS(parse_changes(R"({"changes": []})", "F"), TransientError);
  CHECK_THROWS_AS(parse_changes(R"({"changes": [], "nextPageToken": "1", "newStartPageToken": "2"})", "F"), TransientError);
}

TEST_CASE("google drive: files are wanted by their name, or by their type where the name has none") {
  const auto wanted = [](const std::string& name, const std::string& mime) {
    DriveFile file;
    file.name = name;
    file.mime = mime;
    file.md5 = kMd5;
    return wanted_extension(file, kKinds).value_or("");
  };
  CHECK(wanted("a.JPG", "image/jpeg") == "jpg");
  CHECK(wanted("a.jpeg", "application/octet-stream") == "jpeg");
  CHECK(wanted("IMG_1", "image/jpeg") == "jpg");
  CHECK(wanted("a/b.c", "image/png") == "png");
  CHECK(wanted("a.heic", "image/heic") == "");
  CHECK(wanted("a.txt", "text/plain") == "");
  CHECK(wanted(".a.jpg", "image/jpeg") == "");
  CHECK(wanted("a.jpg.part", "image/jpeg") == "");
  DriveFile document;
  document.name = "a.jpg";
  document.mime = "application/vnd.google-apps.document";
  CHECK_FALSE(wanted_extension(document, kKinds).has_value());
}

TEST_CASE("google drive: every call asks for the fields that are read, and for shared drives") {
  GoogleFolder folder = parse_google_folder(folder_of().dump(), "[]");
  CHECK(folder_target(folder) == "/files/F_1-x?fields=id%2CmimeType%2Ctrashed&supportsAllDrives=true");
  CHECK(start_target(folder) == "/changes/startPageToken?supportsAllDrives=true");
  const std::string list = list_target(folder, "p&x");
  CHECK(list.starts_with("/files?supportsAllDrives=true&includeItemsFromAllDrives=true&q=%27F_1-x%27%20in%20parents%20and%20trashed%20%3D%20false&"));
  CHECK(list.ends_with("&pageToken=p%26x"));
  CHECK(list.find("&fields=nextPageToken%2Cfiles%28id") != list.npos);
  CHECK(list_target(folder, "").find("pageToken=") == std::string::npos);
  const std::string changes = changes_target(folder, "8", 50);
  CHECK(changes.find("&pageToken=8&pageSize=50&fields=nextPageToken%2CnewStartPageToken%2Cchanges%28") != changes.npos);
  folder.drive_id = "D";
  for (const std::string& target : {start_target(folder), list_target(folder, ""), changes_target(folder, "8", 1)}) {
    CHECK(target.find("driveId=D") != target.npos);
  }
  CHECK(list_target(folder, "").find("corpora=drive") != std::string::npos);
}

}  // namespace
}  // namespace rowcrew::drive_poll
