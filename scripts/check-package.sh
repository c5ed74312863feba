#!/usr/bin/env bash
# Builds the Debian package, installs it in a root of its own (debootstrap), starts what its unit starts
# as the user that its postinst made, boots the root in a container so that systemd starts it, and takes
# the package out again.
#   scripts/check-package.sh                      builds the program, too
#   scripts/check-package.sh --binary PROGRAM     packs this one
# Needs root, cargo-deb 3 (`cargo install cargo-deb`), debootstrap, systemd-nspawn and curl. PACKAGE_ROOT=DIR: a base
# system that is there already and is copied.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(id -u)" -ne 0 ]; then
    echo "run as root: a package is installed in a root of its own" >&2
    exit 2
fi
target=$(cargo metadata --no-deps --offline --format-version 1 | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
work=$(mktemp -d)
served=
cleanup() {
    [ -z "$served" ] || kill "$served" 2>/dev/null || true
    umount "$work/root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT

step() { echo "== $*"; }

if [ "${1:-}" = --binary ]; then
    mkdir -p "$target/release"
    # an own build of the release is not to be lost
    [ ! -e "$target/release/saimon" ] || mv "$target/release/saimon" "$work/saimon.kept"
    cp "$2" "$target/release/saimon"
    cargo deb --no-build --no-strip --quiet --output "$work/saimon.deb"
    rm "$target/release/saimon"
    [ ! -e "$work/saimon.kept" ] || mv "$work/saimon.kept" "$target/release/saimon"
else
    cargo deb --locked --quiet --output "$work/saimon.deb"
fi

step "what is in it"
dpkg-deb --info "$work/saimon.deb"
dpkg-deb --contents "$work/saimon.deb"

step "a root of its own"
if [ -n "${PACKAGE_ROOT:-}" ]; then
    cp -a "$PACKAGE_ROOT" "$work/root"
else
    debootstrap --variant=minbase --include=adduser,ca-certificates,systemd,systemd-sysv,dbus bookworm "$work/root" >"$work/debootstrap.log" ||
        { tail -n 20 "$work/debootstrap.log"; exit 1; }
fi
mount -t proc proc "$work/root/proc"
# nothing is started by the installation itself: there is no systemd in the root
printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"
chmod +x "$work/root/usr/sbin/policy-rc.d"
inside() { chroot "$work/root" env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

step "dpkg -i"
cp "$work/saimon.deb" "$work/root/tmp/"
inside dpkg -i /tmp/saimon.deb
inside getent passwd saimon
[ "$(inside stat -c '%U:%G %a' /var/lib/saimon)" = "saimon:saimon 700" ]
# shellcheck disable=SC2016 # dpkg's, not the shell's
inside dpkg-query --show --showformat='${Conffiles}\n' saimon
# the service is enabled
[ -L "$work/root/etc/systemd/system/multi-user.target.wants/saimon.service" ]

step "what the unit starts"
unit=$work/root/usr/lib/systemd/system/saimon.service
[ -e "$unit" ] || unit=$work/root/lib/systemd/system/saimon.service
command=$(sed -n 's/^ExecStart=//p' "$unit")
before=$(sed -n 's/^ExecStartPre=//p' "$unit")
settings=$(grep -v '^#' "$work/root/etc/default/saimon" | xargs)
as_user=(setpriv --reuid saimon --regid saimon --clear-groups --no-new-privs --bounding-set=-all)
# shellcheck disable=SC2086 # words are wanted
inside "${as_user[@]}" $before
port=$(printf '%s\n' "$settings" | tr ' ' '\n' | sed -n 's/^SAIMON_HTTP_LISTEN=.*://p')
# not by a function, which would be a shell of its own between us and the process
# shellcheck disable=SC2086
chroot "$work/root" env $settings "${as_user[@]}" $command 2>"$work/saimon.log" &
served=$!
for _ in $(seq 100); do
    curl --silent --fail "http://127.0.0.1:$port/-/ready" && break
    sleep 0.2
done
curl --silent --show-error --fail "http://127.0.0.1:$port/health"
echo
uid=$(inside id -u saimon)
[ "$(stat -c %u "/proc/$served")" = "$uid" ]
kill -TERM "$served"
wait "$served"
served=
cat "$work/saimon.log"
grep -q "good-bye" "$work/saimon.log"
[ -n "$(ls "$work/root/var/lib/saimon")" ]

if command -v systemd-nspawn >/dev/null && [ -x "$work/root/usr/lib/systemd/systemd" ]; then
    step "under systemd, in a container"
    umount "$work/root/proc"
    cp scripts/check-package-inside.sh "$work/root/check.sh"
    cat >"$work/root/etc/systemd/system/check.service" <<'UNIT'
[Unit]
After=saimon.service
[Service]
Type=oneshot
ExecStart=/bin/bash /check.sh
StandardOutput=file:/check.log
StandardError=file:/check.log
UNIT
    ln -s ../check.service "$work/root/etc/systemd/system/multi-user.target.wants/check.service"
    rm "$work/root/usr/sbin/policy-rc.d"
    systemd-nspawn --directory="$work/root" --boot --register=no --keep-unit --private-network \
        >"$work/boot.log" 2>&1 </dev/null &
    served=$!
    for _ in $(seq 600); do
        grep -q '^done:' "$work/root/check.log" 2>/dev/null && break
        kill -0 "$served" || break
        sleep 0.2
    done
    # a clean shutdown
    kill -TERM "$served"
    wait "$served" || true
    served=
    cat "$work/root/check.log" || tail -n 20 "$work/boot.log"
    grep -q '^done: ok' "$work/root/check.log"
    mount -t proc proc "$work/root/proc"
else
    echo "left out: under systemd (systemd-nspawn here, or systemd in the root, is missing)"
fi

step "a changed configuration is kept"
echo "# mine" >>"$work/root/etc/saimon/saimon.yaml"
inside dpkg --force-confold -i /tmp/saimon.deb >/dev/null
grep -q '^# mine' "$work/root/etc/saimon/saimon.yaml"

step "remove and purge"
inside dpkg --remove saimon
[ -e "$work/root/etc/saimon/saimon.yaml" ] && [ -d "$work/root/var/lib/saimon" ] && [ ! -e "$work/root/usr/bin/saimon" ]
inside dpkg --purge saimon
[ ! -e "$work/root/etc/saimon/saimon.yaml" ] && [ ! -e "$work/root/var/lib/saimon" ]
inside getent passwd saimon >/dev/null
echo "the package installs, starts, keeps, and goes"
