#!/bin/sh
# Sets up what is missing to run the demo and the tests: Go, a C compiler for the race
# detector (tests only), clients in other languages (tests only), and a RabbitMQ.
#
#   scripts/setup.sh demo|bench|test|databases|containers
#
# bench installs Redis and PostgreSQL, for other libraries that are measured beside errand.
# databases installs PostgreSQL and MariaDB, for tests that are skipped without them.
# containers installs a Docker engine, and what builds images without a registry.
# A RabbitMQ is at hand if AMQP_URL names one, if a Docker engine answers that has the image
# or can get it, or if rabbitmq-server is installed. Else the system's package manager
# installs it. Nothing is started here: package devserver does that.
set -eu

what=${1:?usage: setup.sh demo|bench|test|databases|containers}
amqplib=/usr/share/php/PhpAmqpLib/autoload.php
image=${ERRAND_RABBITMQ_IMAGE:-rabbitmq:4-management}

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; elif has sudo; then sudo "$@"; else
		die "installing needs root: run as root, or install sudo"
	fi
}

# install DEBIAN-PACKAGES BREW-PACKAGES
install() {
	if has apt-get; then
		say "installing $1 by apt-get"
		[ -n "${updated:-}" ] || as_root apt-get update -qq
		updated=1
		# shellcheck disable=SC2086 # a list of packages
		out=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 2>&1) ||
			{ echo "$out" >&2; return 1; }
	elif has brew && [ -n "$2" ]; then
		say "installing $2 by brew"
		# shellcheck disable=SC2086
		brew install --quiet $2
	else
		return 1
	fi
}

rabbitmq_server() {
	has rabbitmq-server && return
	for dir in /usr/lib/rabbitmq/bin /usr/sbin /opt/homebrew/sbin /usr/local/sbin; do
		[ -x "$dir/rabbitmq-server" ] && return
	done
	return 1
}

container() {
	has docker && timeout 10 docker info >/dev/null 2>&1 || return 1
	timeout 10 docker image inspect "$image" >/dev/null 2>&1 || timeout 180 docker pull -q "$image" >/dev/null 2>&1
}

has go || die "Go is missing: install it from https://go.dev/dl (1.26 or newer)"
go version >/dev/null || die "this Go can't be used: install 1.26 or newer from https://go.dev/dl"

postgresql() { # CONSEQUENCE
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || has initdb || install postgresql postgresql || say "no PostgreSQL: $1"
}

if [ "$what" = databases ]; then
	has mariadbd || [ -x /usr/sbin/mariadbd ] || install mariadb-server mariadb || say "no MariaDB: its tests are skipped"
	postgresql "its tests are skipped"
	exit 0
fi

if [ "$what" = bench ]; then
	has redis-server || install redis-server redis || say "no Redis: what needs it is left out"
	postgresql "what needs it is left out"
fi

if [ "$what" = containers ]; then
	if ! has docker || ! { timeout 10 docker info >/dev/null 2>&1 || has dockerd; }; then
		install "docker.io iptables" "" || die "a Docker engine is missing: install and start one"
	fi
	has debootstrap || install "debootstrap" "" || say "no debootstrap: images can't be built where no registry has them"
	exit 0
fi

if [ "$what" = test ]; then
	has cc || has gcc || install "gcc libc6-dev" "" || die "a C compiler is missing, which go test -race needs: install gcc or clang"
	# Real clients in other languages: the tests that use them fail without, and say so. The
	# system's Python is named, because that is where the system's packages are.
	/usr/bin/python3 -c 'import pika' 2>/dev/null || install python3-pika "" ||
		die "python3-pika is missing: python3 -m pip install pika for /usr/bin/python3"
	[ -e "$amqplib" ] && has php || install "php-cli php-amqplib" "" ||
		die "php and php-amqplib are missing: see integration/testdata/enqueue.php for where it is looked for"
fi

if [ -n "${AMQP_URL:-}" ]; then
	say "RabbitMQ: the server that AMQP_URL names"
elif container; then
	say "RabbitMQ: a container of $image"
elif rabbitmq_server; then
	say "RabbitMQ: the installed rabbitmq-server"
else
	install rabbitmq-server rabbitmq || die "no RabbitMQ: set AMQP_URL, start Docker, or install rabbitmq-server"
	rabbitmq_server || die "rabbitmq-server was installed and can't be found: set AMQP_URL instead"
	say "RabbitMQ: rabbitmq-server, just installed; we start nodes of our own, its system service is not needed"
fi
