#include "pg/connect_params.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

using namespace std::chrono_literals;
using namespace rowcrew;

namespace {

PoolOptions with_url(std::string url) {
  PoolOptions options;
  options.url = std::move(url);
  return options;
}

}  // namespace

TEST_CASE("connect params: a URI of several hosts passes through untouched") {
  const auto params = connect_params(with_url(
      "postgresql://app@a.example:5433,b.example:5434/shop?target_session_attrs=read-write"));
  CHECK(params.at("host") == "a.example,b.example");
  CHECK(params.at("port") == "5433,5434");
  CHECK(params.at("dbname") == "shop");
  CHECK(params.at("user") == "app");
  CHECK(params.at("target_session_attrs") == "read-write");
  CHECK(host_count(params) == 2);
}

TEST_CASE("connect params: what the URL leaves open is filled in, what it says is kept") {
  PoolOptions options = with_url("host=db keepalives_idle=7 client_encoding=LATIN1");
  options.application_name = "rowcrewd/mail";
  const auto params = connect_params(options);
  CHECK(params.at("keepalives_idle") == "7");
  CHECK(params.at("keepalives_interval") == "5");
  CHECK(params.at("tcp_user_timeout") == "10000");
  CHECK(params.at("fallback_application_name") == "rowcrewd/mail");
  CHECK(params.at("client_encoding") == "UTF8");  // ours: results are UTF-8 everywhere
}

TEST_CASE("connect params: only a server that writes will do, unless the URL or a pooler decides") {
  PoolOptions options = with_url("host=a,b");
  CHECK(connect_params(options).at("target_session_attrs") == "read-write");
  options.pooled = true;
  CHECK_FALSE(connect_params(options).contains("target_session_attrs"));
  CHECK(connect_params(with_url("host=a target_session_attrs=any")).at("target_session_attrs") == "any");
}

TEST_CASE("connect params: a CA file makes the connection verify-full, and the URL wins") {
  PoolOptions options = with_url("host=db");
  options.tls_files = {{"sslrootcert", "/c/ca"}, {"sslcert", "/c/crt"}, {"sslkey", "/c/key"}};
  auto params = connect_params(options);
  CHECK(params.at("sslmode") == "verify-full");
  CHECK(params.at("sslrootcert") == "/c/ca");
  CHECK(params.at("sslcert") == "/c/crt");
  CHECK(params.at("sslkey") == "/c/key");
  options.url = "host=db sslmode=require sslkey=/mine";
  params = connect_params(options);
  CHECK(params.at("sslmode") == "require");
  CHECK(params.at("sslkey") == "/mine");
  options.url = "host=db";
  options.tls_files.erase("sslrootcert");
  CHECK_FALSE(connect_params(options).contains("sslmode"));
}

TEST_CASE("connect params: a password source wins over the URL and is asked every time") {
  PoolOptions options = with_url("postgresql://app:old@db/shop");
  int asked = 0;
  options.password = [&]() -> std::optional<std::string> {
    return "rotated" + std::to_string(++asked);
  };
  CHECK(connect_params(options).at("password") == "rotated1");
  CHECK(connect_params(options).at("password") == "rotated2");
  options.password = [] { return std::optional<std::string>(); };
  CHECK(connect_params(options).at("password") == "old");
}

TEST_CASE("connect params: a malformed URL is refused without quoting any of it") {
  for (const std::string url : {"postgresql://app@db/shop?s3cret", "host=db password='s3cret",
                                "s3cret", "postgresql://app:s3cret@[::1/shop"}) {
    CAPTURE(url);
    try {
      connect_params(with_url(url));
      FAIL("accepted");
    } catch (const ConfigError& error) {
      const std::string message = error.what();
      CAPTURE(message);
      CHECK(message.find("database url: ") == 0);
      CHECK(message.find("s3cret") == std::string::npos);
      CHECK(message.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("connect params: the URL's connect_timeout wins when it is a number of seconds") {
  PoolOptions options = with_url("host=db connect_timeout=3");
  options.connect_timeout = 5s;
  CHECK(connect_timeout(connect_params(options), options) == 3s);
  options.url = "host=db connect_timeout=0";
  CHECK(connect_timeout(connect_params(options), options) == 5s);
  options.url = "host=db";
  CHECK(connect_timeout(connect_params(options), options) == 5s);
}

TEST_CASE("connect params: rotating hosts keeps each with its port") {
  auto params = connect_params(with_url("host=a,b,c port=1,2,3"));
  rotate_hosts(params, 1);
  CHECK(params.at("host") == "b,c,a");
  CHECK(params.at("port") == "2,3,1");
  rotate_hosts(params, 5);
  CHECK(params.at("host") == "a,b,c");

  auto one_port = connect_params(with_url("host=a,b port=5432"));
  rotate_hosts(one_port, 1);
  CHECK(one_port.at("host") == "b,a");
  CHECK(one_port.at("port") == "5432");
}
