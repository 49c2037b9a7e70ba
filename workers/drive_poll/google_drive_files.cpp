#include "google_drive_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include <rowcrew/error.hpp>

namespace rowcrew::drive_poll {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestId = 200;
constexpr std::size_t kLongestSecret = 4'096;
constexpr std::string_view kAgain = "again:";
constexpr const char* kFolderType = "application/vnd.google-apps.folder";
constexpr const char* kFields = "id,name,mimeType,size,md5Checksum,modifiedTime";

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= kLongestId &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == text.npos;
}

bool is_md5(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

[[noreturn]] void refuse(const char* what) {
  throw PermanentError("bad_folder", fmt::format("{} of the watched folder is none.", what));
}

[[noreturn]] void throw_senseless() {
  throw TransientError("google_drive_answer", "google_drive: answered 200 with something else than expected");
}

std::string text_of(const json& object, const char* key, const char* fallback = "") {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) return fallback;
  return at->get<std::string>();
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

json parse_object(const std::string& body) {
  json object = json::parse(body, nullptr, false);
  if (!object.is_object()) throw_senseless();
  return object;
}

DriveFile parse_file(const json& object) {
  DriveFile file;
  file.id = object.at("id").get<std::string>();
  file.name = object.at("name").get<std::string>();
  for (auto at = file.name.find('\0'); at != file.name.npos; at = file.name.find('\0')) {
    file.name.replace(at, 1, "\xEF\xBF\xBD");  // which the database's JSON cannot hold
  }
  file.mime = text_of(object, "mimeType");
  file.md5 = text_of(object, "md5Checksum");
  file.modified = text_of(object, "modifiedTime");
  const std::string size = text_of(object, "size", "0");
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), file.size);
  const bool whole = error == std::errc{} && end == size.data() + size.size();
  if (!is_id(file.id) || !whole || (!file.md5.empty() && !is_md5(file.md5))) throw_senseless();
  return file;
}

bool lies_in(const json& file, const std::string& folder) {
  const auto parents = file.find("parents");
  return parents != file.end() && parents->is_array() &&
         std::find(parents->begin(), parents->end(), json(folder)) != parents->end();
}

void read_change(const json& change, const std::string& folder, DrivePage& page) {
  if (text_of(change, "changeType", "file") != "file") return;
  const bool removed = change.value("removed", false) || !change.contains("file");
  const bool gone = removed || change.at("file").value("trashed", false);
  if (gone && text_of(change, "fileId") == folder) page.folder_gone = true;
  if (!gone && lies_in(change.at("file"), folder)) page.files.push_back(parse_file(change.at("file")));
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                       c == '.' || c == '~';
    if (plain) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields drive_fields(const GoogleFolder& folder) {
  Fields fields = {{"supportsAllDrives", "true"}};
  if (!folder.drive_id.empty()) fields.emplace_back("driveId", folder.drive_id);
  return fields;
}

std::unordered_set<std::string> parse_known(const std::string& text) {
  std::unordered_set<std::string> known;
  for (const json& entry : json::parse(text)) {
    known.insert(entry.at("id").get<std::string>() + "-" + entry.at("md5").get<std::string>());
  }
  return known;
}

}  // namespace

DrivePosition DrivePosition::parse(std::string_view text) {
  DrivePosition position;
  if (text.empty()) return position;
  position.next = Next::changes;
  if (text.starts_with(kAgain)) {
    position.next = Next::list_again;
    text.remove_prefix(kAgain.size());
  }
  position.token = text;
  return position;
}

std::string DrivePosition::text() const {
  switch (next) {
    case Next::list: return "";
    case Next::list_again: return std::string(kAgain) + token;
    case Next::changes: break;
  }
  return token;
}

GoogleFolder parse_google_folder(const std::string& description, const std::string& known) {
  GoogleFolder folder;
  try {
    const json said = json::parse(description);
    folder.folder_id = text_of(said, "folder_id");
    folder.account = text_of(said, "account");
    folder.refresh_token = text_of(said, "refresh_token");
    folder.drive_id = text_of(said, "drive_id");
    const std::string position = text_of(said, "page_token");
    if (position.size() > kLongestSecret) refuse("page_token");
    folder.position = DrivePosition::parse(position);
  } catch (const json::exception&) {
    // whose words would quote the description, and that holds a secret
    throw PermanentError("bad_folder", "The application's description of the watched folder is malformed.");
  }
  if (!is_id(folder.folder_id)) refuse("folder_id");
  if (folder.account.empty() || folder.account.size() > kLongestId) refuse("account");
  if (folder.refresh_token.empty() || folder.refresh_token.size() > kLongestSecret) refuse("refresh_token");
  if (!folder.drive_id.empty() && !is_id(folder.drive_id)) refuse("drive_id");
  try {
    folder.known = parse_known(known);
  } catch (const json::exception&) {
    throw PermanentError("bad_folder", "The application's list of the folder's known files is malformed.");
  }
  return folder;
}

