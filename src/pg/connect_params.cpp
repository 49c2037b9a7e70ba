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

/// The lists that libpq reads in parallel; a single port counts for every host.
constexpr std::string_view kHostLists[] = {"host", "hostaddr", "port"};

/// libpq quotes pieces of what it could not read, and a piece of a URL may be the password. A password
/// may hold a quotation mark: nothing behind the first one is known to be libpq's own words.
std::string without_quotations(std::string_view message) {
  const auto end = message.find_first_of("\"\n");
  std::string out(message.substr(0, end));
  if (end != std::string_view::npos && message[end] == '"') out += "\"…\"";
  return out;
}

/// libpq takes what follows a bare @ or / of a password for hosts, ports and a database, and every failure to
/// connect names those.
void require_encoded_credentials(std::string_view url) {
  for (const std::string_view scheme : {"postgresql://", "postgres://"}) {
    if (!url.starts_with(scheme)) continue;
    url.remove_prefix(scheme.size());
    if (const auto end = url.find_first_of("@/"); end != std::string_view::npos) url.remove_prefix(end + 1);
    if (url.substr(0, url.find('?')).find('@') == std::string_view::npos) return;
    throw ConfigError("database url: an @ behind another @ or a /, expected those of user, password and database as %40 and %2F");
  }
}

/// Found here, it is a mistake of the configuration instead of an outage, and may be a piece of a password, too.
void require_port_numbers(const ConnectParams& params) {
  for (const std::string& port : host_list(params, "port")) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (port.empty() || (error == std::errc{} && end == port.data() + port.size() && number >= 1 && number <= 65535)) continue;
    throw ConfigError("database url: a port that is no number, expected 1 to 65535, and an @ or / of user and password as %40 and %2F");
  }
}

ConnectParams parse(const std::string& url) {
  require_encoded_credentials(url);
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

/// A service file or PGHOST may name the hosts, and who sees no list cannot leave a silent one for the next. libpq
/// tells what it has gathered, of a connection as well that it refuses before it begins.
void add_hosts_from_elsewhere(ConnectParams& params) {
  if (params.contains("host") || params.contains("hostaddr")) return;
  std::vector<const char*> keywords{"sslmode"}, values{"none at all"};
  for (const auto& [keyword, value] : params) {
    if (keyword == "sslmode") continue;
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  const std::unique_ptr<PGconn, decltype(&PQfinish)> refused(PQconnectStartParams(keywords.data(), values.data(), 0), &PQfinish);
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> gathered(PQconninfo(refused.get()), &PQconninfoFree);
  std::map<std::string_view, std::string> found;
  for (const PQconninfoOption* o = gathered.get(); o != nullptr && o->keyword != nullptr; ++o) {
    if (o->val != nullptr && *o->val != '\0') found.emplace(o->keyword, o->val);
  }
  if (!found.contains("host") && !found.contains("hostaddr")) return;
  for (const auto list : kHostLists) {
    if (const auto at = found.find(list); at != found.end()) params.emplace(list, at->second);
  }
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

/// libpq learns of these as it connects, where a misspelt one looks like an outage that will end.
void require_known_words(const ConnectParams& params) {
  static constexpr std::pair<std::string_view, std::string_view> kWords[] = {
      {"sslmode", "disable,allow,prefer,require,verify-ca,verify-full"},
      {"target_session_attrs", "any,read-write,read-only,primary,standby,prefer-standby"},
      {"channel_binding", "disable,prefer,require"},
      {"gssencmode", "disable,prefer,require"},
  };
  for (const auto& [keyword, words] : kWords) {
    const auto found = params.find(keyword);
    if (found == params.end() || found->second.empty()) continue;
    const std::vector<std::string> known = split(words);
    if (std::find(known.begin(), known.end(), found->second) != known.end()) continue;
    throw ConfigError(fmt::format("database url: {} has a value that libpq does not know, expected one of {}", keyword, fmt::join(known, ", ")));
  }
}

/// Whoever names a CA wants to know whom the password goes to: less than that, as providers like to put
/// it into a URL, must not win unnoticed.
void require_verify_full(ConnectParams& params) {
  const std::string& mode = params.emplace("sslmode", "verify-full").first->second;
  if (mode == "verify-full") return;
  throw ConfigError(fmt::format("database url: sslmode={} beside a CA file, expected verify-full or no sslmode", mode));
}

}  // namespace

ConnectParams connect_params(const PoolOptions& options, const Interrupt* interrupt) {
  ConnectParams params = parse(options.url);
  add_hosts_from_elsewhere(params);
  require_port_numbers(params);
  require_known_words(params);
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
  if (options.tls_files.contains("sslrootcert")) require_verify_full(params);
  if (!options.application_name.empty()) {
    params.emplace("fallback_application_name", options.application_name);
  }
  params["client_encoding"] = "UTF8";
  if (options.password) {
    if (auto password = options.password(interrupt)) params["password"] = std::move(*password);
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

std::vector<std::string> host_list(const ConnectParams& params, std::string_view keyword) {
  const auto found = params.find(keyword);
  if (found == params.end() || found->second.empty()) return {};
  return split(found->second);
}

std::size_t host_count(const ConnectParams& params) {
  return std::max({std::size_t{1}, host_list(params, "host").size(), host_list(params, "hostaddr").size()});
}

void rotate_hosts(ConnectParams& params, std::size_t by) {
  for (const auto list : kHostLists) {
    auto items = host_list(params, list);
    if (items.empty()) continue;
    const auto first = static_cast<std::ptrdiff_t>(by % items.size());
    std::rotate(items.begin(), items.begin() + first, items.end());
    params.find(list)->second = fmt::format("{}", fmt::join(items, ","));
  }
}

std::string first_host(const ConnectParams& params) {
  std::string first;
  for (const auto list : kHostLists) {
    const auto items = host_list(params, list);
    first += fmt::format("{},", items.empty() ? "" : items.front());
  }
  return first;
}

void begin_with_host(ConnectParams& params, const std::string& first) {
  for (std::size_t left = host_count(params); left > 0 && first_host(params) != first; --left) rotate_hosts(params, 1);
}

}  // namespace rowcrew
