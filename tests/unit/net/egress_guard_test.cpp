#include "net/egress_guard.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

using rowcrew::ConfigError;
using rowcrew::EgressGuard;

TEST_CASE("egress guard: public unicast addresses are allowed") {
  const EgressGuard guard;
  for (const char* address : {
           "1.1.1.1",
           "8.8.8.8",
           "9.255.255.255",
           "11.0.0.0",
           "100.63.255.255",
           "100.128.0.0",
           "126.255.255.255",
           "128.0.0.0",
           "169.253.255.255",
           "169.255.0.0",
           "172.15.255.255",
           "172.32.0.0",
           "192.0.1.0",
           "192.0.3.0",
           "192.167.255.255",
           "192.169.0.0",
           "198.17.255.255",
           "198.20.0.0",
           "203.0.112.255",
           "203.0.114.0",
           "223.255.255.255",
           "192.0.0.9",
           "192.0.0.10",  // anycast islands of a reserved block
           "168.63.129.15",
           "168.63.129.17",  // neighbours of a metadata address
           "2606:4700:4700::1111",
           "2000::1",
           "3ffe::1",
           "2001:200::1",
           "2001:1::1",
           "2001:4:112::1",
           "::ffff:8.8.8.8",
           "::8.8.8.8",
           "64:ff9b::808:808",
           "2002:808:808::1",
           "2606:4700:4700::1111%eth0",
           "2001:0:808:808:0:0:f7f7:f7f7",  // Teredo of two public addresses
       }) {
    CAPTURE(address);
    CHECK(guard.allows(address, 443));
  }
}

TEST_CASE("egress guard: special IPv4 ranges are refused, to their last address") {
  const EgressGuard guard;
  for (const char* address : {
           "0.0.0.0",         "0.255.255.255",   "10.0.0.0",        "10.255.255.255",
           "100.64.0.0",      "100.100.100.200", "100.127.255.255", "127.0.0.1",
           "127.255.255.255", "169.254.0.0",     "169.254.169.254", "169.254.170.2",
           "169.254.255.255", "172.16.0.0",      "172.31.255.255",  "192.0.0.0",
           "192.0.0.8",       "192.0.0.11",      "192.0.0.170",     "192.0.0.255",
           "192.0.2.1",       "192.88.99.1",     "192.168.0.0",     "192.168.255.255",
           "198.18.0.0",      "198.19.255.255",  "198.51.100.1",    "203.0.113.255",
           "224.0.0.1",       "239.255.255.255", "240.0.0.0",       "255.255.255.254",
           "255.255.255.255", "168.63.129.16",
       }) {
    CAPTURE(address);
    CHECK_FALSE(guard.allows(address, 443));
  }
}

TEST_CASE("egress guard: special IPv6 ranges are refused, to their last address") {
  const EgressGuard guard;
  for (const char* address : {
           "::",
           "::1",
           "fc00::",
           "fd00:ec2::254",
           "fdff:ffff::1",
           "fe80::1",
           "fe80::1%eth0",
           "febf::1",
           "fec0::1",
           "ff02::1",
           "ff0e::1",
           "100::1",
           "5f00::1",
           "4000::1",
           "1fff::1",
           "2001:db8::1",
           "2001:2::1",
           "2001:1::4",
           "2001:10::1",
           "2001:1ff::1",
           "3fff::1",
           "3fff:fff::1",
           "64:ff9b:1::808:808",
           "64:ff9b:1:808:8:800::",
           "64:ff9b:2::1",
       }) {
    CAPTURE(address);
    CHECK_FALSE(guard.allows(address, 443));
  }
}

TEST_CASE("egress guard: transition forms are judged by the address inside") {
  const EgressGuard guard;
  for (const char* address : {
           "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1",
           "::127.0.0.1", "::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
           "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::",
           "2001:0:7f00:1:0:0:f7f7:f7f7",         // Teredo relay on loopback
           "2001:0:808:808:0:0:80ff:fffe",        // Teredo client 127.0.0.1
           "2001:0:808:808:8000:ffff:5601:5601",  // Teredo client 169.254.169.254
       }) {
    CAPTURE(address);
    CHECK_FALSE(guard.allows(address, 443));
  }
}

