#!/bin/sh
# Builds the image a second time in the cache $2, taking over from the cache $1 all that comes before the step HANDSET_FROM (fetched things and
# keys always), then says what differs.
set -eu
first=$1 second=$2
rm -rf "$second"
mkdir -p "$second"
for step in keys tools wheels packages initramfs pjsua2 libraries release image; do
  case $HANDSET_FROM in "$step") break ;; esac
  newest=$(ls -td "$first/$step-"* "$first/$step" 2>/dev/null | head -n 1)
  [ -z "$newest" ] || cp -a --reflink=auto "$newest" "$second/"
done
.venv/bin/python -m image --cache "$second" --out "$second/out"
again=$(ls -td "$second"/image-* | head -n 1)
before=$first/${again##*/}
if [ ! -e "$before/disk.img" ]; then
  echo "compare: the cache $first has no image of these sources any more: make image, then again" >&2
  exit 1
fi
.venv/bin/python -m image --compare "$before/disk.img" "$again/disk.img"
