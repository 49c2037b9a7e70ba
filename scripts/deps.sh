# shellcheck shell=bash
# The Debian 12 packages that rowcrew needs, and how they get onto the machine.
# Sourced after common.sh. One package per line, then one word of reason; `a|b` means that either
# will do and that `a` is installed when there is none.

# To build it, and to run it beside a private database.
packages_run() {
  cat <<'LIST'
g++                                   compiler
cmake                                 build
ninja-build                           build
pkg-config                            build
libboost1.81-dev                      asio,beast
libboost-program-options1.81-dev      flags
libpq-dev                             database
libcurl4-openssl-dev                  http
nlohmann-json3-dev                    json
libfmt-dev                            text
libyaml-cpp-dev                       config
libhowardhinnant-date-dev             zones
libsystemd-dev                        notify
libssl-dev                            hashes
libvips-dev                           pictures
libkainjow-mustache-dev               templates
tzdata                                zones
postgresql-15|postgresql-16|postgresql-17  server
ca-certificates                       tls
procps                                processes
util-linux                            setpriv,flock
LIST
}

# On top of the run set: what only the tests need.
packages_test() {
  cat <<'LIST'
doctest-dev                           tests
python3                               tests
python3-psycopg2                      tests
python3-pil                           tests
curl                                  tests
systemd                               systemd-analyze
pgbouncer                             pooler
openssl                               certificates
LIST
}

# What only `scripts/test --model` needs.
packages_model() {
  cat <<'LIST'
spin                                  models
gcc                                   compiler
cpp                                   preprocessor
libc6-dev                             headers
LIST
}

# On top of the run set: what only `cpack -G DEB` needs.
packages_deb() {
  cat <<'LIST'
dpkg-dev                              shlibdeps
file                                  shlibdeps
LIST
}

# package_names set...: one line per package, alternatives still joined by `|`.
package_names() {
  local set
  for set in "$@"; do "packages_$set"; done | awk '{print $1}'
}

# missing_packages set...: those of which no alternative is installed.
missing_packages() {
  local -a wanted
  local installed entry alternative
  mapfile -t wanted < <(package_names "$@")
  # dpkg-query fails when it does not know one of the names; that is an answer, not an error.
  # shellcheck disable=SC2016 # dpkg-query's own ${…}
  installed=$(printf '%s\n' "${wanted[@]}" | tr '|' '\n' |
    xargs dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
    awk '$1 == "installed" {print $2}') || true
  for entry in "${wanted[@]}"; do
    for alternative in ${entry//|/ }; do
      grep -qxF -- "$alternative" <<<"$installed" && continue 2
    done
    printf '%s\n' "${entry%%|*}"
  done
}

# With no PostgreSQL server on the machine, its package would create and start a cluster for the
# whole system. Nobody asked for that one: rowcrew brings up a private one. Debian's documented
# switch is set while the package is installed and put back to the default afterwards.
CLUSTER_CONF=/etc/postgresql-common/createcluster.conf
CLUSTER_TEMPLATE=/usr/share/postgresql-common/createcluster.conf

hold_system_cluster() {
  [[ -e $CLUSTER_CONF || -d /etc/postgresql ]] && return 1
  note "PostgreSQL: no system-wide cluster will be created"
  as_root mkdir -p "${CLUSTER_CONF%/*}"
  as_root sh -c "echo 'create_main_cluster = false' >$CLUSTER_CONF"
}

release_system_cluster() {
  if [[ -e $CLUSTER_TEMPLATE ]]; then
    as_root cp "$CLUSTER_TEMPLATE" "$CLUSTER_CONF"
  else
    as_root rm -f "$CLUSTER_CONF"
  fi
  as_root rm -f "$CLUSTER_CONF.ucf-dist"
}

apt_quietly() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 \
    -o APT::Install-Recommends=false "$@"
}

# ensure_packages yes|no set...: installs what is missing when told yes, names it and stops
# otherwise. Prints what is going to happen first. Offline and quick when nothing is missing.
ensure_packages() {
  local install=$1 log removed
  local -a missing
  shift
  if ! command -v dpkg-query >/dev/null; then
    warn "packages: dpkg-query not found, expected Debian 12; going on with what is there"
    return 0
  fi
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0

  if [[ $install == no ]]; then
    die "$EXIT_UNAVAILABLE" "packages: missing ${missing[*]}; leave out --no-install to install them"
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  mkdir -p "$ROWCREW_ROOT/build"
  log=$ROWCREW_ROOT/build/packages.log
  apt_quietly update >"$log" 2>&1 || { show_tail "$log"; die "packages: apt-get update failed"; }

  # A different Boost -dev version, for one, cannot stay beside ours. Say so before it goes.
  removed=$(apt_quietly -s install "${missing[@]}" 2>>"$log" | awk '$1 == "Remv" {print $2}' | xargs)
  [[ -z $removed ]] || note "apt-get will remove: $removed"

  (
    # A subshell, so that the switch is put back however this ends.
    if printf '%s\n' "${missing[@]}" | grep -q '^postgresql-[0-9]' && hold_system_cluster; then
      trap release_system_cluster EXIT
    fi
    apt_quietly -y install "${missing[@]}" >>"$log" 2>&1 ||
      { show_tail "$log"; die "packages: apt-get install failed, see above"; }
  ) || exit 1

  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -eq 0 ]] || die "packages: apt-get installed all, still missing ${missing[*]}"
}
