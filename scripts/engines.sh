#!/usr/bin/env bash
# Installs what the tests need beside Go: MariaDB, Redis, and a C compiler for
# the race detector. What is there already is left alone, so that a second run
# does nothing and needs neither root nor a network.
#
# The tests start servers of their own, on free ports and in temporary folders,
# so the packages' services are not started. A machine with systemd will start
# them at its next boot, unless you `systemctl disable` them.
set -euo pipefail

# Daemons live in sbin, which is not on everybody's path.
PATH="$PATH:/usr/sbin:/usr/local/sbin"

# package=program that shows it is installed
needs=(
	mariadb-server=mariadbd
	redis-server=redis-server
	gcc=gcc
	libc6-dev=/usr/include/stdlib.h
)

missing=()
for need in "${needs[@]}"; do
	program="${need#*=}"
	command -v "$program" >/dev/null || [[ -e "$program" ]] || missing+=("${need%%=*}")
done
if ((${#missing[@]} == 0)); then
	exit 0
fi

if [[ "$(id -u)" != 0 ]] || ! command -v apt-get >/dev/null; then
	echo "The tests need what is not installed here: ${missing[*]}" >&2
	echo "On Debian or Ubuntu: sudo scripts/engines.sh. Elsewhere, install what these packages hold." >&2
	exit 1
fi

# Debian asks this program before it starts a service; 101 says no. A policy
# that is there already is somebody's decision and stays.
policy=/usr/sbin/policy-rc.d
if [[ ! -e "$policy" ]]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
