#!/usr/bin/env bash
# A private PostgreSQL of this checkout: no TCP port, no system service, nothing shared.
#
# Usage: scripts/private-pg.sh start|stop|status|reset|url|superuser-url|bare-owner|dir NAME
#
#   start          initdb once, start, make sure of the role and the database; prints nothing else
#   stop           fast shutdown
#   status         one line; exit 0 when it answers, 3 when it does not
#   reset          stop and remove all of its data
#   url            libpq URI of the database `rowcrew`, as its owner (no superuser)
#   superuser-url  libpq URI of the database `postgres`, as the superuser; for tests only
#   bare-owner     a role that owns what it is given and has no right of its own; for tests only
#   dir            where it lives
#
# NAME is `dev` (durable) or `test` (not durable: see write_config). It lives in the user's cache
# folder; for root in /var/cache, owned by the system user `postgres`, since a server refuses to
# run as root. Authentication is `trust` for whoever may enter the socket folder, which is its
# owner (and root) alone.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

umask 022 # the way to the cluster must be open for its owner

readonly SUPERUSER=postgres OWNER=rowcrew_admin BARE_OWNER=rowcrew_bare DATABASE=rowcrew MIN_VERSION=15
readonly MAX_SOCKET_PATH=90 TEST_LIMIT_MIB=2048