TEST_CASE("egress guard: anything but a resolved numeric address is refused") {
  const EgressGuard guard;
  for (const char* address : {
           "",
           "localhost",
           "example.com",
           "0177.0.0.1",
           "0x7f.0.0.1",
           "2130706433",
           "127.1",
           "8.8.8.8 ",
           " 8.8.8.8",
           "8.8.8",
           "8.8.8.8.8",
           "08.8.8.8",
           "256.1.1.1",
           "[2606::1]",
           "8.8.8.8:443",
           "2606:::1",
           "%eth0",
           "8.8.8.8/32",
       }) {
    CAPTURE(address);
    CHECK_FALSE(guard.allows(address, 443));
  }
  CHECK_FALSE(guard.allows(std::string_view("8.8.8.8\0.evil", 13), 443));
}

TEST_CASE("egress guard: allow-listed addresses pass, on their port if one is named") {
  const EgressGuard guard({"10.1.0.0/16", "fd12::/16", "127.0.0.1:8080", "[::1]:9090",
                           "192.168.1.7", "10.9.0.0/16:443", "[fd77::/16]:444"});
  CHECK(guard.allows("10.1.0.0", 1));
  CHECK(guard.allows("10.1.255.255", 65535));
  CHECK_FALSE(guard.allows("10.2.0.0", 1));
  CHECK(guard.allows("fd12:ffff::1", 80));
  CHECK_FALSE(guard.allows("fd13::1", 80));
  CHECK(guard.allows("127.0.0.1", 8080));
  CHECK_FALSE(guard.allows("127.0.0.1", 80));
  CHECK_FALSE(guard.allows("127.0.0.2", 8080));
  CHECK(guard.allows("::1", 9090));
  CHECK_FALSE(guard.allows("::1", 8080));
  CHECK(guard.allows("192.168.1.7", 22));
  CHECK_FALSE(guard.allows("192.168.1.8", 22));
  CHECK(guard.allows("10.9.1.1", 443));
  CHECK_FALSE(guard.allows("10.9.1.1", 80));
  CHECK(guard.allows("fd77::1", 444));
  CHECK_FALSE(guard.allows("fd77::1", 443));
}

TEST_CASE("egress guard: an entry counts for every spelling of its address") {
  const EgressGuard guard({"127.0.0.1:8080", "10.0.0.0/8"});
  CHECK(guard.allows("::ffff:127.0.0.1", 8080));
  CHECK(guard.allows("64:ff9b::a01:203", 443));
  CHECK_FALSE(guard.allows("64:ff9b::c0a8:101", 443));
  CHECK(EgressGuard({"::ffff:127.0.0.1"}).allows("127.0.0.1", 1));
}

TEST_CASE("egress guard: whole families can be listed, one does not imply the other") {
  CHECK(EgressGuard({"0.0.0.0/0"}).allows("127.0.0.1", 1));
  CHECK_FALSE(EgressGuard({"0.0.0.0/0"}).allows("fe80::1", 1));
  CHECK(EgressGuard({"::/0"}).allows("fe80::1", 1));
  CHECK_FALSE(EgressGuard({"::/0"}).allows("127.0.0.1", 1));
  CHECK(EgressGuard({"64:ff9b:1::/48"}).allows("64:ff9b:1::a00:1", 1));
}

TEST_CASE("egress guard: a wrong entry is named") {
  for (const char* entry :
       {"", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "10.1.2.3/16",
        "fd12::1/16", "::/129", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:80x",
        "[::1", "[::1]8080", "[::1]:", "fe80::1%eth0", "10.0.0.0/8/8", "example.com:80"}) {
    CAPTURE(entry);
    CHECK_THROWS_AS(EgressGuard({entry}), ConfigError);
  }
  CHECK_THROWS_WITH(EgressGuard({"10.1.2.3/16"}),
                    "egress.allow: \"10.1.2.3/16\" has bits set behind its prefix, expected an "
                    "address or prefix such as 10.1.0.0/16, 127.0.0.1:8080 or [::1]:8080");
}
