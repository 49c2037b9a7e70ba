// What a login of the group rowcrew_ingest can do that a login without any group cannot.
#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "support/db/login_role.hpp"

namespace rowcrew::testing {
namespace {

using Rights = std::set<std::string>;

/// Every right of role $1 on every object of the database, system schemas included: "kind object
/// right". Group memberships and what everybody has (PUBLIC) count.
constexpr std::string_view kAllRights = R"(
  SELECT 'relation ' || c.oid::regclass || ' ' || p
  FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
  WHERE c.relkind NOT IN ('S', 'i', 'I', 'c')
    AND CASE WHEN p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') THEN has_any_column_privilege($1, c.oid, p)
             ELSE has_table_privilege($1, c.oid, p) END
  UNION ALL
  SELECT 'sequence ' || c.oid::regclass || ' ' || p
  FROM pg_class c, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
  WHERE c.relkind = 'S' AND has_sequence_privilege($1, c.oid, p)
  UNION ALL
  SELECT 'function ' || f.oid::regprocedure || ' EXECUTE' FROM pg_proc f WHERE has_function_privilege($1, f.oid, 'EXECUTE')
  UNION ALL
  SELECT 'schema ' || n.nspname || ' ' || p FROM pg_namespace n, unnest(ARRAY['USAGE', 'CREATE']) p
  WHERE has_schema_privilege($1, n.oid, p)
  UNION ALL
  SELECT 'database ' || d.datname || ' ' || p FROM pg_database d, unnest(ARRAY['CREATE', 'TEMP', 'CONNECT']) p
  WHERE d.datname = current_database() AND has_database_privilege($1, d.oid, p)
  UNION ALL
  SELECT 'language ' || l.lanname || ' USAGE' FROM pg_language l WHERE has_language_privilege($1, l.oid, 'USAGE')
  UNION ALL
  SELECT 'type ' || t.oid::regtype || ' USAGE' FROM pg_type t WHERE has_type_privilege($1, t.oid, 'USAGE')
  UNION ALL
  SELECT 'wrapper ' || w.fdwname || ' USAGE' FROM pg_foreign_data_wrapper w
  WHERE has_foreign_data_wrapper_privilege($1, w.oid, 'USAGE')
  UNION ALL
  SELECT 'server ' || s.srvname || ' USAGE' FROM pg_foreign_server s WHERE has_server_privilege($1, s.oid, 'USAGE')
  UNION ALL
  SELECT 'tablespace ' || s.spcname || ' CREATE' FROM pg_tablespace s WHERE has_tablespace_privilege($1, s.oid, 'CREATE')
  UNION ALL
  SELECT 'parameter ' || a.parname || ' ' || p FROM pg_parameter_acl a, unnest(ARRAY['SET', 'ALTER SYSTEM']) p
  WHERE has_parameter_privilege($1, a.parname, p)
  UNION ALL
  SELECT 'large object ' || m.oid || ' ' || e.privilege_type
  FROM pg_largeobject_metadata m, aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) e
  WHERE e.grantee = 0 OR pg_has_role($1, e.grantee, 'USAGE')
  UNION ALL
  SELECT 'role ' || r.rolname || ' MEMBER' FROM pg_roles r
  WHERE r.rolname <> $1 AND pg_has_role($1, r.oid, 'MEMBER')
  UNION ALL
  SELECT 'attribute ' || a.name FROM pg_roles r,
    LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
                    ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) a (name, held)
  WHERE r.rolname = $1 AND a.held
  UNION ALL
  SELECT 'owner of ' || d.classid::regclass || ' ' || d.objid FROM pg_shdepend d
  WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
    AND d.refobjid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = $1)
)";

Rights rights_of(const TempDatabase& db, const LoginRole& role) {
  const Rows rows = db.query(kAllRights, Params{}.add(role.name()));
  Rights rights;
  for (std::size_t row = 0; row < rows.size(); ++row) rights.emplace(rows.text(row, 0));
  return rights;
}

Rights beyond(const Rights& more, const Rights& less) {
  Rights found;
  std::set_difference(more.begin(), more.end(), less.begin(), less.end(),
                      std::inserter(found, found.end()));
  return found;
}

