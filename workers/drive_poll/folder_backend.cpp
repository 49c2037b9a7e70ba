#include "folder_backend.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <rowcrew/error.hpp>

namespace rowcrew::drive_poll {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::size_t kLongestPath = 4'000;
constexpr std::size_t kMostOutput = std::size_t{32} << 20;

// A sanitizer reserves terabytes of addresses.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLimitsMemory = false;
#else
constexpr bool kLimitsMemory = true;
#endif

// Beside this program, or where packages put it. Empty when there is none: only who polls needs it.
std::string find_program() {
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& path :
       {here / "rowcrew-folder", here.parent_path() / "libexec/rowcrew/rowcrew-folder"}) {
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

std::string read_program(const Settings& section) {
  std::string path = section.text("program", "");
  if (path.empty()) return find_program();
  if (path.front() != '/' || ::access(path.c_str(), X_OK) != 0) {
    throw ConfigError(section.full("program") + ": \"" + path +
                      "\" is no absolute path of a program");
  }
  return path;
}

std::vector<std::string> read_extensions(const Settings& section) {
  std::vector<std::string> extensions =
      section.texts("extensions", {"jpg", "jpeg", "png", "webp"});
  for (std::string& extension : extensions) {
    for (char& c : extension) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    const bool word = !extension.empty() && extension.size() <= 16 &&
                      extension.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") ==
                          std::string::npos;
    if (!word) {
      throw ConfigError(section.full("extensions") + ": \"" + extension +
                        "\" found, expected letters and digits without a dot, 16 at most");
    }
  }
  if (extensions.empty()) throw ConfigError(section.full("extensions") + ": is empty");
  return extensions;
}

[[noreturn]] void throw_crashed(const std::string& how) {
  throw TransientError("folder_crashed", "The watched folder could not be looked at: " + how + ".");
}

// What rowcrew-folder says about the folder. Its words are ours, so that a code stays a word that
// the documentation knows.
[[noreturn]] void throw_reported(const json& error) {
  const std::string code = error.value("code", "");
  const std::string message = error.value("message", "");
  for (const char* known :
       {"folder_missing", "not_a_folder", "folder_unreadable", "folder_too_large"}) {
    if (code == known) throw PermanentError(code, message);
  }
  throw_crashed("it reported an unknown trouble");
}

}  // namespace

FolderSettings::FolderSettings(const Settings& section)
    : program(read_program(section)),
      extensions(read_extensions(section)),
      timeout(section.duration("timeout", 60s, 1s, 1h)),
      max_memory(section.bytes("max_memory", 512ULL << 20, 64ULL << 20, 64ULL << 30)),
      max_bytes(section.bytes("max_bytes", 512ULL << 20, 1, 1ULL << 50)),
      max_files(section.integer("max_files", 200, 1, 1'000)) {}

bool is_usable_path(std::string_view path) {
  if (path.size() < 2 || path.size() > kLongestPath || path.front() != '/') return false;
  if (path.find('\0') != path.npos) return false;
  if (path.back() == '/') path.remove_suffix(1);
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment.empty() || segment == "." || segment == "..") return false;
    path.remove_prefix(segment.size());
  }
  return true;
}

ChildRequest FolderBackend::request_for(const WatchedFolder& folder, Mono deadline) const {
  ChildRequest request({settings_.program});
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock_.mono());
  request.timeout = std::clamp(left, 1ms, settings_.timeout);
  // Past half of the time no file is begun, so that a slow file system yields a part, not nothing.
  const json asked = {{"path", folder.path},
                      {"settle_ms", folder.settle.count()},
                      {"extensions", settings_.extensions},
                      {"max_files", settings_.max_files},
                      {"max_bytes", settings_.max_bytes},
                      {"max_ms", std::max<std::int64_t>(request.timeout.count() / 2, 1)}};
  request.input = asked.dump();
  // As the database wrote it: it may be long, and nobody here needs to read it.
  request.input.replace(request.input.size() - 1, 1, ",\"known\":" + folder.known + "}");
  request.max_output_bytes = kMostOutput;
  if (kLimitsMemory) request.max_memory_bytes = settings_.max_memory;
  return request;
}

boost::asio::awaitable<Listing> FolderBackend::list_new(const WatchedFolder& folder,
                                                        Mono deadline) {
  if (!is_usable_path(folder.path)) {
    throw PermanentError("bad_folder",
                         "The path of the watched folder is not an absolute path of a folder.");
  }
  if (settings_.program.empty()) {
    throw PermanentError("folder_program",
                         "The program rowcrew-folder, which looks at folders, is not installed.");
  }
  const ChildResult result = co_await children_.run(request_for(folder, deadline));
  co_return judge(result);
}

Listing judge(const ChildResult& result) {
  if (result.timed_out) {
    throw TransientError("folder_timeout",
                         "The watched folder did not answer in time. Is it on a network drive that "
                         "is away?");
  }
  if (result.signal != 0) throw_crashed(fmt::format("signal {}", result.signal));
  if (result.exit_code == 64) {
    throw PermanentError("bad_folder",
                         "The application's list of the folder's known files is malformed.");
  }
  if (result.exit_code != 0) throw_crashed(fmt::format("exit status {}", result.exit_code));
  if (result.output_truncated) throw_crashed("its report is too long");
  try {
    json report = json::parse(result.output);
    if (report.contains("error")) throw_reported(report.at("error"));
    Listing listing;
    listing.files = std::move(report.at("files"));
    listing.young = report.at("young").get<std::int64_t>();
    listing.more = report.at("more").get<bool>();
    if (listing.files.is_array()) return listing;
  } catch (const json::exception&) {
    // told below
  }
  throw_crashed("its report makes no sense");
}

}  // namespace rowcrew::drive_poll
