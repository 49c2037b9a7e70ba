# shellcheck shell=bash
# What every script here shares. Sourced, after `set -euo pipefail`.

ROWCREW_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# shellcheck disable=SC2034 # used by those who source this
readonly EXIT_USAGE=64 EXIT_UNAVAILABLE=69

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }

# die [status] message
die() {
  local status=1
  if [[ $1 =~ ^[0-9]+$ ]]; then status=$1; shift; fi
  printf 'error: %s\n' "$*" >&2
  exit "$status"
}

# as_root command...: the command itself for root, through sudo for everybody else.
as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "$EXIT_UNAVAILABLE" "${1##*/}: needs root, found user $(id -un) without sudo"
  fi
}

# show_tail file [lines]: the end of a log, indented, on stderr.
show_tail() {
  [[ -s $1 ]] || return 0
  printf '%s\n' "---- last lines of $1" >&2
  tail -n "${2:-40}" "$1" | sed 's/^/    /' >&2
}

# print_usage file: its leading comment, without the marks.
print_usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"; }

# checkout_hash: ten hex digits that tell two checkouts on one machine apart.
checkout_hash() { printf '%s' "$ROWCREW_ROOT" | sha256sum | cut -c1-10; }

# elapsed start: "12 s" since $SECONDS was `start`.
elapsed() { printf '%d s' "$((SECONDS - $1))"; }