/// The two calls, and what it takes to make them.
const Rights kTwoCalls = {
    "function rowcrew.ingest_enqueue(text,text,jsonb,text,text,integer,bigint,text,text) EXECUTE",
    "function rowcrew.ingest_key(text) EXECUTE",
    "role rowcrew_ingest MEMBER",
    "schema rowcrew USAGE",
};

}  // namespace

TEST_CASE("over all objects and rights, the ingest role has two calls and nothing else" * with_roles()) {
  const TempDatabase db;
  const LoginRole nobody(db, "");
  const LoginRole ingest(db, "rowcrew_ingest");
  const Rights of_nobody = rights_of(db, nobody);
  REQUIRE(of_nobody.contains("function now() EXECUTE"));  // the loop sees system schemas, too
  CHECK(beyond(rights_of(db, ingest), of_nobody) == kTwoCalls);
  CHECK(beyond(of_nobody, rights_of(db, ingest)).empty());
}

TEST_CASE("the loop would see a single column, sequence or function more" * with_roles()) {
  const TempDatabase db;
  const LoginRole nobody(db, "");
  const LoginRole ingest(db, "rowcrew_ingest");
  db.exec(
      "GRANT SELECT (name) ON rowcrew.api_key TO rowcrew_ingest;"
      "GRANT USAGE ON SEQUENCE rowcrew.api_key_key_id_seq TO rowcrew_ingest;"
      "GRANT EXECUTE ON FUNCTION rowcrew.clock() TO rowcrew_ingest");
  const Rights more = beyond(beyond(rights_of(db, ingest), rights_of(db, nobody)), kTwoCalls);
  CHECK(more == Rights{"function rowcrew.clock() EXECUTE", "relation rowcrew.api_key SELECT",
                       "sequence rowcrew.api_key_key_id_seq USAGE"});
}

TEST_CASE("a login without any group has no right in our schema and writes no catalog" * with_roles()) {
  const TempDatabase db;
  const LoginRole nobody(db, "");
  for (const std::string& right : rights_of(db, nobody)) {
    CAPTURE(right);
    // The row types of tables come with PUBLIC's USAGE and mean nothing without their schema.
    CHECK_FALSE((right.find("rowcrew.") != std::string::npos && !right.starts_with("type ")));
    CHECK(right != "schema rowcrew USAGE");
    CHECK_FALSE(right.starts_with("attribute "));
    CHECK_FALSE(right.starts_with("owner of "));
    const bool writes =
        right.ends_with(" INSERT") || right.ends_with(" UPDATE") || right.ends_with(" DELETE");
    // Updating pg_settings is SET by another name.
    CHECK_FALSE((writes && right != "relation pg_settings UPDATE"));
  }
}

TEST_CASE("what the ingest role tries beyond its two calls is refused" * with_roles()) {
  const TempDatabase db;
  const LoginRole ingest(db, "rowcrew_ingest");
  for (const char* const attempt :
       {"TABLE rowcrew.job_queue", "TABLE rowcrew.my_jobs", "TABLE rowcrew.api_key",
        "TABLE rowcrew.meta", "INSERT INTO rowcrew.job_queue (job_type) VALUES ('x')",
        "UPDATE rowcrew.api_key SET name = name", "DELETE FROM rowcrew.job_unique",
        "TRUNCATE rowcrew.job_queue", "SELECT rowcrew.enqueue('x')", "SELECT rowcrew.enqueue_many('[]')", "SELECT rowcrew.clock()",
        "SELECT rowcrew.takeover()", "SELECT rowcrew.ensure_partitions(1)",
        "CREATE TABLE rowcrew.mine ()", "CREATE TABLE public.mine ()", "CREATE SCHEMA mine",
        "SET ROLE rowcrew_owner"}) {
    CAPTURE(attempt);
    CHECK(ingest.failure(attempt) == "42501");
  }
  CHECK(ingest.query("SELECT * FROM rowcrew.ingest_key('x')").empty());
  CHECK(ingest.failure("SELECT * FROM rowcrew.ingest_enqueue('x', 'mail', '{}')") == "28000");
}

}  // namespace rowcrew::testing
