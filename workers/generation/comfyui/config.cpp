#include "config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include <rowcrew/error.hpp>
#include <rowcrew/price.hpp>

#include "workers/generation/image_program.hpp"

namespace rowcrew::generation::comfyui {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostServers = 64;

// Set by the client or by us. A server that is asked with Origin refuses whoever it does not know.
constexpr std::array<std::string_view, 6> kReserved = {"connection", "content-length", "content-type", "expect", "host", "origin"};

[[noreturn]] void refuse(const std::string& key, const std::string& sentence) { throw ConfigError(key + ": " + sentence); }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return text;
}

std::string checked_server(std::string url, const std::string& key) {
  const auto scheme = url.starts_with("https://") ? 8U : url.starts_with("http://") ? 7U : 0U;
  const std::string host = scheme == 0 ? "" : url.substr(scheme, url.find('/', scheme) - scheme);
  const bool odd = std::any_of(url.begin(), url.end(), [](char c) { return c <= ' ' || c == 0x7f || c == '?' || c == '#' || c == '\\'; });
  if (host.empty() || odd || host.find('@') != host.npos) {
    refuse(key, "expected base URLs such as http://gpu1:8188, without user information, query or fragment");
  }
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::vector<std::string> read_servers(const Settings& comfyui) {
  std::vector<std::string> servers;
  const std::string key = comfyui.full("servers");
  for (const std::string& url : comfyui.texts("servers", {})) {
    servers.push_back(checked_server(url, key));
    if (std::count(servers.begin(), servers.end(), servers.back()) > 1) refuse(key, servers.back() + " is named twice");
  }
  if (servers.empty() || servers.size() > kMostServers) refuse(key, fmt::format("expected 1 to {} base URLs such as http://gpu1:8188", kMostServers));
  return servers;
}

void add_header(HttpHeaders& headers, const std::string& name, const std::string& value, const std::string& key) {
  static constexpr std::string_view kToken = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  if (name.empty() || name.find_first_not_of(kToken) != name.npos) refuse(key, "is no name of a header");
  if (std::any_of(value.begin(), value.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; })) {
    refuse(key, "the value holds a control character");
  }
  if (std::find(kReserved.begin(), kReserved.end(), lower(name)) != kReserved.end()) refuse(key, "this header cannot be configured");
  for (const auto& [other, text] : headers) {
    if (lower(other) == lower(name)) refuse(key, "is given twice, expected once");
  }
  headers.emplace_back(name, value);
}

// "X-API-Key_file" and "X-API-Key_command" are sources of the secret "X-API-Key".
std::string secret_name(const std::string& key) {
  for (const std::string_view suffix : {"_file", "_command"}) {
    if (key.ends_with(suffix)) return key.substr(0, key.size() - suffix.size());
  }
  return key;
}

HttpHeaders read_headers(const Settings& comfyui) {
  HttpHeaders headers;
  const Settings plain = comfyui.section("headers");
  for (const std::string& name : plain.names()) add_header(headers, name, plain.text(name), plain.full(name));
  const Settings secrets = comfyui.section("headers_secret");
  std::set<std::string> names;
  for (const std::string& key : secrets.names()) names.insert(secret_name(key));
  for (const std::string& name : names) {
    const std::optional<std::string> value = secrets.secret(name);
    if (!value) refuse(secrets.full(name), "no source gives this secret");
    add_header(headers, name, *value, secrets.full(name));
  }
  return headers;
}

}  // namespace

Config read_config(const Settings& generation) {
  const Settings comfyui = generation.section("comfyui");
  Config config;
  config.servers = read_servers(comfyui);
  config.timeout = comfyui.duration("timeout", 15min, 1s, 24h);
  config.poll = comfyui.duration("poll", 1s, 50ms, 30s);
  config.max_side = comfyui.integer("max_side", 2048, 64, 16000);
  config.second_micros = read_price(comfyui, "price_per_second");
  config.headers = read_headers(comfyui);
  config.max_bytes = read_image_program_config(generation).max_bytes;
  return config;
}

std::string label_of(const std::string& server) {
  const auto host = server.find("://") + 3;
  return server.substr(host, server.find('/', host) - host);
}

std::chrono::milliseconds poll_after(std::chrono::milliseconds poll, std::chrono::milliseconds watched) {
  return watched < 30 * poll ? poll : std::max(poll, std::min<std::chrono::milliseconds>(3 * poll, 5s));
}

}  // namespace rowcrew::generation::comfyui
