#!/bin/sh
# Runs the integration suite, and a short run of bench/chaos, on each RabbitMQ that errand
# supports: 3.10, 4.0 and 4.3, one node each, and a cluster of three nodes of 4.3.
#
#   scripts/matrix.sh [3.10|4.0|4.3|cluster]...     all of them by default
#
# All run, whatever fails, and a table at the end says what did. The output of each goes to
# MATRIX_LOGS, a temporary directory by default.
#
# 3.10 is the rabbitmq-server that is installed, where it is of that version. The others are
# containers; see images.sh and dockerd.sh. Set -x for more of it.
set -eu
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- 3.10 4.0 4.3 cluster
logs=${MATRIX_LOGS:-$(mktemp -d)}
go=${GO:-go}
mkdir -p "$logs"
say() { echo "matrix: $*"; }

# The address at which the engine publishes ports, where it is this machine's own.
export TESTCONTAINERS_HOST_OVERRIDE="${TESTCONTAINERS_HOST_OVERRIDE:-127.0.0.1}"
# Its reaper is an image that may not be to be had; devserver's containers end without it.
export TESTCONTAINERS_RYUK_DISABLED=true
unset AMQP_URL

# native reports whether the installed RabbitMQ is of a version.
native() {
	for server in /usr/lib/rabbitmq/lib/rabbitmq_server-"$1".*; do
		[ -e "$server" ] && return
	done
	return 1
}

# image sets $image to that of a version.
image() {
	image=$(scripts/images.sh "$1")
	image=${image#* }
}

# failures LOG prints what the failed tests said in an output of go test -v: the first lines of each.
failures() {
	awk '
		/^=== / { test = $3; next }
		/^ *--- FAIL: / { failed[++n] = $3; next }
		/^(FAIL|panic:)/ { print }
		/^    ([a-z_0-9]+\.go:[0-9]+: |    )/ && lines[test]++ < 20 { said[test] = said[test] $0 "\n" }
		END { for (i = 1; i <= n; i++) printf "--- FAIL: %s\n%s", failed[i], said[failed[i]] }
	' "$1" | cut -c1-1000 | head -n 80
}

# suite NAME [VARIABLE=VALUE]... runs the tests in that environment.
suite() {
	name=$1
	shift
	began=$(date +%s)
	say "$name: $*"
	result=ok
	parallel=8 packages=./integration
	case $name in
	cluster) parallel=4 ;;               # it does everything three times
	4.3) packages="$packages ./devserver" ;; # containers and clusters of its own
	esac
	# shellcheck disable=SC2086 # a list of packages
	env "$@" "$go" test -race -count=1 -timeout 20m -p 1 -parallel "$parallel" -v $packages >"$logs/$name.log" 2>&1 || result=FAILED
	sed -n 's/.*INFO rabbitmq is ready how="\(RabbitMQ [^"]*\)".*/matrix:   \1/p' "$logs/$name.log" | sort -u | head -n 2
	[ "$result" = ok ] || failures "$logs/$name.log"
	table="$table$name integration $result $(($(date +%s) - began))
"
}

# chaos NAME [VARIABLE=VALUE]...
chaos() {
	name=$1
	shift
	[ -d bench/chaos ] || return 0
	began=$(date +%s)
	result=ok
	env "$@" "$go" test -race -count=1 -timeout 10m -v -run '^TestChaos' ./bench/chaos >"$logs/$name-chaos.log" 2>&1 || result=FAILED
	[ "$result" = ok ] || tail -n 40 "$logs/$name-chaos.log"
	table="$table$name chaos $result $(($(date +%s) - began))
"
}

table=
for what in "$@"; do
	case $what in
	3.10)
		if native 3.10; then
			set -- DOCKER_HOST=unix:///nonexistent # no engine, so the installed one is taken
		else
			image 3.10
			set -- ERRAND_RABBITMQ_IMAGE="$image"
		fi
		;;
	cluster)
		image 4.3
		set -- ERRAND_RABBITMQ_IMAGE="$image" ERRAND_RABBITMQ_NODES=3
		;;
	*)
		image "$what"
		set -- ERRAND_RABBITMQ_IMAGE="$image"
		;;
	esac
	suite "$what" "$@"
	chaos "$what" "$@"
done

say "the logs are in $logs"
printf '%s' "$table" | while read -r name what result seconds; do
	printf '%-8s %-12s %-7s %5d s\n' "$name" "$what" "$result" "$seconds"
done
case $table in *FAILED*) exit 1 ;; esac
