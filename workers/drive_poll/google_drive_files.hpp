// Watched folders of Google Drive as the port describes them, files as Google lists them, and what is asked
// for: pure. Ids are checked before they become part of a URL or a path.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace rowcrew::drive_poll {

/// How far a folder has been looked at. Its text is the port's to keep and nobody's to read.
///
/// What changed since a moment is told by Google, what was there before is listed. The list lags behind what
/// was just written, by seconds: it is read a second time by the look after the first.
struct DrivePosition {
  enum class Next { list, list_again, changes };
  /// Of the text that the port kept; empty: nothing was looked at.
  static DrivePosition parse(std::string_view text);
  std::string text() const;

  Next next = Next::list;
  std::string token;  ///< of changes.list; empty at first
};

/// What drive_folder says of a folder of this backend.
struct GoogleFolder {
  GoogleFolder() = default;
  std::string folder_id;
  std::string account;        ///< the application's name of it; one lane and one access token each
  std::string refresh_token;  ///< never for logs
  std::string drive_id;       ///< of a shared drive; empty: the owner's own
  DrivePosition position;
  std::unordered_set<std::string> known;  ///< DriveFile::version()
};

/// Throws PermanentError("bad_folder").
GoogleFolder parse_google_folder(const std::string& description, const std::string& known);

struct DriveFile {
  DriveFile() = default;
  std::string id;
  std::string name;
  std::string mime;
  std::string md5;  ///< empty: no file of bytes (a document of Google's, a shortcut)
  std::string modified;
  std::uint64_t size = 0;

  /// The same bytes of the same file have the same one, whatever it is called.
  std::string version() const { return id + "-" + md5; }
};

struct DrivePage {
  DrivePage() = default;
  std::vector<DriveFile> files;  ///< in the folder, not in the bin
  std::string next;              ///< token of the next page; empty: this is the last
  std::string start;             ///< of changes, with the last page: where to go on later
  bool folder_gone = false;      ///< of changes: the watched folder was deleted or lies in the bin
};

/// Throw TransientError("google_drive_answer") for what is no such answer.
DrivePage parse_list(const std::string& body);
DrivePage parse_changes(const std::string& body, const std::string& folder_id);
std::string parse_start(const std::string& body);
/// Empty: a folder that is there. Else the code of what is wrong: folder_missing, not_a_folder.
std::string parse_folder(const std::string& body);

/// Whether a file's name, or else its type, is of the wanted kinds: then the extension for its copy, else
/// nullopt. Names as in folders of the node: none that begin with "." or end in ".part".
std::optional<std::string> wanted_extension(const DriveFile& file, const std::vector<std::string>& extensions);

/// Targets below the API's root.
std::string folder_target(const GoogleFolder& folder);
std::string start_target(const GoogleFolder& folder);
std::string list_target(const GoogleFolder& folder, const std::string& page);
std::string changes_target(const GoogleFolder& folder, const std::string& token, std::int64_t most);
std::string download_target(const DriveFile& file);
/// "a=b&c=d" of a form or a query.
std::string form_text(const std::vector<std::pair<std::string, std::string>>& fields);

/// As the port takes it, without what became of it.
nlohmann::json described(const DriveFile& file);

}  // namespace rowcrew::drive_poll
