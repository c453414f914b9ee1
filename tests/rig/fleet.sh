#!/usr/bin/env bash
# Puts a trixie with RAUC and the fleet's client, as the image has them, into the directory $1, from this machine's own Debian mirror. As root.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$1
test -e "$root/ready" && exit
command -v mmdebstrap >/dev/null || { echo "mmdebstrap is needed: apt-get install mmdebstrap" >&2; exit 1; }
test "$(id -u)" = 0 || { echo "a root directory is made by root" >&2; exit 1; }
rm -rf "$root" && mkdir -p "$root"
.venv/bin/python - "$root" 2>"$root.log" <<'END' || { tail -n 20 "$root.log" >&2; exit 1; }
import sys
from pathlib import Path

from image import archive, build, trees

root = Path(sys.argv[1])
later = build.recipe("debian").later
packages = ("ca-certificates", "dbus", "python3", "rauc", "rauc-service", "systemd-sysv", *later)
trees.run(
    trees.command(
        root, build.HOST, packages, archive.with_later(archive.sources(())), archive.SUITE, build.later_hooks(later)
    ),
    root.with_suffix(".log"),
)
END
touch "$root/ready"
