#!/usr/bin/env bash
# The two commands and the Debian package on a bare Debian 12, each with its time.
#
# Usage: tests/packaging/chroot.sh FOLDER [--mirror URL] [run|user|test|deb]...
#
#   run   scripts/run --once as root, then again offline
#   user  the same as an ordinary user with sudo, in a system of its own
#   test  scripts/test, then scripts/test unit again offline
#   deb   scripts/package; then in a fresh system: install, migrate, one job, purge
#
# Default: run test deb. Needs root, debootstrap and about 6 GB in FOLDER, which must be empty or of
# an earlier call. The package mirror is --mirror or the first of this machine's apt sources; apt's
# sources, keys and proxy settings are copied from this machine.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

readonly SUITE=bookworm CHECKOUT=/srv/rowcrew
mirror='' folder='' phases=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --mirror) mirror=${2-}; shift ;;
    run | user | test | deb) phases+=("$1") ;;
    -*) print_usage "$0"; exit "$EXIT_USAGE" ;;
    *) [[ -z $folder ]] || { print_usage "$0"; exit "$EXIT_USAGE"; }; folder=$1 ;;
  esac
  shift
done
[[ -n $folder ]] || { print_usage "$0"; exit "$EXIT_USAGE"; }
[[ ${#phases[@]} -gt 0 ]] || phases=(run test deb)
[[ $(id -u) -eq 0 ]] || die "$EXIT_USAGE" "user: $(id -un), expected root (chroot and mounts)"
command -v debootstrap >/dev/null || die "$EXIT_UNAVAILABLE" "debootstrap: not found, expected the package debootstrap"
folder=$(realpath -m "$folder")

# A mount namespace of its own: whatever is mounted below is gone when this ends, however it ends.
if [[ ${ROWCREW_CHROOT_NAMESPACE-} != yes ]]; then
  ROWCREW_CHROOT_NAMESPACE=yes exec unshare --mount --propagation private --pid --fork --kill-child \
    --mount-proc "$0" "$folder" ${mirror:+--mirror "$mirror"} "${phases[@]}"
fi

host_mirror() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources || true; } 2>/dev/null |
    awk '!found && /^deb / {for (i = 2; i <= NF && !found; i++) if ($i ~ /^https?:/) {print $i; found = 1}}
      !found && /^URIs:/ {print $2; found = 1}'
}

# timed title command...: with its output in FOLDER/LOG, and the time on the terminal.
timed() {
  local title=$1 began=$SECONDS log status=0
  shift
  log=$folder/$(tr -c 'a-z0-9\n' '-' <<<"$title").log
  "$@" >"$log" 2>&1 || status=$?
  printf '%-48s %5d s  %s\n' "$title" "$((SECONDS - began))" "$([[ $status -eq 0 ]] && echo ok || echo "FAILED ($status)")"
  [[ $status -eq 0 ]] || { show_tail "$log" 60; exit 1; }
}

make_base() {
  local base=$folder/base proxy
  [[ ! -e $base/.complete ]] || return 0
  [[ -n $mirror ]] || mirror=$(host_mirror)
  [[ -n $mirror ]] || die "mirror: none in apt's sources, expected --mirror URL"
  proxy=$(apt-config dump 2>/dev/null | sed -n 's/^Acquire::http::Proxy "\(.*\)";/\1/p')
  rm -rf "$base"
  timed "debootstrap" env ${proxy:+http_proxy="$proxy"} debootstrap --variant=minbase "$SUITE" "$base" "$mirror"
  rm -f "$base/etc/apt/sources.list"
  # Sources, keys and settings such as a proxy; no passwords (auth.conf).
  find /etc/apt/sources.list* /etc/apt/apt.conf* /etc/apt/keyrings /etc/apt/trusted.gpg.d \
    /etc/apt/preferences.d -type f ! -name '*.disabled*' -print0 2>/dev/null |
    xargs -0 -r -I{} install -D -m 0644 {} "$base{}"
  touch "$base/.complete"
}

# make_system name: a fresh copy of the base in FOLDER/name, with what a running system has mounted.
make_system() {
  local system=$folder/$1 node
  umount -R "$system/proc" "$system/dev" 2>/dev/null || true
  rm -rf "$system"
  cp -a "$folder/base" "$system"
  cp -L /etc/resolv.conf /etc/hosts "$system/etc/" 2>/dev/null || true
  mount -t proc proc "$system/proc"
  mount -t tmpfs -o mode=0755 tmpfs "$system/dev"
  mkdir -m 1777 "$system/dev/shm"
  mount -t tmpfs -o mode=1777 tmpfs "$system/dev/shm"
  for node in null zero full random urandom tty; do
    touch "$system/dev/$node" && mount --bind "/dev/$node" "$system/dev/$node"
  done
  ln -s /proc/self/fd "$system/dev/fd"
}

# entry name: sets `enter` to what runs a command inside FOLDER/name, with a clean environment.
entry() {
  enter=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
    LC_ALL=C.UTF-8 ${http_proxy:+http_proxy="$http_proxy"} chroot "$folder/$1")
}

