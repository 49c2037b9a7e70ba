#include "pg/host_addresses.hpp"

#include <doctest/doctest.h>

#include <map>

#include <rowcrew/db_error.hpp>

using namespace rowcrew;

namespace {

/// A resolver that knows a few names.
HostAddresses look_up(const std::string& host) {
  static const std::map<std::string, std::vector<std::string>> kKnown{
      {"one", {"10.0.0.1"}}, {"two", {"fd00::2", "10.0.0.2"}}, {"three", {"10.0.0.3", "10.0.0.4", "10.0.0.5"}}};
  const auto at = kKnown.find(host);
  return at == kKnown.end() ? HostAddresses{{}, "Name or service not known"} : HostAddresses{at->second, ""};
}

std::string value(const ConnectParams& params, std::string_view keyword) {
  const auto at = params.find(keyword);
  return at == params.end() ? "-" : at->second;
}

/// "host hostaddr port" after the look-up.
std::string expanded(ConnectParams params) {
  expand_hosts(params, look_up);
  return value(params, "host") + " " + value(params, "hostaddr") + " " + value(params, "port");
}

}  // namespace

TEST_CASE("host addresses: every address of a name is a host of its own, under that name and with its port") {
  CHECK(expanded({{"host", "two"}}) == "two,two fd00::2,10.0.0.2 -");
  CHECK(expanded({{"host", "two"}, {"port", "5433"}}) == "two,two fd00::2,10.0.0.2 5433");
  CHECK(expanded({{"host", "two,one,three"}, {"port", "1,2,3"}}) ==
        "two,two,one,three,three,three fd00::2,10.0.0.2,,10.0.0.3,10.0.0.4,10.0.0.5 1,1,2,3,3,3");
}

TEST_CASE("host addresses: sockets, given addresses, names of one address and what libpq refuses stay as they are") {
  CHECK(expanded({{"host", "one"}, {"port", "5433"}}) == "one - 5433");
  CHECK(expanded({{"host", "/run/postgresql"}}) == "/run/postgresql - -");
  CHECK(expanded({{"host", "@abstract,/tmp"}, {"port", "1,2"}}) == "@abstract,/tmp - 1,2");
  CHECK(expanded({{"hostaddr", "10.9.9.9"}}) == "- 10.9.9.9 -");
  CHECK(expanded({{"dbname", "shop"}}) == "- - -");
  CHECK(expanded({{"host", "two"}, {"hostaddr", "10.9.9.9"}}) == "two 10.9.9.9 -");
  CHECK(expanded({{"host", "two,/tmp,two"}, {"hostaddr", "10.9.9.9,,"}}) == "two,/tmp,two,two 10.9.9.9,,fd00::2,10.0.0.2 -");
  CHECK(expanded({{"host", "two"}, {"port", "1,2"}}) == "two - 1,2");
  CHECK(expanded({{"host", "two,one"}, {"hostaddr", "10.9.9.9"}}) == "two,one 10.9.9.9 -");
}

TEST_CASE("host addresses: a name without any is left out and told; the last one is an outage") {
  ConnectParams params{{"host", "gone,two,lost"}, {"port", "1,2,3"}};
  CHECK(expand_hosts(params, look_up) ==
        "could not translate host name \"gone\" to address: Name or service not known; "
        "could not translate host name \"lost\" to address: Name or service not known");
  CHECK(value(params, "host") == "two,two");
  CHECK(value(params, "port") == "2,2");
  params = {{"host", "gone"}};
  try {
    expand_hosts(params, look_up);
    FAIL("accepted");
  } catch (const DbError& error) {
    CHECK(error.sqlstate() == "08001");
    CHECK(error.connection_lost());
    CHECK(std::string(error.what()) == "database: could not translate host name \"gone\" to address: Name or service not known");
  }
}

TEST_CASE("host addresses: the system knows addresses by themselves, and says why it knows none") {
  CHECK(look_up_host("127.0.0.1").addresses == std::vector<std::string>{"127.0.0.1"});
  CHECK(look_up_host("::1").addresses == std::vector<std::string>{"::1"});
  const HostAddresses none = look_up_host("no blank in a name");
  CHECK(none.addresses.empty());
  CHECK_FALSE(none.failure.empty());
}
