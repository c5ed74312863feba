#!/bin/sh
# Installs what is missing of the Debian packages that a make verb needs, and nothing when all of
# them are there.
#
#   scripts/install-debian-packages.sh build          a C compiler (zstd and ring have C) and make
#   scripts/install-debian-packages.sh build stack    also Prometheus, Alertmanager, node_exporter
#   scripts/install-debian-packages.sh build peers    also VictoriaMetrics and vmagent
#   scripts/install-debian-packages.sh build fuzz     also a C++ compiler (libFuzzer is C++)
#   scripts/install-debian-packages.sh build browser  also Chromium, in which the page is tested (or CHROMIUM=...)
#   scripts/install-debian-packages.sh build python   also Python with venv, to fetch what the API is checked by
#   scripts/install-debian-packages.sh build package  also debootstrap and systemd-nspawn, to install a package somewhere
#
# Debian may start the installed programs as services on their default ports. Nothing here relies on
# those: the demo, the tests and the benches run their own processes on free ports.
set -eu

usage() {
    echo "usage: $0 build|stack|peers|fuzz|browser|python|package ..." >&2
    exit 2
}

# want PROGRAM PACKAGE: adds the package to the list unless the program is there.
missing=""
want() {
    if ! command -v "$1" >/dev/null 2>&1; then
        case " $missing " in
            *" $2 "*) ;;
            *) missing="$missing $2" ;;
        esac
    fi
}

[ $# -gt 0 ] || usage
for set in "$@"; do
    case "$set" in
        build)
            want make make
            want cc gcc
            # gcc without the headers of libc compiles nothing that includes one
            [ -e /usr/include/stdlib.h ] || want /usr/include/stdlib.h libc6-dev
            ;;
        stack)
            want prometheus prometheus
            want promtool prometheus
            want prometheus-alertmanager prometheus-alertmanager
            want prometheus-node-exporter prometheus-node-exporter
            ;;
        peers)
            want victoria-metrics victoria-metrics
            want vmagent victoria-metrics
            ;;
        fuzz)
            want c++ g++
            ;;
        browser)
            want "${CHROMIUM:-chromium}" chromium
            ;;
        python)
            want python3 python3
            # Debian's Python has venv without what it puts into one
            python3 -c 'import ensurepip' >/dev/null 2>&1 || want ensurepip python3-venv
            ;;
        package)
            want debootstrap debootstrap
            want systemd-nspawn systemd-container
            want curl curl
            ;;
        *) usage ;;
    esac
done

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "these Debian packages are missing and there is no apt-get here:$missing" >&2
        echo "install the programs they hold by hand and put them on PATH" >&2
        exit 1
    fi
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "run as root, there is no sudo here: apt-get install --no-install-recommends$missing" >&2
            exit 1
        fi
        as_root="sudo"
    fi
    echo "installing with apt-get:$missing"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null
    # one word per package is wanted here
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing </dev/null
    if [ -d /run/systemd/system ]; then
        echo "Debian may have started services of these packages; nothing here uses them."
        echo "To stop one: systemctl disable --now NAME"
    fi
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is missing: install Rust 1.95 or newer (rustup) and run this again" >&2
    exit 1
fi