DrivePage parse_list(const std::string& body) {
  const json object = parse_object(body);
  try {
    DrivePage page;
    for (const json& file : object.at("files")) page.files.push_back(parse_file(file));
    page.next = text_of(object, "nextPageToken");
    return page;
  } catch (const json::exception&) {
    throw_senseless();
  }
}

DrivePage parse_changes(const std::string& body, const std::string& folder_id) {
  const json object = parse_object(body);
  try {
    DrivePage page;
    for (const json& change : object.at("changes")) read_change(change, folder_id, page);
    page.next = text_of(object, "nextPageToken");
    page.start = text_of(object, "newStartPageToken");
    if (page.next.empty() == page.start.empty()) throw_senseless();
    return page;
  } catch (const json::exception&) {
    throw_senseless();
  }
}

std::string parse_start(const std::string& body) {
  const json object = parse_object(body);
  const auto token = object.find("startPageToken");
  if (token == object.end() || !token->is_string() || token->get<std::string>().empty()) throw_senseless();
  return token->get<std::string>();
}

std::string parse_folder(const std::string& body) {
  const json object = parse_object(body);
  try {
    if (object.value("trashed", false)) return "folder_missing";
    return text_of(object, "mimeType") == kFolderType ? "" : "not_a_folder";
  } catch (const json::exception&) {
    throw_senseless();
  }
}

std::optional<std::string> wanted_extension(const DriveFile& file, const std::vector<std::string>& extensions) {
  if (file.md5.empty() || file.name.starts_with('.')) return std::nullopt;
  const auto dot = file.name.rfind('.');
  const std::string own = dot == file.name.npos ? "" : lower(std::string_view(file.name).substr(dot + 1));
  if (own == "part") return std::nullopt;
  for (const std::string& extension : extensions) {
    if (own == extension) return extension;
  }
  // Pictures from telephones come without one, or with what only looks like one.
  for (const std::string& extension : extensions) {
    if (file.mime == "image/" + (extension == "jpg" ? "jpeg" : extension)) return extension;
  }
  return std::nullopt;
}

std::string form_text(const Fields& fields) {
  std::string text;
  for (const auto& [name, value] : fields) {
    text += (text.empty() ? "" : "&") + escaped(name) + "=" + escaped(value);
  }
  return text;
}

std::string folder_target(const GoogleFolder& folder) {
  return "/files/" + folder.folder_id + "?" + form_text({{"fields", "id,mimeType,trashed"}, {"supportsAllDrives", "true"}});
}

std::string start_target(const GoogleFolder& folder) {
  return "/changes/startPageToken?" + form_text(drive_fields(folder));
}

std::string list_target(const GoogleFolder& folder, const std::string& page) {
  Fields fields = drive_fields(folder);
  fields.emplace_back("includeItemsFromAllDrives", "true");
  if (!folder.drive_id.empty()) fields.emplace_back("corpora", "drive");
  fields.emplace_back("q", "'" + folder.folder_id + "' in parents and trashed = false");
  fields.emplace_back("orderBy", "modifiedTime");
  fields.emplace_back("pageSize", "1000");
  fields.emplace_back("fields", std::string("nextPageToken,files(") + kFields + ")");
  if (!page.empty()) fields.emplace_back("pageToken", page);
  return "/files?" + form_text(fields);
}

std::string changes_target(const GoogleFolder& folder, const std::string& token, std::int64_t most) {
  Fields fields = drive_fields(folder);
  fields.emplace_back("includeItemsFromAllDrives", "true");
  fields.emplace_back("includeRemoved", "true");
  fields.emplace_back("pageToken", token);
  fields.emplace_back("pageSize", std::to_string(most));
  fields.emplace_back("fields", std::string("nextPageToken,newStartPageToken,changes(changeType,removed,fileId,file(") + kFields +
                                    ",parents,trashed))");
  return "/changes?" + form_text(fields);
}

std::string download_target(const DriveFile& file) {
  return "/files/" + file.id + "?alt=media&supportsAllDrives=true";
}

json described(const DriveFile& file) {
  return {{"name", file.name}, {"id", file.id}, {"md5", file.md5}, {"size", file.size}, {"mime", file.mime}, {"modified", file.modified}};
}

}  // namespace rowcrew::drive_poll
