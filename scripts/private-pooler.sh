#!/usr/bin/env bash
# A private PgBouncer in transaction mode, in front of the private PostgreSQL of the same name.
#
# Usage: scripts/private-pooler.sh start|stop|url NAME
#
#   start  (re)starts it; the server need not be up yet
#   stop   ends it; nothing to do is fine
#   url    libpq URI of the database `rowcrew` through it
#
# It listens on a unix socket beside the server's, takes every database and every role of the
# server, and asks for no password: the socket's folder lets in its owner (and root) alone.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly PORT=6432
[[ $# -eq 2 ]] || { print_usage "$0"; exit "$EXIT_USAGE"; }
verb=$1 name=$2

server_url=$("$ROWCREW_ROOT/scripts/private-pg.sh" url "$name")
sockets=$(python3 -c 'import sys, urllib.parse as u
print(u.parse_qs(u.urlsplit(sys.argv[1]).query)["host"][0])' "$server_url")
owner=${server_url#postgresql://} owner=${owner%%@*}
folder=$sockets/pooler config=$sockets/pooler/pgbouncer.ini pid_file=$sockets/pooler/pgbouncer.pid
account=$(stat -c %U "$sockets" 2>/dev/null || id -un)

as_account() {
  if [[ $(id -un) == "$account" ]]; then
    "$@"
  else
    setpriv --reuid "$account" --regid "$account" --init-groups -- "$@"
  fi
}

write_config() {
  install -d -m 0700 -o "$account" -g "$(id -gn "$account")" "$folder"
  printf '"postgres" ""\n' | as_account tee "$folder/users.txt" >/dev/null
  # Roles come and go in tests: those that the file lacks are looked up in the database.
  as_account tee "$config" >/dev/null <<INI
[databases]
* = host=$sockets auth_user=postgres
[pgbouncer]
pool_mode = transaction
listen_addr =
unix_socket_dir = $folder
unix_socket_mode = 0700
listen_port = $PORT
auth_type = trust
auth_file = $folder/users.txt
auth_query = SELECT rolname, NULL::text FROM pg_catalog.pg_roles WHERE rolname = \$1
max_client_conn = 500
default_pool_size = 30
server_idle_timeout = 5
autodb_idle_timeout = 5
server_login_retry = 1
logfile = $folder/pgbouncer.log
pidfile = $pid_file
INI
}

running() { # the process of the pid file, if it is ours
  local pid
  [[ -s $pid_file ]] || return 1
  pid=$(cat "$pid_file")
  grep -qaF "$config" "/proc/$pid/cmdline" 2>/dev/null && printf '%s\n' "$pid"
}

stop_pooler() {
  local pid
  pid=$(running) || return 0
  kill "$pid"
  timeout 10 tail --pid="$pid" -f /dev/null || kill -9 "$pid"
}

start_pooler() {
  local try pooler
  pooler=$(command -v pgbouncer || echo /usr/sbin/pgbouncer)
  [[ -x $pooler ]] || die "$EXIT_UNAVAILABLE" "pgbouncer: not found, expected the package pgbouncer"
  [[ -d $sockets ]] || die "$EXIT_UNAVAILABLE" "$sockets: not found, start the PostgreSQL $name first"
  stop_pooler
  write_config
  (cd / && as_account "$pooler" -q -d "$config")
  for try in {1..50}; do
    [[ -S $folder/.s.PGSQL.$PORT ]] && running >/dev/null && return 0
    sleep 0.1
  done
  show_tail "$folder/pgbouncer.log"
  die "pgbouncer: no socket in $folder after $((try / 10)) s"
}

case $verb in
  start) start_pooler ;;
  stop) stop_pooler ;;
  url) printf '%s\n' "postgresql://$owner@/rowcrew?host=${server_url##*host=}/pooler&port=$PORT" ;;
  *) print_usage "$0"; exit "$EXIT_USAGE" ;;
esac
