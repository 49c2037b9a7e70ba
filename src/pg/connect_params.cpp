#include "pg/connect_params.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>
#include <vector>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

/// libpq quotes pieces of what it could not read, and a piece of a URL may be the password.
std::string without_quotations(std::string_view message) {
  std::string out;
  bool quoted = false;
  for (const char c : message) {
    if (c == '\n') break;
    if (c == '"') {
      out += quoted ? "…\"" : "\"";
      quoted = !quoted;
    } else if (!quoted) {
      out += c;
    }
  }
  return out;
}

ConnectParams parse(const std::string& url) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(
      PQconninfoParse(url.c_str(), &message), &PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> owned(message, &PQfreemem);
  if (!parsed) {
    throw ConfigError(fmt::format("database url: {}, expected a libpq URI or keywords",
                                  without_quotations(message ? message : "out of memory")));
  }
  ConnectParams params;
  for (const PQconninfoOption* o = parsed.get(); o->keyword != nullptr; ++o) {
    if (o->val != nullptr) params[o->keyword] = o->val;
  }
  return params;
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> items;
  for (;;) {
    const auto comma = list.find(',');
    items.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return items;
    list.remove_prefix(comma + 1);
  }
}

/// The lists that libpq reads in parallel; a single port counts for every host.
constexpr std::string_view kHostLists[] = {"host", "hostaddr", "port"};

}  // namespace

ConnectParams connect_params(const PoolOptions& options) {
  ConnectParams params = parse(options.url);
  // A peer that vanished without a word must not hold a thread for the kernel's two hours; after
  // ten seconds of silence the next try may already meet its successor.
  params.emplace("keepalives_idle", "10");
  params.emplace("keepalives_interval", "5");
  params.emplace("keepalives_count", "2");
  params.emplace("tcp_user_timeout", "10000");
  // A standby, or a primary that was turned read-only, is no place to work. A pooler answers for
  // its server from memory: asked through one, this question could be refused for ever.
  if (!options.pooled) params.emplace("target_session_attrs", "read-write");
  for (const auto& [keyword, path] : options.tls_files) params.emplace(keyword, path);
  if (options.tls_files.contains("sslrootcert")) params.emplace("sslmode", "verify-full");
  if (!options.application_name.empty()) {
    params.emplace("fallback_application_name", options.application_name);
  }
  params["client_encoding"] = "UTF8";
  if (options.password) {
    if (auto password = options.password()) params["password"] = std::move(*password);
  }
  return params;
}

std::chrono::milliseconds connect_timeout(const ConnectParams& params, const PoolOptions& options) {
  const auto found = params.find("connect_timeout");
  if (found == params.end()) return options.connect_timeout;
  int seconds = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && seconds > 0 ? std::chrono::seconds(seconds) : options.connect_timeout;
}

std::size_t host_count(const ConnectParams& params) {
  std::size_t count = 1;
  for (const auto list : {"host", "hostaddr"}) {
    const auto found = params.find(list);
    if (found != params.end()) count = std::max(count, split(found->second).size());
  }
  return count;
}

void rotate_hosts(ConnectParams& params, std::size_t by) {
  for (const auto list : kHostLists) {
    const auto found = params.find(list);
    if (found == params.end()) continue;
    auto items = split(found->second);
    const auto first = static_cast<std::ptrdiff_t>(by % items.size());
    std::rotate(items.begin(), items.begin() + first, items.end());
    found->second = fmt::format("{}", fmt::join(items, ","));
  }
}

}  // namespace rowcrew
