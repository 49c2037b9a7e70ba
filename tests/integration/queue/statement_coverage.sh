#!/usr/bin/env bash
# Shows that every file in sql/queries was executed by some test: after all other tests it asks
# pg_stat_statements of the test server, where a statement's leading comment is part of its text.
#
# Usage: statement_coverage.sh reset|check
#
#   reset  forgets earlier runs; goes before all tests
#   check  names the statements that nobody executed, exit 1; goes after all tests
#
# Exit 77 (skipped) without ROWCREW_TEST_SUPERUSER_URL: other roles may not see the texts; and on PostgreSQL 18
# and later, which keeps them without their leading comments.
set -euo pipefail

queries=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../../../sql/queries")
[[ $# -eq 1 && $1 =~ ^(reset|check)$ ]] || { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; exit 64; }
if [[ -z ${ROWCREW_TEST_SUPERUSER_URL-} ]]; then
  echo "skipped: ROWCREW_TEST_SUPERUSER_URL is not set"
  exit 77
fi

ask() { psql -XAtq -v ON_ERROR_STOP=1 "$ROWCREW_TEST_SUPERUSER_URL"; }

if (($(ask <<<'SHOW server_version_num') >= 180000)); then
  echo "skipped: this server keeps statements without their leading comments"
  exit 77
fi
ask <<<'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS pg_stat_statements'
if [[ $1 == reset ]]; then
  ask <<<'SELECT pg_stat_statements_reset()' >/dev/null
  exit 0
fi

# heads: (file, its leading comment) as SQL values.
heads() {
  local file first=
  while read -r file; do
    printf '%s($f$%s$f$, $h$%s$h$)' "$first" "$file" "$(sed '/^--/!Q' "$queries/$file")"
    first=$',\n'
  done < <(cd "$queries" && find . -name '*.sql' -printf '%P\n' | sort)
}

missing=$(ask <<SQL
SELECT file FROM (VALUES $(heads)) AS h (file, head)
WHERE head = '' OR NOT EXISTS (SELECT FROM pg_stat_statements s
                               WHERE s.calls > 0 AND left(s.query, length(h.head)) = h.head)
ORDER BY file
SQL
)
total=$(find "$queries" -name '*.sql' | wc -l)
if [[ -n $missing ]]; then
  echo "sql/queries: not executed by any test:"
  sed 's/^/  /' <<<"$missing"
  evicted=$(ask <<<'SELECT dealloc FROM pg_stat_statements_info')
  [[ $evicted == 0 ]] || echo "pg_stat_statements has evicted entries ($evicted times): raise pg_stat_statements.max"
  exit 1
fi
echo "sql/queries: each of $total statements was executed"
