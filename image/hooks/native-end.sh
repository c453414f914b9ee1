#!/bin/sh
# mmdebstrap's first customize hook: takes out of the tree $1 what native-begin.sh put in.
set -eu
root=$1
folder=$(dirname "$(ldd "$(command -v dpkg-deb)" | sed -n 's/.*=> \(\/[^ ]*libc\.so[^ ]*\) .*/\1/p')")
rm -rf "$root"/usr/local/sbin/* "$root/lib64" "$root/usr/lib64" "$root/usr/${folder#/usr}"
for package in "$root"/var/cache/apt/archives/libpython3.13-minimal_*.deb; do
  [ -e "$package" ] || continue
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" ./usr/lib/python3.13/py_compile.py
done
[ -s "$root/usr/lib/python3.13/py_compile.py" ] || { echo "py_compile.py was not put back" >&2; exit 1; }
