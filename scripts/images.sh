#!/bin/sh
# Makes sure that there is a container image of each RabbitMQ version that is asked for, and
# prints one line a version: the version and the image's name.
#
#   scripts/images.sh 3.10 4.0 4.3
#
# The official image is taken where a registry answers. Else Debian's own package of that
# version is put into an image, errand/rabbitmq:VERSION, once: remove the image to have it
# built anew. That needs root, debootstrap and a Debian mirror. A Docker engine must run.
set -eu

say() { echo "images: $*" >&2; }
die() { say "$*"; exit 1; }
present() { docker image inspect "$1" >/dev/null 2>&1; }

# suites are those of Debian that may have a version, in the order to try them.
suites() {
	case $1 in
	3.10) echo bookworm ;;
	4.0) echo trixie ;;
	4.3) echo forky sid ;;
	*) die "no Debian suite is known to have RabbitMQ $1" ;;
	esac
}

# bootstrap SUITE DIRECTORY installs a minimal Debian with RabbitMQ in DIRECTORY/root. A suite
# that is newer than debootstrap itself goes by the script of sid.
bootstrap() {
	rm -rf "$2/debootstrap" "$2/root"
	cp -R /usr/share/debootstrap "$2/debootstrap"
	[ -e "$2/debootstrap/scripts/$1" ] || ln -s sid "$2/debootstrap/scripts/$1"
	DEBOOTSTRAP_DIR=$2/debootstrap debootstrap --variant=minbase --include=rabbitmq-server "$1" "$2/root"
}

# version DIRECTORY is that of the RabbitMQ in it.
version() {
	# shellcheck disable=SC2016 # dpkg's own syntax
	dpkg-query --admindir="$1/var/lib/dpkg" -W -f '${Version}' rabbitmq-server 2>/dev/null
}

# build VERSION IMAGE
build() {
	[ "$(id -u)" = 0 ] || die "building $2 needs root"
	command -v debootstrap >/dev/null || die "building $2 needs debootstrap: apt-get install debootstrap"
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	for suite in $(suites "$1"); do
		say "building $2 of Debian $suite"
		began=$(date +%s)
		if ! bootstrap "$suite" "$dir" >"$dir/log" 2>&1; then
			tail -n 5 "$dir/log" >&2
			continue
		fi
		case $(version "$dir/root") in
		"$1".*) ;;
		*) say "Debian $suite has RabbitMQ $(version "$dir/root")"; continue ;;
		esac
		rm -rf "$dir/root/var/cache/apt" "$dir/root/var/lib/apt/lists" "$dir/root/usr/share/doc" "$dir/root/usr/share/man"
		tar -C "$dir/root" -c . | docker import - "$2" >/dev/null
		say "built $2 in $(($(date +%s) - began)) s"
		rm -rf "$dir"
		trap - EXIT
		return
	done
	die "no suite of Debian gives RabbitMQ $1"
}

for v in "$@"; do
	official=rabbitmq:$v-management ours=errand/rabbitmq:$v
	if present "$official"; then
		echo "$v $official"
	elif present "$ours"; then
		echo "$v $ours"
	elif timeout 20 docker manifest inspect "$official" >/dev/null 2>&1 && docker pull -q "$official" >/dev/null 2>&1; then
		echo "$v $official"
	else
		build "$v" "$ours"
		echo "$v $ours"
	fi
done
