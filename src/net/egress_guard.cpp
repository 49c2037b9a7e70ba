#include "net/egress_guard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

using Ranges = std::vector<AddressRange>;

Ranges ranges(std::initializer_list<std::string_view> texts) {
  Ranges parsed;
  for (const auto text : texts) parsed.push_back(parse_range(text).value());
  return parsed;
}

bool within(const Ranges& set, const AddressBytes& address) {
  return std::any_of(set.begin(), set.end(),
                     [&](const AddressRange& range) { return range.contains(address); });
}

// The IANA IPv4 and IPv6 special-purpose registries: what is not globally reachable, and the
// globally reachable islands inside. Teredo (2001::/32), 6to4 and NAT64 never get here: they are
// judged by what they embed.
const Ranges& special() {
  static const Ranges kSpecial = ranges({
      "0.0.0.0/8",        "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
      "172.16.0.0/12",    "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
      "198.18.0.0/15",    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",    "240.0.0.0/4",
      "168.63.129.16/32",  // a cloud's metadata and agent endpoint, inside public space
      "2001::/23",        "2001:db8::/32",   "3fff::/20",
  });
  return kSpecial;
}

const Ranges& islands() {
  static const Ranges kIslands = ranges({
      "192.0.0.9/32", "192.0.0.10/32",                    // anycast of PCP and TURN
      "2001:1::1/128", "2001:1::2/128", "2001:1::3/128",  // the same, and of DNS-SD SRP
      "2001:3::/32", "2001:4:112::/48",                   // AMT, AS112
      "2001:20::/28", "2001:30::/28",                     // ORCHIDv2, DRIP
  });
  return kIslands;
}

const Ranges& unicast() {
  static const Ranges kUnicast = ranges({"0.0.0.0/0", "2000::/3"});
  return kUnicast;
}

bool is_public(const AddressBytes& address) {
  if (!within(unicast(), address)) return false;
  return !within(special(), address) || within(islands(), address);
}

/// The IPv4 addresses that a transition form stands for; empty when it is none.
std::vector<AddressBytes> embedded(const AddressBytes& address) {
  static const AddressRange kCompatible = parse_range("::/96").value();
  static const AddressRange kNat64 = parse_range("64:ff9b::/96").value();
  static const AddressRange k6to4 = parse_range("2002::/16").value();
  static const AddressRange kTeredo = parse_range("2001::/32").value();
  if (kCompatible.contains(address) || kNat64.contains(address)) return {embedded_v4(address, 12)};
  if (k6to4.contains(address)) return {embedded_v4(address, 2)};
  if (kTeredo.contains(address)) {
    auto plain = address;  // the client's address is stored inverted, the relay's as it is
    for (std::size_t i = 12; i < plain.size(); ++i) plain[i] ^= 0xff;
    return {embedded_v4(address, 4), embedded_v4(plain, 12)};
  }
  return {};
}

struct EntryParts {
  std::string_view range;
  std::string_view port;  ///< empty: none given
  bool well_formed = true;
};

EntryParts split_entry(std::string_view text) {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return {{}, {}, false};
    const auto rest = text.substr(close + 1);
    const bool port_follows = rest.size() > 1 && rest.front() == ':';
    return {text.substr(1, close - 1), port_follows ? rest.substr(1) : std::string_view{},
            rest.empty() || port_follows};
  }
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) {
    return {text, {}, true};  // IPv4 without a port, or IPv6 without brackets
  }
  return {text.substr(0, colon), text.substr(colon + 1), colon + 1 < text.size()};
}

}  // namespace

EgressGuard::EgressGuard(const std::vector<std::string>& allow_list) {
  for (const auto& text : allow_list) entries_.push_back(parse_entry(text));
}

EgressGuard::Entry EgressGuard::parse_entry(const std::string& text) {
  const auto refuse = [&](std::string_view why) {
    return ConfigError(
        fmt::format("egress.allow: \"{}\" {}, expected an address or prefix such as 10.1.0.0/16, "
                    "127.0.0.1:8080 or [::1]:8080",
                    text, why));
  };
  const auto parts = split_entry(text);
  if (!parts.well_formed) throw refuse("is malformed");
  const auto range = parse_range(parts.range);
  if (!range || parts.range.find('%') != std::string_view::npos) throw refuse("names no address");
  if (!range->aligned()) throw refuse("has bits set behind its prefix");
  unsigned port = 0;
  if (!parts.port.empty()) {
    const auto* end = parts.port.data() + parts.port.size();
    const auto read = std::from_chars(parts.port.data(), end, port);
    if (read.ec != std::errc{} || read.ptr != end || port < 1 || port > 65535) {
      throw refuse("has no port from 1 to 65535 behind the colon");
    }
  }
  return Entry{*range, port};
}

bool EgressGuard::allows(std::string_view address, unsigned port) const {
  const auto bytes = parse_address(address);
  return bytes && permits(*bytes, port);
}

bool EgressGuard::permits(const AddressBytes& address, unsigned port) const {
  if (listed(address, port)) return true;
  const auto inner = embedded(address);
  if (inner.empty()) return is_public(address);
  return std::all_of(inner.begin(), inner.end(),
                     [&](const AddressBytes& v4) { return permits(v4, port); });
}

bool EgressGuard::listed(const AddressBytes& address, unsigned port) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return (entry.port == 0 || entry.port == port) && entry.range.contains(address);
  });
}

}  // namespace rowcrew
