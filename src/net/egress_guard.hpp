// Which addresses an outgoing connection may reach: a pure decision on resolved addresses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/address_range.hpp"

namespace rowcrew {

/// Public unicast addresses are allowed. Refused unless allow-listed: loopback, private (RFC 1918,
/// RFC 4193), link-local (RFC 3927, fe80::/10; it holds the metadata address 169.254.169.254, as
/// fd00::/8 holds fd00:ec2::254), carrier-grade NAT (RFC 6598), documentation, benchmarking,
/// multicast, broadcast, unspecified and reserved ranges (IANA special-purpose registries, RFC
/// 6890), the metadata address 168.63.129.16 in otherwise public space, and everything outside
/// 2000::/3. IPv4-mapped (::ffff:0:0/96), IPv4-compatible, NAT64 (64:ff9b::/96), 6to4 and Teredo
/// forms are judged by the embedded addresses. 64:ff9b:1::/48 (local NAT64) is refused as a whole:
/// where the IPv4 address stands in it is known to its operator alone.
class EgressGuard {
 public:
  EgressGuard() = default;
  /// Entries: "10.1.0.0/16", "fd12::/16", "127.0.0.1:8080", "[::1]:8080", "192.168.1.7",
  /// "10.1.0.0/16:443", "[fd12::/16]:443"; without a port every port. Throws ConfigError naming
  /// the entry.
  explicit EgressGuard(const std::vector<std::string>& allow_list);

  /// `address`: numeric text as from getnameinfo (a scope id is ignored); anything else is refused.
  bool allows(std::string_view address, unsigned port) const;

 private:
  struct Entry {
    AddressRange range;
    unsigned port;  ///< 0: any
  };
  static Entry parse_entry(const std::string& text);
  bool permits(const AddressBytes& address, unsigned port) const;
  bool listed(const AddressBytes& address, unsigned port) const;

  std::vector<Entry> entries_;
};

}  // namespace rowcrew
