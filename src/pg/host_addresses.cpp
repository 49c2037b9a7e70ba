#include "pg/host_addresses.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <rowcrew/db_error.hpp>

namespace rowcrew {
namespace {

/// The lists of hosts, place by place.
struct Hosts {
  std::vector<std::string> names, addresses, ports;
  void add(const std::string& name, std::string address, const std::string& port) {
    names.push_back(name);
    addresses.push_back(std::move(address));
    ports.push_back(port);
  }
};

/// A path, the @ of an abstract socket, or libpq's default.
bool is_local(const std::string& host) {
  return host.empty() || host.front() == '/' || host.front() == '@';
}

}  // namespace

HostAddresses look_up_host(const std::string& host) {
  HostAddresses found;
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &wanted, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(list, &::freeaddrinfo);
  for (const addrinfo* at = list; error == 0 && at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0) {
      found.addresses.emplace_back(text);
    }
  }
  if (found.addresses.empty()) found.failure = error == 0 ? "no address" : ::gai_strerror(error);
  return found;
}

std::string expand_hosts(ConnectParams& params, const HostLookUp& look_up) {
  const std::vector<std::string> names = host_list(params, "host");
  const std::vector<std::string> given = host_list(params, "hostaddr");
  const std::vector<std::string> ports = host_list(params, "port");
  const auto fits = [&](const std::vector<std::string>& list, std::size_t single) {
    return list.size() <= single || list.size() == names.size();
  };
  if (names.empty() || !fits(given, 0) || !fits(ports, 1)) return {};  // libpq has its own words for that
  Hosts hosts;
  std::string failures;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string address = given.empty() ? "" : given[i];
    const std::string port = ports.empty() ? "" : ports.size() == 1 ? ports.front() : ports[i];
    if (is_local(names[i]) || !address.empty()) {
      hosts.add(names[i], address, port);
      continue;
    }
    HostAddresses found = look_up(names[i]);
    if (found.addresses.size() == 1) found.addresses.front().clear();  // libpq names both in its messages then
    for (std::string& one : found.addresses) hosts.add(names[i], std::move(one), port);
    if (!found.addresses.empty()) continue;
    failures += fmt::format("{}could not translate host name \"{}\" to address: {}", failures.empty() ? "" : "; ", names[i], found.failure);
  }
  if (hosts.names.empty()) throw DbError(ErrorClass::transient, "08001", "database: " + failures, true, false);
  const bool numeric = std::any_of(hosts.addresses.begin(), hosts.addresses.end(), [](const std::string& one) { return !one.empty(); });
  params["host"] = fmt::format("{}", fmt::join(hosts.names, ","));
  if (numeric) params["hostaddr"] = fmt::format("{}", fmt::join(hosts.addresses, ","));
  if (ports.size() > 1) params["port"] = fmt::format("{}", fmt::join(hosts.ports, ","));
  return failures;
}

}  // namespace rowcrew
