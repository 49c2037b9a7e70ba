#include "programs/dev/dev_samples.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <rowcrew/error.hpp>

#include "base/read_file.hpp"
#include "base/units.hpp"

namespace rowcrew::dev {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxName = 240;  // with the dots of the temporary name still a file's name

ExpectedPhoto parse_photo(const json& entry, const std::string& subject) {
  ExpectedPhoto photo;
  try {
    photo.file = entry.at("file").get<std::string>();
    photo.outcome = entry.at("expect").get<std::string>();
    photo.name = entry.value("as", photo.file);
  } catch (const json::exception&) {
    throw ConfigError(subject +
                      ": an entry is not understood, expected \"file\", \"expect\" and perhaps \"as\"");
  }
  for (const std::string& name : {photo.file, photo.name}) {
    if (name.empty() || name.starts_with('.') || name.size() > kMaxName ||
        name.find('/') != name.npos || name.find('\0') != name.npos) {
      throw ConfigError(fmt::format("{}: {} is no usable file name", subject, shown(name)));
    }
  }
  return photo;
}

}  // namespace

std::vector<ExpectedPhoto> read_expected(const fs::path& samples) {
  const std::string subject = (samples / "expected.json").string();
  const ReadResult read = read_file(subject, kMaxBytes);
  if (!read.ok()) throw ConfigError(fmt::format("{}: {}", subject, read.reason));
  const json parsed = json::parse(read.content, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("photos") || !parsed["photos"].is_array()) {
    throw ConfigError(subject + ": expected an object with a list \"photos\"");
  }
  std::vector<ExpectedPhoto> photos;
  for (const json& entry : parsed["photos"]) photos.push_back(parse_photo(entry, subject));
  return photos;
}

std::size_t copy_samples(const fs::path& samples, const std::vector<ExpectedPhoto>& photos,
                         const fs::path& inbox) {
  std::size_t copied = 0;
  try {
    for (const ExpectedPhoto& photo : photos) {
      const fs::path target = inbox / photo.name;
      if (fs::exists(target)) continue;
      const fs::path part = inbox / ("." + photo.name + ".part");
      fs::copy_file(samples / photo.file, part, fs::copy_options::overwrite_existing);
      fs::rename(part, target);
      ++copied;
    }
  } catch (const fs::filesystem_error& e) {
    throw ConfigError(fmt::format("samples: {}", e.what()));
  }
  return copied;
}

}  // namespace rowcrew::dev
