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

/// As a mistake of the configuration that quotes nothing of the URL.
void check_refused(const std::string& url) {
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

TEST_CASE("connect params: a CA file makes the connection verify-full, the URL's own files win") {
  PoolOptions options = with_url("host=db");
  options.tls_files = {{"sslrootcert", "/c/ca"}, {"sslcert", "/c/crt"}, {"sslkey", "/c/key"}};
  auto params = connect_params(options);
  CHECK(params.at("sslmode") == "verify-full");
  CHECK(params.at("sslrootcert") == "/c/ca");
  CHECK(params.at("sslcert") == "/c/crt");
  CHECK(params.at("sslkey") == "/c/key");
  options.url = "host=db sslmode=verify-full sslkey=/mine";
  params = connect_params(options);
  CHECK(params.at("sslmode") == "verify-full");
  CHECK(params.at("sslkey") == "/mine");
  options.url = "host=db";
  options.tls_files.erase("sslrootcert");
  CHECK_FALSE(connect_params(options).contains("sslmode"));
}

TEST_CASE("connect params: a CA file beside an sslmode that checks less is refused, not overruled") {
  for (const std::string mode : {"disable", "allow", "prefer", "require", "verify-ca"}) {
    PoolOptions options = with_url("host=db password=s3cret sslmode=" + mode);
    CHECK(connect_params(options).at("sslmode") == mode);
    options.tls_files = {{"sslrootcert", "/c/ca"}};
    try {
      connect_params(options);
      FAIL("accepted");
    } catch (const ConfigError& error) {
      CHECK(std::string(error.what()) == "database url: sslmode=" + mode + " beside a CA file, expected verify-full or no sslmode");
    }
  }
}

TEST_CASE("connect params: a password source wins over the URL and is asked every time") {
  PoolOptions options = with_url("postgresql://app:old@db/shop");
  int asked = 0;
  options.password = [&](const Interrupt*) -> std::optional<std::string> {
    return "rotated" + std::to_string(++asked);
  };
  CHECK(connect_params(options).at("password") == "rotated1");
  CHECK(connect_params(options).at("password") == "rotated2");
  options.password = [](const Interrupt*) { return std::optional<std::string>(); };
  CHECK(connect_params(options).at("password") == "old");
}

TEST_CASE("connect params: a malformed URL is refused without quoting any of it") {
  for (const std::string url : {"postgresql://app@db/shop?s3cret", "host=db password='s3cret",
                                "s3cret", "postgresql://app:s3cret@[::1/shop", "postgresql://app:a\"s3cret@[::1/shop",
                                "postgresql://app:a%zz\"b\"s3cret@db/shop", "host=db a\"s3cret\"b s3cret"}) {
    check_refused(url);
  }
}

TEST_CASE("connect params: a password with a bare @ or / is refused before a piece of it is taken for a host and named") {
  for (const std::string url : {"postgresql://app:p@s3cret@db/shop", "postgres://app:s3cret/x@db/shop", "postgresql://app:12/s3cret@db/shop",
                                "postgresql://app:p@s:s3cret@db/shop", "postgresql://app:p@s/s3cret@db/shop", "postgresql://app:p?a@s3cret@db",
                                "postgresql://db/shop?port=s3cret", "host=db port=5432,s3cret", "host=db port=65536"}) {
    check_refused(url);
  }
  const auto params = connect_params(with_url("postgresql://app:p%40s%2F?s@a:5432,[::1]/shop?user=me@server"));
  CHECK(params.at("password") == "p@s/?s");
  CHECK(params.at("host") == "a,::1");
  CHECK(connect_params(with_url("postgresql:///shop?host=@abstract")).at("host") == "@abstract");
  CHECK(connect_params(with_url("postgresql://@db")).at("host") == "db");
  CHECK(connect_params(with_url("host=a,b port=,5433")).at("port") == ",5433");
}

TEST_CASE("connect params: a misspelt sslmode is a mistake of the URL, not an outage") {
  for (const char* word : {"sslmode=requir", "sslmode=verify_full", "target_session_attrs=readwrite", "channel_binding=yes", "gssencmode=off"}) {
    CAPTURE(word);
    const std::string keyword(word, std::string_view(word).find('='));
    CHECK_THROWS_WITH_AS(connect_params(with_url(std::string("postgresql:///d?") + word)),
                         doctest::Contains((keyword + " has a value that libpq does not know, expected one of ").c_str()), ConfigError);
  }
  for (const char* word : {"sslmode=require", "target_session_attrs=any", "channel_binding=require", "gssencmode=disable"}) {
    CHECK_NOTHROW(connect_params(with_url(std::string("postgresql:///d?") + word)));
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

TEST_CASE("connect params: a list begins with the host that was told, wherever it stands by then") {
  auto params = connect_params(with_url("host=a,a,c port=1,2,3"));
  rotate_hosts(params, 1);
  const std::string second = first_host(params);
  params = connect_params(with_url("host=c,a,a port=3,2,1"));
  begin_with_host(params, second);
  CHECK(params.at("host") == "a,a,c");
  CHECK(params.at("port") == "2,1,3");
  begin_with_host(params, "gone");
  CHECK(params.at("port") == "2,1,3");
}
