#include "net/address_range.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <string>

namespace rowcrew {
namespace {

constexpr unsigned kMappedBits = 96;

AddressBytes mapped(const std::array<unsigned char, 4>& v4) {
  AddressBytes bytes{};
  bytes[10] = bytes[11] = 0xff;
  std::copy(v4.begin(), v4.end(), bytes.begin() + 12);
  return bytes;
}

/// The bits of byte `index` that belong to a prefix of `bits` bits.
unsigned char byte_mask(unsigned bits, unsigned index) {
  const unsigned first = index * 8;
  if (bits >= first + 8) return 0xff;
  if (bits <= first) return 0;
  return static_cast<unsigned char>(0xff00U >> (bits - first));
}

std::optional<unsigned> parse_number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool AddressRange::contains(const AddressBytes& address) const {
  if (is_v4(address) && bits < kMappedBits) return false;
  for (unsigned i = 0; i < prefix.size(); ++i) {
    if (((prefix[i] ^ address[i]) & byte_mask(bits, i)) != 0) return false;
  }
  return true;
}

bool AddressRange::aligned() const {
  for (unsigned i = 0; i < prefix.size(); ++i) {
    if ((prefix[i] & ~byte_mask(bits, i)) != 0) return false;
  }
  return true;
}

bool is_v4(const AddressBytes& address) {
  const auto zeros_end = address.begin() + 10;
  return std::all_of(address.begin(), zeros_end, [](unsigned char b) { return b == 0; }) &&
         address[10] == 0xff && address[11] == 0xff;
}

AddressBytes embedded_v4(const AddressBytes& address, std::size_t at) {
  return mapped({address[at], address[at + 1], address[at + 2], address[at + 3]});
}

std::optional<AddressBytes> parse_address(std::string_view text) {
  const std::string numeric(text.substr(0, text.find('%')));
  // The parser below stops at a NUL, so that "8.8.8.8\0…" would pass for what precedes it.
  if (numeric.find('\0') != std::string::npos) return std::nullopt;
  boost::system::error_code ec;
  const auto address = boost::asio::ip::make_address(numeric, ec);
  if (ec) return std::nullopt;
  if (address.is_v4()) return mapped(address.to_v4().to_bytes());
  return address.to_v6().to_bytes();
}

std::optional<AddressRange> parse_range(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  AddressRange range{*address, 128};
  if (slash == std::string_view::npos) return range;
  const bool dotted = text.substr(0, slash).find(':') == std::string_view::npos;
  const auto bits = parse_number(text.substr(slash + 1));
  if (!bits || *bits > (dotted ? 32U : 128U)) return std::nullopt;
  range.bits = dotted ? kMappedBits + *bits : *bits;
  return range;
}

}  // namespace rowcrew
