#include "folder_text.hpp"

#include <nlohmann/json.hpp>
#include <type_traits>

namespace rowcrew::folder {
namespace {

using nlohmann::json;

template <class T>
T whole(const json& object, const char* key, T low, T high) {
  const auto found = object.find(key);
  bool fits = found != object.end() && found->is_number_integer() &&
              (found->is_number_unsigned() || std::is_signed_v<T>);
  fits = fits && found->get<T>() >= low && found->get<T>() <= high;
  if (!fits) {
    throw std::invalid_argument(std::string(key) + ": expected a whole number, " +
                                std::to_string(low) + " to " + std::to_string(high));
  }
  return found->get<T>();
}

Version version_of(const json& entry) {
  constexpr auto kMost = ~std::uint64_t{0};
  Version version;
  version.device = whole<std::uint64_t>(entry, "device", 0, kMost);
  version.inode = whole<std::uint64_t>(entry, "inode", 0, kMost);
  version.size = whole<std::uint64_t>(entry, "size", 0, kMost);
  version.mtime_ns = whole<std::int64_t>(entry, "mtime_ns", INT64_MIN, INT64_MAX);
  return version;
}

// Takes the entries of "known" out of the text while it is read. What is left of it is no entry: with a list that
// nobody can read all files would be read and reported again at every look.
json parse_keeping_known(const std::string& text,
                         std::unordered_set<Version, VersionHash>& known) {
  std::string section;
  const auto keep = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1) section = value.get<std::string>();
    if (event != json::parse_event_t::object_end || depth != 2 || section != "known") return true;
    known.insert(version_of(value));
    return false;
  };
  json request;
  try {
    request = json::parse(text, keep);
  } catch (const json::exception&) {
    throw std::invalid_argument("request: no JSON");
  }
  if (!request.is_object()) throw std::invalid_argument("request: expected an object");
  const auto left = request.find("known");
  if (left != request.end() && (!left->is_array() || !left->empty())) {
    throw std::invalid_argument("known: expected a list of versions");
  }
  return request;
}

const char* sentence_of(const std::string& problem) {
  if (problem == "file_name") {
    return "The name of this file is not valid UTF-8. Rename it, and it will be taken.";
  }
  if (problem == "file_too_large") return "This file is larger than files may be here.";
  if (problem == "file_slow") return "This file could not be read in the time that a look may take.";
  return "This file cannot be read. Check its permissions.";
}

json entry_of(const Request& request, const Found& found) {
  json entry = {{"name", found.name},
                {"device", found.version.device},
                {"inode", found.version.inode},
                {"size", found.version.size},
                {"mtime_ns", found.version.mtime_ns}};
  if (found.problem.empty()) {
    entry["path"] = request.path + (request.path.ends_with('/') ? "" : "/") + found.name;
    entry["sha256"] = found.sha256;
  } else {
    entry["problem"] = found.problem;
    entry["message"] = sentence_of(found.problem);
  }
  return entry;
}

// Bytes that are no UTF-8 become U+FFFD.
std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(json(std::string(text)).dump());
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

Request parse_request(const std::string& text) {
  Request request;
  const json given = parse_keeping_known(text, request.known);
  const auto path = given.find("path");
  if (path != given.end() && path->is_string()) request.path = path->get<std::string>();
  if (!request.path.starts_with('/') || request.path.find('\0') != std::string::npos) {
    throw std::invalid_argument("path: expected an absolute path");
  }
  request.settle = std::chrono::milliseconds(whole<std::uint64_t>(given, "settle_ms", 0, 10'000));
  request.max_files = whole<std::uint64_t>(given, "max_files", 1, 100'000);
  request.max_bytes = whole<std::uint64_t>(given, "max_bytes", 1, ~std::uint64_t{0} >> 1);
  if (given.contains("max_ms")) {
    const auto most = whole<std::uint64_t>(given, "max_ms", 1, 86'400'000);
    request.max_time = std::chrono::milliseconds(most);
  }
  const auto extensions = given.find("extensions");
  if (extensions == given.end() || !extensions->is_array() || extensions->empty()) {
    throw std::invalid_argument("extensions: expected a list of words");
  }
  for (const json& extension : *extensions) {
    if (!extension.is_string()) throw std::invalid_argument("extensions: expected words");
    request.extensions.push_back(extension.get<std::string>());
  }
  return request;
}

std::string report_text(const Request& request, const Report& report) {
  json files = json::array();
  for (const Found& found : report.files) files.push_back(entry_of(request, found));
  return text_of({{"files", std::move(files)}, {"young", report.young}, {"more", report.more}});
}

std::string error_text(std::string_view code, std::string_view message) {
  return text_of({{"error", {{"code", code}, {"message", message}}}});
}

}  // namespace rowcrew::folder
