#!/usr/bin/env bash
# rowcrewd without systemd, as in a container: PID 1 of its own process namespace, settings from the
# environment, JSON on stdout. One job runs and leaves an orphan, which PID 1 inherits and must not
# keep as a zombie; SIGTERM ends it all with 0.
#
# Usage: tests/e2e/packaging/pid1_test.sh [FOLDER_WITH_PROGRAMS]      default: build/release/bin
#
# Uses ROWCREW_DATABASE_URL as it is; or else a database of its own on the server of
# ROWCREW_TEST_DATABASE_URL; or else one on the private test PostgreSQL. Exits 77 (skipped) where
# no process namespace may be made.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/common.sh"

bin=${1:-${ROWCREW_BIN:-$ROWCREW_ROOT/build/release/bin}}
[[ -x $bin/rowcrewd ]] || die "$bin/rowcrewd: not found, expected a build (scripts/build.sh release)"
readonly LIMIT_S=30
work=$(mktemp -d)
node='' own_database='' stop_pg=no
private_pg=$ROWCREW_ROOT/scripts/private-pg.sh

# shellcheck disable=SC2317 # called by the trap
clean_up() {
  [[ -z $node ]] || kill -KILL "$node" 2>/dev/null || true
  [[ -z $own_database ]] || psql -Xq "$admin_url" -c "DROP DATABASE IF EXISTS $own_database WITH (FORCE)" || true
  [[ $stop_pg == no ]] || "$private_pg" stop test
  rm -rf "$work"
}
trap clean_up EXIT

# An ordinary user gets the namespace by becoming root in one of its own.
namespace=(unshare --pid --fork --mount-proc --kill-child)
[[ $(id -u) -eq 0 ]] || namespace=(unshare --user --map-root-user "${namespace[@]:1}")
"${namespace[@]}" true || { echo "skipped: unshare --pid is not permitted here" >&2; exit 77; }

if [[ -z ${ROWCREW_DATABASE_URL-} ]]; then
  admin_url=${ROWCREW_TEST_DATABASE_URL-}
  if [[ -z $admin_url ]]; then
    "$private_pg" status test >/dev/null || { stop_pg=yes; "$private_pg" start test; }
    admin_url=$("$private_pg" url test)
  fi
  own_database=rowcrew_t_pid1_$$
  psql -Xq "$admin_url" -c "CREATE DATABASE $own_database"
  ROWCREW_DATABASE_URL=$(sed -E "s#^([a-z]+://[^/]*)/[^?]*#\1/$own_database#" <<<"$admin_url")
  export ROWCREW_DATABASE_URL
fi
"$bin/rowcrew" migrate >"$work/migrate.log" 2>&1 || { show_tail "$work/migrate.log"; die "migrate: failed"; }

# The allow-list is a map and has no place in an environment variable; everything else has.
cat >"$work/node.yaml" <<'YAML'
kinds:
  command:
    allow:
      orphan:
        argv: [/bin/sh, -c, "sleep 60 & exit 0"]
YAML

say "starting rowcrewd as PID 1"
ROWCREW_NODE_NAME=pid1 "${namespace[@]}" "$bin/rowcrewd" --config "$work/node.yaml" --log json >"$work/node.log" 2>&1 &
unshare_pid=$!
deadline=$((SECONDS + LIMIT_S))
wait_until() { # wait_until what command...
  local what=$1
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || { show_tail "$work/node.log"; die "$what: not within $LIMIT_S s"; }
    sleep 0.1
  done
}
wait_until "node.ready" grep -q '"event": *"node.ready"' "$work/node.log"
node=$(pgrep -P "$unshare_pid" | head -n 1)
[[ $(awk '/^NSpid:/ {print $NF}' "/proc/$node/status") == 1 ]] || die "rowcrewd: expected to be PID 1 in its namespace"

id=$(psql -XAtq "$ROWCREW_DATABASE_URL" -c "INSERT INTO rowcrew.job_queue (job_type, payload)
  VALUES ('command', '{\"entry\": \"orphan\"}') RETURNING id")
is_completed() {
  [[ $(psql -XAtq "$ROWCREW_DATABASE_URL" -c "SELECT status FROM rowcrew.job_queue WHERE id = '$id'") == completed ]]
}
wait_until "job $id completed" is_completed
note "job $id completed"

no_child_left() { [[ -z $(pgrep -P "$node") ]]; }
wait_until "orphan of job $id gone and reaped (left: $(pgrep -lP "$node" | xargs))" no_child_left

kill -TERM "$node"
status=0
wait "$unshare_pid" || status=$?
node=''
[[ $status -eq 0 ]] || { show_tail "$work/node.log"; die "rowcrewd: exit status $status after SIGTERM, expected 0"; }

python3 - "$work/node.log" <<'PYTHON'
import json, sys
lines = [line for line in open(sys.argv[1], encoding="utf-8") if line.strip()]
events = [json.loads(line)["event"] for line in lines]
missing = {"node.ready", "job.completed", "node.stopped"} - set(events)
if missing:
    sys.exit(f"error: events missing from the JSON log: {sorted(missing)}, found {sorted(set(events))}")
print(f"    {len(lines)} log lines, each one JSON object")
PYTHON
say "as PID 1: one job done, SIGTERM, exit 0"
