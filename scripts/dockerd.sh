#!/bin/sh
# Runs a command with a Docker engine, which it starts by hand where none answers, and ends
# with the command.
#
#   scripts/dockerd.sh COMMAND [ARGUMENT]...
set -eu

die() { echo "dockerd: $*" >&2; exit 1; }
answers() { timeout 10 docker info >/dev/null 2>&1; }

command -v docker >/dev/null || die "docker is missing: apt-get install docker.io iptables"
if answers; then
	exec "$@"
fi
[ "$(id -u)" = 0 ] || die "no Docker engine answers, and starting one needs root"
command -v dockerd >/dev/null || die "no Docker engine answers, and dockerd is missing: apt-get install docker.io iptables"

log=$(mktemp)
setsid dockerd >"$log" 2>&1 &
engine=$!
stop() {
	kill "$engine" 2>/dev/null || true
	wait "$engine" 2>/dev/null || true
	rm -f "$log"
}
trap stop EXIT
trap 'exit 1' INT TERM
tries=0
until answers; do
	tries=$((tries + 1))
	if [ "$tries" -ge 60 ] || ! kill -0 "$engine" 2>/dev/null; then
		tail -n 5 "$log" >&2
		die "dockerd does not answer"
	fi
	sleep 0.5
done
echo "dockerd: started by hand, process $engine"
"$@"
