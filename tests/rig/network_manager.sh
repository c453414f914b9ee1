#!/usr/bin/env bash
# Puts Debian's NetworkManager into the directory $1, a system's root, from this machine's own Debian mirror. As root.
set -euo pipefail
root=$1
suite=trixie
test -e "$root/ready" && exit
command -v mmdebstrap >/dev/null || { echo "mmdebstrap is needed: apt-get install mmdebstrap" >&2; exit 1; }
test "$(id -u)" = 0 || { echo "a root directory is made by root" >&2; exit 1; }
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u \
  | awk -v here="$here" -v suite=$suite '$2 == here && $3 == "main" { print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1, suite, $3 }')
test -n "$sources" || { echo "apt knows no mirror of Debian $here" >&2; exit 1; }
rm -rf "$root" && mkdir -p "$root"
nice mmdebstrap --variant=minbase --include=network-manager,dnsmasq-base,dbus,iproute2 --aptopt='Acquire::Check-Valid-Until "false"' \
  $suite "$root" - <<<"$sources" 2>"$root.log" || { tail -n 20 "$root.log" >&2; exit 1; }
touch "$root/ready"
