// IP addresses as sixteen bytes, and prefixes of them. IPv4 is kept in its mapped form
// (::ffff:a.b.c.d), so that both spellings of one address are the same value. Pure.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace rowcrew {

using AddressBytes = std::array<unsigned char, 16>;

struct AddressRange {
  AddressBytes prefix{};
  unsigned bits = 128;

  /// An IPv4 address lies in IPv4 ranges only: "::/0" means every IPv6 address and no IPv4 one.
  bool contains(const AddressBytes& address) const;
  /// Whether every bit behind the prefix is zero.
  bool aligned() const;
};

bool is_v4(const AddressBytes& address);

/// The IPv4 address whose four bytes start at `at`, in mapped form.
AddressBytes embedded_v4(const AddressBytes& address, std::size_t at);

/// Numeric text only, dotted IPv4 with four decimal parts; a scope id ("%eth0") is ignored.
std::optional<AddressBytes> parse_address(std::string_view text);

/// "10.0.0.0/8", "fd00::/8", or a single address.
std::optional<AddressRange> parse_range(std::string_view text);

}  // namespace rowcrew
