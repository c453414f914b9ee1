#!/bin/sh
# mmdebstrap's extract hook; $1 is the arm64 tree. While packages are installed, what costs most under emulation is done by this machine's own
# programs, found first on the PATH: unpacking and compressing. Some programs do nothing meanwhile: their work is done once, at the end, or by
# programs of this machine's kind, from outside (build.py).
set -eu
root=$1
mkdir -p "$root/usr/lib64" "$root/usr/local/sbin"
ln -s usr/lib64 "$root/lib64" # base-files insists on a link
loader=$(ldd "$(command -v dpkg-deb)" | sed -n 's/^\s*\(\/lib[^ ]*\) (.*/\1/p')
cp -L "$loader" "$root/usr/lib64/"
for program in cpio depmod dpkg-deb gzip tar xz zstd; do
  path=$(command -v "$program")
  cp -L "$path" "$root/usr/local/sbin/$program"
  ldd "$path" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | while read -r library; do
    mkdir -p "$root/usr/$(dirname "${library#/usr}")"
    cp -L "$library" "$root/usr/${library#/usr}"
  done
done
for program in deb-systemd-helper deb-systemd-invoke py3compile systemd-hwdb update-ca-certificates update-initramfs; do
  printf '#!/bin/sh\nexit 0\n' > "$root/usr/local/sbin/$program"
  chmod 755 "$root/usr/local/sbin/$program"
done
# Python's own packages call it by its path; dpkg is told to leave this file alone.
mkdir -p "$root/usr/lib/python3.13"
: > "$root/usr/lib/python3.13/py_compile.py"
