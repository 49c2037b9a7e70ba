#include "json_answer.hpp"

#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "failure.hpp"

namespace rowcrew::image {
namespace {

using nlohmann::json;

constexpr const char* kCode = "provider_answer";
constexpr std::size_t kLongestShown = 1000;
constexpr int kDeepest = 60;

std::string contents(const Descriptor& fd, const std::string& path, std::uint64_t most) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    throw Failure("file_unreadable", shown(path) + ": is no ordinary file");
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > most) throw Failure(kCode, "the provider's answer has " + std::to_string(size) + " bytes, at most " + std::to_string(most) + " are read");
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t more = ::read(fd.get(), bytes.data() + got, bytes.size() - got);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) throw Failure("file_unreadable", shown(path) + ": cannot be read: " + std::strerror(errno), kWaitingMayHelp);
    if (more == 0) break;
    got += static_cast<std::size_t>(more);
  }
  bytes.resize(got);
  return bytes;
}

json read_answer(const std::string& path, const Limits& limits) {
  // Base64 is longer by a third; what is around it is little.
  const std::uint64_t most = limits.max_bytes / 3 * 4 + (std::uint64_t{1} << 20);
  json answer = json::parse(contents(open_file(path), path, most), nullptr, false);
  if (!answer.is_object()) throw Failure(kCode, "the provider's answer is no JSON object");
  return answer;
}

std::optional<std::string> decoded(const std::string& text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > (std::size_t{1} << 30)) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && text[text.size() - 1 - padding] == '=') ++padding;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return bytes;
}

Descriptor in_memory(const std::string& bytes) {
  Descriptor fd(::memfd_create("picture", MFD_CLOEXEC));
  std::size_t written = 0;
  while (fd && written < bytes.size()) {
    const ssize_t more = ::write(fd.get(), bytes.data() + written, bytes.size() - written);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) break;
    written += static_cast<std::size_t>(more);
  }
  if (!fd || written < bytes.size()) throw Failure("decoder_memory", "the picture needs more memory than it may have");
  return fd;
}

void cut(json& value, int depth) {
  if (depth > kDeepest) throw Failure(kCode, "the provider's answer is nested too deeply");
  if (value.is_string() && value.get_ref<const std::string&>().size() > kLongestShown) {
    value = json{{"$bytes", value.get_ref<const std::string&>().size()}};
    return;
  }
  if (!value.is_structured()) return;
  for (json& part : value) cut(part, depth + 1);
}

}  // namespace

SourceFile open_in_json(const std::string& path, const std::string& pointer, const Limits& limits) {
  std::optional<std::string> bytes;
  {
    const json answer = read_answer(path, limits);
    try {
      bytes = decoded(answer.at(json::json_pointer(pointer)).get_ref<const std::string&>());
    } catch (const json::exception&) {
      throw Failure(kCode, "the provider's answer holds no text at " + pointer.substr(0, 100));
    }
  }
  if (!bytes) throw Failure(kCode, "the provider's answer holds no base64 text at " + pointer.substr(0, 100));
  return examine(in_memory(*bytes), "the provider's picture", limits.max_bytes);
}

json skim(const std::string& path, const Limits& limits) {
  json answer = read_answer(path, limits);
  cut(answer, 0);
  return answer;
}

std::string base64(const std::string& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

}  // namespace rowcrew::image
