#!/usr/bin/env bash
# What check-package.sh runs in the container in which the package is installed: the service is up, is
# as confined as its unit says, comes back after a crash and ends well.
set -uo pipefail

failed=0
holds() {
    if "${@:2}"; then echo "ok   $1"; else echo "FAIL $1"; failed=1; fi
}
get() {
    exec 3<>/dev/tcp/127.0.0.1/9925 || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
    cat <&3
}
ready() {
    for _ in $(seq 100); do
        get /-/ready 2>/dev/null | grep -q 'saimon is ready' && return 0
        sleep 0.2
    done
    return 1
}
main_pid() { systemctl show saimon --property=MainPID --value; }
status_has() { grep -qE "$1" "/proc/$(main_pid)/status"; }

holds "ready" ready
holds "active" systemctl --quiet is-active saimon
holds "runs as saimon" test "$(stat -c %U "/proc/$(main_pid)")" = saimon
holds "has no capability" status_has '^CapEff:\s0+$'
holds "can get none" status_has '^NoNewPrivs:\s1$'
holds "system calls are filtered" status_has '^Seccomp:\s2$'
page=$(get /metrics | tr -d '\0')
holds "its store is open" grep -q '^saimon_store_ok 1' <<<"$page"
holds "knows when it started" grep -q '^process_start_time_seconds ' <<<"$page"
before=$(main_pid)
kill -KILL "$before"
sleep 6
holds "ready after a crash" ready
holds "is another process" test "$(main_pid)" != "$before"
systemctl stop saimon
holds "stopped well" test "$(systemctl show saimon --property=Result --value)" = success
holds "said good-bye" grep -q good-bye <(journalctl --unit=saimon --no-pager)
if [ "$failed" -eq 0 ]; then echo "done: ok"; else journalctl --unit=saimon --no-pager; echo "done: failed"; fi
