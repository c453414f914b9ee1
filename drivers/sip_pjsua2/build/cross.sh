#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cross.sh: build the SIP engine for 64-bit ARM and Debian trixie's Python on a PC, as a wheel.
#
#   cross.sh TOOLS OUT      TOOLS: a trixie tree of this machine's kind with g++-aarch64-linux-gnu, swig, make, python3 and the arm64 -dev packages
#                           OUT: an empty folder for the wheel
#
# As root, for it works inside TOOLS. Source, switches and checks are those of pjsua2.sh. What is built cannot run here: the image's build tries it.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
# shellcheck source=drivers/sip_pjsua2/build/pjsua2.sh
. "$here/pjsua2.sh"

readonly TRIPLET=aarch64-linux-gnu

inside() { # $1: the source, in TOOLS
  local names=() headers=() src version tarball=$1 sha256
  python=python3 suffix=.cpython-313-$TRIPLET.so include=/usr/include/python3.13
  export _PYTHON_HOST_PLATFORM=linux-aarch64
  host=("--host=$TRIPLET" --with-ssl=/usr) compiler=$TRIPLET-
  log=/work/build.log work=/work src=/work/src
  sha256=$(digest "$tarball")
  begin "unpacking"; unpack; judge
  headers=("-I$src/"{pjlib,pjlib-util,pjnath,pjmedia,pjsip}/include)
  begin "configuring PJSIP $version for $TRIPLET"; configure
  grep -q 'define PJ_HAS_SSL_SOCK 1' "$src/pjlib/include/pj/compat/os_auto.h" || fail "TLS was left out" "see that TOOLS has libssl-dev:arm64"
  begin "generating the Python wrapper"; generate
  begin "compiling on $(nproc) cores (the long one)"; compile
  begin "linking"; link
  work='' # the caller takes what is in out/
}

outside() { # TOOLS OUT
  local tools=$1 out=$2 tarball sha256 cache sources
  cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/handset/pjsua2
  sources=$cache/source
  mkdir -p "$sources" || exit 1
  log=$out/build.log
  : >"$log"
  begin "source of PJSIP, from Debian"; obtain
  trust
  local folder=$tools/work
  rm -rf "$folder" && mkdir -p "$folder/recipe" && cp "$here"/* "$folder/recipe/" && cp "$tarball" "$folder/"
  unshare --mount bash -c 'mount --bind /proc "$1/proc" && mount --bind /dev "$1/dev" && exec chroot "$1" bash /work/recipe/cross.sh --inside "$2"' \
    - "$tools" "/work/$(basename "$tarball")" || exit 1
  mv "$folder"/out/*.whl "$out/" && cp "$folder/build.log" "$log" && rm -rf "$folder"
}

if [[ ${1:-} == --inside ]]; then inside "$2"; else outside "$@"; fi
