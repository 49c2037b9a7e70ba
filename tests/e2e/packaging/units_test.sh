#!/usr/bin/env bash
# The units: valid for this systemd, hardened to an exposure of at most 2.0, and of one mind with the
# programs about exit codes, credentials and the time to stop. Needs no running service manager.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
readonly MAX_EXPOSURE=20 # ten times the level that systemd-analyze prints

command -v systemd-analyze >/dev/null || { echo "units: systemd-analyze not found, expected package systemd" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { echo "FAIL $*"; failures=$((failures + 1)); }
pass() { echo "ok   $*"; }
check() { # check title command...
  local title=$1 out
  shift
  if out=$("$@" 2>&1) && [[ -z $out || ${quiet:-yes} == no ]]; then pass "$title"; else fail "$title: $out"; fi
}
has() { # has unit line
  if grep -qxF -- "$2" "$root/systemd/$1"; then pass "$1 has $2"; else fail "$1: expected $2"; fi
}
seconds() { sed -n "s/^$2=\([0-9]*\)s\$/\1/p" "$root/systemd/$1"; }

# A template is verified as an instance, and a program that is not installed as one that is.
for unit in "$root"/systemd/*.{service,socket,target,slice}; do
  name=$(basename "$unit")
  sed -E 's#^ExecStart=/usr/bin/[a-z-]+#ExecStart=/bin/true#' "$unit" >"$work/${name/@./@x.}"
done
sed -i 's#/usr/bin/rowcrew#/bin/true#' "$work"/*.service

# Any word from `verify` is a complaint: it exits 0 for an unknown key.
for unit in "$work"/*; do
  check "verify ${unit##*/}" env SYSTEMD_UNIT_PATH="$work:" SYSTEMD_LOG_COLOR=0 \
    systemd-analyze --recursive-errors=no --man=no verify "$unit"
done
for unit in rowcrewd@x.service rowcrew-ingest.service rowcrew-web.service; do
  quiet=no check "exposure of $unit at most 2.0" \
    systemd-analyze security --offline=true --threshold=$MAX_EXPOSURE --no-pager "$work/$unit"
  systemd-analyze security --offline=true --no-pager "$work/$unit" | tail -n 1
done

for unit in rowcrewd@.service rowcrew-ingest.service rowcrew-web.service; do
  has "$unit" 'Type=notify'
  has "$unit" 'KillMode=mixed'
  has "$unit" 'RestartPreventExitStatus=64 78'
  if grep -q '^LoadCredential=database-url:/etc/rowcrew/credentials/' "$root/systemd/$unit"; then
    pass "$unit loads the credential database-url"
  else
    fail "$unit: expected LoadCredential=database-url:…"
  fi
  # The page holds nothing that would be freed by ending it: nobody watches it.
  [[ $unit == rowcrew-web.service || $(seconds "$unit" WatchdogSec) -ge 10 ]] || fail "$unit: WatchdogSec below 10s"
done

readonly STOP_WITHIN=25
if [[ $(seconds rowcrewd@.service TimeoutStopSec) -ge $((STOP_WITHIN + 10)) ]]; then
  pass "rowcrewd@.service gives 10s more than stop_within ($STOP_WITHIN s)"
else
  fail "rowcrewd@.service: TimeoutStopSec below stop_within ($STOP_WITHIN s) + 10s"
fi

# The shim lowers the limits of children: no later line may take these calls away again.
filters=$(grep -n '^SystemCallFilter=' "$root/systemd/rowcrewd@.service")
if tail -n 1 <<<"$filters" | grep -q '=prlimit64 setrlimit'; then
  pass "children may be limited (setrlimit, prlimit64)"
else
  fail "rowcrewd@.service: the last SystemCallFilter= must give back prlimit64 setrlimit"
fi

if command -v systemd-sysusers >/dev/null; then
  mkdir -p "$work/etc"
  quiet=no check "sysusers" systemd-sysusers --root="$work" --dry-run "$root/systemd/rowcrew.sysusers.conf"
fi

echo "units: $failures failures"
[[ $failures -eq 0 ]]
