#!/usr/bin/env bash
# The Debian package's life on a system without a service manager: install, migrate, one job, purge.
# Changes the system that it runs on: started by chroot.sh inside a throw-away one, as root, beside
# exactly one .deb.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
here=$(cd "$(dirname "$0")" && pwd)
readonly LIMIT_S=30
began=$SECONDS

step() { echo "==> $* ($((SECONDS - began)) s)"; began=$SECONDS; }
die() { echo "error: $*" >&2; exit 1; }
as() { runuser -u "$1" -- env -C / "${@:2}"; } # from a folder that everybody may enter

[[ ! -e /etc/rowcrew ]] || die "/etc/rowcrew: exists, expected a system without rowcrew"
apt-get -qq update
apt-get -qq -y --no-install-recommends install "$here"/rowcrew_*.deb
step "installed: $(dpkg-query -W -f '${Version}, ${Installed-Size} KiB' rowcrew)"
for program in /usr/bin/rowcrew /usr/bin/rowcrewd /usr/bin/rowcrew-ingest; do "$program" --version; done
[[ $(stat -c '%a %U' /etc/rowcrew/credentials) == "700 root" ]] || die "credentials: expected mode 700, owner root"
dpkg -L rowcrew | while read -r path; do [[ -d $path ]] || echo "    $path"; done

apt-get -qq -y --no-install-recommends install postgresql-15
pg_ctlcluster 15 main start || true # Debian's own cluster; a policy may have started it already
as postgres psql -Xqc 'CREATE ROLE rowcrew LOGIN CREATEROLE NOSUPERUSER' -c 'CREATE DATABASE rowcrew OWNER rowcrew'
step "PostgreSQL is up"

# What LoadCredential= does: a folder with one file, for the service's account alone.
export CREDENTIALS_DIRECTORY=/run/rowcrew-credentials
install -d -m 0700 -o rowcrew "$CREDENTIALS_DIRECTORY"
echo 'postgresql:///rowcrew?host=/var/run/postgresql' >"$CREDENTIALS_DIRECTORY/database-url"
chown rowcrew "$CREDENTIALS_DIRECTORY/database-url"
as rowcrew rowcrew migrate
step "migrated"

cat >/etc/rowcrew/demo.yaml <<'YAML'
kinds:
  command:
    allow:
      hello:
        argv: [/bin/echo, hello]
YAML
cd /
setpriv --reuid rowcrew --regid rowcrew --init-groups -- rowcrewd --config /etc/rowcrew/demo.yaml --log json >/root/node.log 2>&1 &
node=$!
id=$(as rowcrew psql -XAtqc "INSERT INTO rowcrew.job_queue (job_type, payload)
  VALUES ('command', '{\"entry\": \"hello\"}') RETURNING id" rowcrew)
status=none
for ((i = 0; i < LIMIT_S * 10; i++)); do
  status=$(as rowcrew psql -XAtqc "SELECT status FROM rowcrew.job_queue WHERE id = '$id'" rowcrew)
  [[ $status != completed ]] || break
  sleep 0.1
done
[[ $status == completed ]] || { tail -n 40 /root/node.log >&2; die "job $id: $status, expected completed"; }
kill -TERM "$node"
wait "$node" || die "rowcrewd: exit status $? after SIGTERM, expected 0"
step "one job completed, node stopped with 0"

apt-get -qq -y purge rowcrew
for path in /etc/rowcrew /var/lib/rowcrew /usr/libexec/rowcrew /usr/bin/rowcrewd /usr/bin/rowcrew \
  /usr/bin/rowcrew-ingest /lib/systemd/system/rowcrewd@.service /usr/share/doc/rowcrew; do
  [[ ! -e $path ]] || die "$path: still there after purge, expected none"
done
left=$(find / -xdev \( -path /proc -o -path /root -o -path /run -o -path /tmp \) -prune -o -iname '*rowcrew*' -print)
[[ -z $left ]] || die "left after purge: $left"
pg_ctlcluster 15 main stop
step "purged, nothing left"
