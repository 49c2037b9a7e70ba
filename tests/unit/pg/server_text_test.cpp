#include "pg/server_text.hpp"

#include <doctest/doctest.h>

using rowcrew::one_line;
using rowcrew::prepared_name;

TEST_CASE("server text: a message becomes one line without its severity") {
  CHECK(one_line("ERROR:  division by zero\n") == "division by zero");
  CHECK(one_line("FATAL:  terminating connection\nserver closed\n\tThis probably means\n") ==
        "terminating connection server closed This probably means");
  CHECK(one_line("FEHLER:  Division durch Null") == "Division durch Null");
  CHECK(one_line("connection to server failed: No such file") ==
        "connection to server failed: No such file");
  CHECK(one_line("") == "");
}

TEST_CASE("server text: a long message is cut between two characters") {
  std::string umlauts;
  for (int i = 0; i < 300; ++i) umlauts += "ä";
  CHECK(one_line(umlauts).size() == 400);
  CHECK(one_line("x" + umlauts).size() == 399);
}

TEST_CASE("server text: a prepared name fits into what the server compares") {
  CHECK(prepared_name("node/claim:job_queue") == "node/claim:job_queue");
  const std::string stem(70, 'a');
  CHECK(prepared_name(std::string(63, 'a')) == std::string(63, 'a'));
  CHECK(prepared_name(stem).size() == 63);
  CHECK(prepared_name(stem + "1") != prepared_name(stem + "2"));
  CHECK(prepared_name(stem) == prepared_name(stem));
}

TEST_CASE("server text: a refusal is told without its code and place, and whether there was no connection left") {
  const auto one = rowcrew::read_refusal(
      "connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: FATAL:  53300: sorry, too many clients already\n"
      "LOCATION:  InitProcess, proc.c:360\n");
  CHECK(one.turned_away);
  CHECK(one.crowded);
  CHECK(one.text == "connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: FATAL: sorry, too many clients already");
  const auto other = rowcrew::read_refusal("FATAL:  28P01: password authentication failed for user \"a\"\nLOCATION:  auth_failed, auth.c:326\n");
  CHECK(other.turned_away);
  CHECK_FALSE(other.crowded);
  CHECK(other.text == "password authentication failed for user \"a\"");
  const auto none = rowcrew::read_refusal("connection to server at \"h\" failed: Connection refused\n\tIs the server running?\n");
  CHECK_FALSE(none.turned_away);
  const auto full = rowcrew::read_refusal("connection to server at \"h\" failed: FATAL:  08P01: no more connections allowed (max_client_conn)\n");
  CHECK(full.turned_away);
  CHECK_FALSE(full.crowded);
  CHECK_FALSE(rowcrew::read_refusal("FATAL:  57P03: the database system is shutting down\n").turned_away);
  CHECK_FALSE(rowcrew::read_refusal("FATAL:  3D000: database \"shop\" does not exist\n").turned_away);
  CHECK_FALSE(none.crowded);
  CHECK(none.text == "connection to server at \"h\" failed: Connection refused Is the server running?");
  CHECK(rowcrew::read_refusal("").text.empty());
  CHECK_FALSE(rowcrew::read_refusal("FATAL:  53300").crowded);
}