inside() { entry "$1"; "${enter[@]}" "${@:2}"; }

# offline name command...: with no network but the loopback, which a new namespace has switched off.
readonly LOOPBACK_UP='import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))'
offline() {
  entry "$1"
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --net -- sh -c 'python3 -c "$0" && exec "$@"' "$LOOPBACK_UP" "${enter[@]}" "${@:2}"
}

copy_checkout() { # copy_checkout name: the last commit; without any, the files as they are
  local target=$folder/$1$CHECKOUT
  mkdir -p "${target%/*}"
  if git -C "$ROWCREW_ROOT" rev-parse -q --verify HEAD >/dev/null 2>&1; then
    [[ -z $(git -C "$ROWCREW_ROOT" status --porcelain) ]] || warn "checkout: has uncommitted changes, testing the last commit"
    git clone -q --no-hardlinks "$ROWCREW_ROOT" "$target"
  else
    warn "checkout: no commit yet, testing the files as they are"
    mkdir "$target"
    tar -C "$ROWCREW_ROOT" --exclude=./build --exclude=./.git -cf - . | tar -C "$target" -xf -
  fi
}

main_system() { # run, test and deb share one, so that the second finds the packages of the first
  [[ -e $folder/main/.fresh ]] && return 0
  make_system main
  copy_checkout main
  touch "$folder/main/.fresh"
}

user_system() {
  make_system user
  copy_checkout user
  timed "user: sudo" inside user sh -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install sudo &&
    useradd --create-home --shell /bin/bash ann && echo "ann ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/ann'
  inside user chown -R ann: "$CHECKOUT"
}

mkdir -p "$folder"
rm -f "$folder/main/.fresh"
make_base
for phase in "${phases[@]}"; do
  case $phase in
    run)
      main_system
      timed "scripts/run --once" inside main "$CHECKOUT/scripts/run" --once
      timed "scripts/run --once, offline" offline main "$CHECKOUT/scripts/run" --once ;;
    user)
      user_system
      timed "user: scripts/run --once" inside user runuser -u ann -- env HOME=/home/ann "$CHECKOUT/scripts/run" --once
      timed "user: scripts/run --once, offline" offline user runuser -u ann -- env HOME=/home/ann "$CHECKOUT/scripts/run" --once ;;
    test)
      main_system
      timed "scripts/test" inside main "$CHECKOUT/scripts/test"
      timed "scripts/test unit, offline" offline main "$CHECKOUT/scripts/test" --no-install unit ;;
    deb)
      main_system
      timed "scripts/package" inside main "$CHECKOUT/scripts/package"
      make_system deb
      install -D -m 0755 "$ROWCREW_ROOT/tests/packaging/deb.sh" "$folder/deb/root/deb.sh"
      cp "$folder/main$CHECKOUT"/build/package/*.deb "$folder/deb/root/"
      timed "deb: install, migrate, one job, purge" inside deb /root/deb.sh
      grep '^==>' "$folder/deb--install--migrate--one-job--purge.log" | sed 's/^/    /' ;;
  esac
done
