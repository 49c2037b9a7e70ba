#include "trail.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace rowcrew::generation::comfyui {
namespace {

using nlohmann::json;

// FNV-1a, then the finisher of MurmurHash3: names have to differ, nobody has to be kept from finding two
// that do not.
std::uint64_t hash_of(std::string_view text, std::uint64_t basis) {
  std::uint64_t hash = basis;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

constexpr std::uint64_t kFirst = 0xcbf29ce484222325ULL;
constexpr std::uint64_t kSecond = 0x9ae16a3b2f90404fULL;
constexpr std::int64_t kMost = 1'000'000'000'000;

std::int64_t count_in(const json& object, const char* key, std::int64_t least) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number_integer()) return least;
  return std::clamp(at->get<std::int64_t>(), least, kMost);
}

}  // namespace

std::string uuid_of(std::string_view text) {
  const std::uint64_t first = hash_of(text, kFirst);
  const std::uint64_t second = hash_of(text, kSecond);
  // Version 8: made in a way of one's own (RFC 9562).
  const std::uint64_t high = (first & ~0xF000ULL) | 0x8000ULL;
  const std::uint64_t low = (second & ~(3ULL << 62)) | (2ULL << 62);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xFFFF, high & 0xFFFF,
                     low >> 48, low & 0xFFFFFFFFFFFFULL);
}

std::uint32_t seed_of(std::string_view text) {
  return static_cast<std::uint32_t>(hash_of(text, kSecond) >> 32);
}

void Trail::next() {
  ++run;
  server.clear();
  accepted = false;
  ran_ms = 0;
}

void Trail::forget_faults() { out_of_memory = interrupted = broken = server_errors = 0; }

Trail parse_trail(std::string_view checkpoint) {
  Trail trail;
  const json whole = json::parse(checkpoint, nullptr, false);
  if (!whole.is_object() || !whole.contains("comfyui") || !whole["comfyui"].is_object()) return trail;
  const json& is = whole["comfyui"];
  if (is.contains("server") && is["server"].is_string()) trail.server = is["server"].get<std::string>();
  trail.accepted = !trail.server.empty() && is.contains("accepted") && is["accepted"] == true;
  trail.run = count_in(is, "run", 1);
  trail.ran_ms = count_in(is, "ran_ms", 0);
  trail.booked = count_in(is, "booked", 0);
  trail.out_of_memory = count_in(is, "out_of_memory", 0);
  trail.interrupted = count_in(is, "interrupted", 0);
  trail.broken = count_in(is, "broken", 0);
  trail.server_errors = count_in(is, "server_errors", 0);
  return trail;
}

std::string to_checkpoint(const Trail& trail) {
  const json is = {{"server", trail.server}, {"run", trail.run}, {"accepted", trail.accepted}, {"ran_ms", trail.ran_ms},
                   {"booked", trail.booked}, {"out_of_memory", trail.out_of_memory}, {"interrupted", trail.interrupted},
                   {"broken", trail.broken}, {"server_errors", trail.server_errors}};
  const json whole = {{"comfyui", is}};
  return whole.dump(-1, ' ', true, json::error_handler_t::replace);
}

std::string prompt_id(const std::string& key, const std::string& target, std::int64_t run) {
  return uuid_of(fmt::format("run {}\n{}\n{}", run, key, target));
}

std::string client_id(const std::string& key, const std::string& target) {
  return uuid_of(fmt::format("client\n{}\n{}", key, target));
}

std::string upload_name(const std::string& key, const std::string& target) {
  return "rowcrew-" + uuid_of(fmt::format("source\n{}\n{}", key, target)) + ".png";
}

}  // namespace rowcrew::generation::comfyui