[[ $# -eq 2 ]] || { print_usage "$0"; exit "$EXIT_USAGE"; }
verb=$1 name=$2
[[ $name =~ ^[a-z][a-z0-9_-]{0,15}$ ]] ||
  die "$EXIT_USAGE" "name: \"$name\", expected up to 16 lower-case letters and digits"

base=${XDG_CACHE_HOME:-${HOME-}/.cache}/rowcrew account=$(id -un)
[[ $(id -u) -ne 0 ]] || base=/var/cache/rowcrew account=postgres
cluster=$(readlink -m "$base/$(checkout_hash)/$name")
data=$cluster/data log=$cluster/server.log sockets=$cluster/s
# The kernel takes 107 bytes of socket path. A deep home folder falls back to a short one.
if ((${#sockets} > MAX_SOCKET_PATH - 20)); then
  sockets=${XDG_RUNTIME_DIR:-/tmp}/rowcrew-$(id -u)/$(checkout_hash)-$name
fi

# as_owner command...: as the account that owns the cluster, from a folder that it may enter.
as_owner() {
  if [[ $(id -un) == "$account" ]]; then
    (cd / && "$@")
  else
    (cd / && setpriv --reuid "$account" --regid "$account" --init-groups -- \
      env HOME="$cluster" LC_ALL=C.UTF-8 "$@")
  fi
}

# find_binaries: the server's programs; those that made the data, or else the newest.
find_binaries() {
  local version
  if [[ -s $data/PG_VERSION ]]; then
    version=$(cat "$data/PG_VERSION")
  else
    version=$(cd /usr/lib/postgresql 2>/dev/null && printf '%s\n' [0-9]* | sort -n | tail -n 1) || true
  fi
  bin=/usr/lib/postgresql/$version/bin
  if [[ -z $version || ! -x $bin/initdb ]]; then
    command -v pg_config >/dev/null && bin=$(pg_config --bindir)
    version=$("$bin/postgres" --version 2>/dev/null | grep -oE '[0-9]+' | head -n 1) || version=none
  fi
  [[ -x $bin/initdb && $version -ge $MIN_VERSION ]] ||
    die "$EXIT_UNAVAILABLE" "PostgreSQL server: found version ${version:-none}, expected $MIN_VERSION or newer"
}

uri() { # uri role database
  printf 'postgresql://%s@/%s?host=%s\n' "$1" "$2" \
    "$(sed 's/%/%25/g; s/ /%20/g; s/&/%26/g; s/?/%3F/g; s/#/%23/g; s/+/%2B/g' <<<"$sockets")"
}

answers() { "$bin/pg_isready" -q -h "$sockets" -U "$SUPERUSER" -d postgres -t 3; }

make_folder() { # make_folder path mode: of the owner; refuses one that a stranger made
  mkdir -p "${1%/*}" # of the caller: that it can be entered is enough
  [[ -e $1 ]] || install -d -m "$2" -o "$account" -g "$(id -gn "$account")" "$1"
  [[ $(stat -c %U "$1") == "$account" && ! -L $1 ]] ||
    die "$1: belongs to $(stat -c %U "$1"), expected $account"
}

# write_config: whole, on every start, so that a newer checkout's settings reach an old cluster.
write_config() {
  {
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '${sockets//\'/\'\'}'" \
      'unix_socket_permissions = 0700' 'max_connections = 200' 'shared_buffers = 128MB' \
      'max_wal_size = 256MB' 'min_wal_size = 64MB' 'temp_file_limit = 1GB' \
      "timezone = 'UTC'" "log_timezone = 'UTC'" "log_line_prefix = '%m [%p] %q%u@%d '" \
      'log_min_error_statement = panic' 'update_process_title = off'
    if [[ $name == test* ]]; then
      # A test cluster is thrown away after a crash of the machine, so nothing in it has to reach
      # the disk: with fsync a CREATE DATABASE per test file would wait for the disk each time. A
      # killed server process loses nothing either way.
      printf '%s\n' 'fsync = off' 'full_page_writes = off' 'synchronous_commit = on' \
        "shared_preload_libraries = 'pg_stat_statements'" 'pg_stat_statements.track = top' \
        'pg_stat_statements.max = 600000' 'max_prepared_transactions = 10'
    fi
  } | as_owner tee "$data/rowcrew.conf" >/dev/null
  as_owner grep -qx "include 'rowcrew.conf'" "$data/postgresql.conf" ||
    echo "include 'rowcrew.conf'" | as_owner tee -a "$data/postgresql.conf" >/dev/null
}

initialise() {
  note "PostgreSQL: initdb in $data"
  # In a folder beside it and then renamed: an interrupted initdb leaves no half cluster behind.
  rm -rf "$data.new"
  as_owner "$bin/initdb" -D "$data.new" -U "$SUPERUSER" -A trust -E UTF8 --locale=C.UTF-8 \
    --no-sync >"$cluster/initdb.log" 2>&1 ||
    { show_tail "$cluster/initdb.log"; die "PostgreSQL: initdb failed in $data.new"; }
  mv "$data.new" "$data"
}

# drop_stale_pid: a crash leaves postmaster.pid behind, and the number in it may be anybody's by
# now, in which case the server refuses to start. It is stale unless that process works in `data`.
drop_stale_pid() {
  local pid
  [[ -s $data/postmaster.pid ]] || return 0
  pid=$(head -n 1 "$data/postmaster.pid")
  [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$data" ]] && return 0
  note "PostgreSQL: removing the postmaster.pid of a server that is gone (process $pid)"
  rm -f "$data/postmaster.pid"
}

start_server() {
  local try
  : >"$log"
  chown "$account" "$log"
  # Children of a killed server need a moment to notice, and hold its shared memory until then.
  for try in 1 2 3 4 5; do
    drop_stale_pid
    if as_owner "$bin/pg_ctl" -D "$data" -l "$log" -s -w -t 60 start >/dev/null 2>&1 9>&-; then
      return 0
    fi
    answers && return 0
    sleep "$try"
  done
  show_tail "$log"
  die "PostgreSQL: no answer on $sockets after 5 attempts (--reset starts over with an empty one)"
}

ensure_database() {
  as_owner "$bin/psql" -XAtq -v ON_ERROR_STOP=1 "$(uri "$SUPERUSER" postgres)" <<SQL
SELECT 'CREATE ROLE $OWNER' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$OWNER') \gexec
ALTER ROLE $OWNER LOGIN NOSUPERUSER CREATEROLE CREATEDB;
SELECT 'CREATE ROLE $BARE_OWNER' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$BARE_OWNER') \gexec
ALTER ROLE $BARE_OWNER LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION;
GRANT $BARE_OWNER TO $OWNER;
SELECT 'CREATE DATABASE $DATABASE OWNER $OWNER'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$DATABASE') \gexec
SQL
}

stop_server() {
  drop_stale_pid
  [[ -s $data/postmaster.pid ]] || return 0
  as_owner "$bin/pg_ctl" -D "$data" -s -w -t 60 -m fast stop >/dev/null 2>&1 ||
    as_owner "$bin/pg_ctl" -D "$data" -s -w -t 20 -m immediate stop >/dev/null 2>&1 ||
    die "PostgreSQL: process $(head -n 1 "$data/postmaster.pid") in $data does not stop"
}

# drop_oversized: a test cluster only grows by what killed tests left behind.
drop_oversized() {
  local mib
  [[ $name == test* && -d $data ]] || return 0
  mib=$(du -sm "$data" | cut -f1)
  ((mib <= TEST_LIMIT_MIB)) && return 0
  note "PostgreSQL: $mib MiB of leftovers from tests, starting over (limit $TEST_LIMIT_MIB)"
  rm -rf "$data"
}

start() {
  find_binaries
  make_folder "$cluster" 0700
  [[ $sockets == "$cluster"/* ]] || make_folder "${sockets%/*}" 0700
  make_folder "$sockets" 0700
  exec 9>"$cluster/lock"
  flock 9
  if ! answers; then
    drop_oversized
    [[ -s $data/PG_VERSION ]] || initialise
    write_config
    start_server
  fi
  ensure_database
}

case $verb in
  start) start ;;
  stop) [[ ! -d $data ]] || { find_binaries; stop_server; } ;;
  status)
    find_binaries
      answers || { note "PostgreSQL $name: not running"; exit 3; }
    note "PostgreSQL $name: answers on $sockets" ;;
  reset)
    [[ ! -d $data ]] || { find_binaries; stop_server; }
    rm -rf "$cluster" "$sockets"
    rmdir "${cluster%/*}" "${sockets%/*}" 2>/dev/null || true ;;
  url) uri "$OWNER" "$DATABASE" ;;
  bare-owner) printf '%s\n' "$BARE_OWNER" ;;
  superuser-url) uri "$SUPERUSER" postgres ;;
  dir) printf '%s\n' "$cluster" ;;
  *) print_usage "$0"; exit "$EXIT_USAGE" ;;
esac
