#!/bin/sh
# later.sh ROOT SUITE PACKAGE...: lets apt take these packages from a later SUITE of Debian, and nothing else: what they need is this suite's, or the
# build ends.
set -eu
root=$1 suite=$2
shift 2
printf 'Package: *\nPin: release n=%s\nPin-Priority: -1\n\nPackage: %s\nPin: release n=%s\nPin-Priority: 500\n' \
  "$suite" "$*" "$suite" >"$root/etc/apt/preferences.d/later"
