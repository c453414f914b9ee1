#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pjsua2.sh: build the SIP engine (PJSIP and its Python module pjsua2) and install it into a virtual environment.
#
#   pjsua2.sh PYTHON        PYTHON: the python of a virtual environment, e.g. .venv/bin/python
#
# Takes about two minutes on a PC and is done once: the result is kept in ~/.cache/handset/pjsua2 and installed from there in a second
# afterwards. The source comes from Debian (sid), through this machine's own mirror. README.md beside this file tells what is built and why.
#
#   PJSUA2_TARBALL=FILE     build from this copy of the source instead of fetching it; it must be pinned in SHA256SUMS
#   PJSUA2_PINNED_ONLY=1    refuse a source that is not pinned in SHA256SUMS, also where Debian's signature vouches for it
#   HANDSET_PACKAGES=skip   leave the Debian packages for building to you
#
# Exit status: 0 installed, 1 failed (the reason and the remedy are shown), 2 wrong use, 130 or 143 interrupted.
set -uo pipefail
umask 022
export LC_ALL=C.UTF-8

readonly OLDEST=2.17
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
readonly here

# ---- What is built. Every change here makes earlier results in the cache worthless, and the script notices it by itself.

readonly PACKAGES=(g++ make swig xz-utils libssl-dev libopus-dev libsrtp2-dev libsamplerate0-dev uuid-dev)
readonly CONFIG_SITE='
#define PJMEDIA_HAS_VIDEO 0
#define PJ_HAS_IPV6 1
#define PJSUA_MAX_CALLS 32
#define PJ_IOQUEUE_MAX_HANDLES 256
'
readonly CONFIGURE=(
  --with-external-srtp --enable-libsamplerate
  --disable-sound --disable-upnp
  --disable-video --disable-sdl --disable-ffmpeg --disable-v4l2 --disable-openh264 --disable-vpx --disable-libyuv
  --disable-speex-codec --disable-speex-aec --disable-libwebrtc
  --disable-gsm-codec --disable-ilbc-codec --disable-g7221-codec --disable-silk --disable-opencore-amr --disable-bcg729 --disable-lyra
)
# NDEBUG: a failed assertion is logged and answered with an error code; without it one odd SIP message may abort the process.
readonly FLAGS='-O2 -g0 -fPIC -DNDEBUG -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2'
readonly SWIG=(-c++ -python -threads -w312)
readonly WRAPPER_FLAGS=(-O1 -fno-strict-aliasing)
readonly LINK_FLAGS=(-shared -s '-Wl,-O1,--as-needed,--gc-sections,-z,relro,-z,now')
# All that is seen from outside: what Python loads, and what sieve.py, timers.py and report.py call.
readonly EXPORTS='{ global: PyInit__pjsua2; pjsua_get_pjsip_endpt; pjsip_endpt_register_module; pjsip_endpt_respond_stateless; pjsip_tsx_set_timers; pjsua_call_get_max_count; local: *; };'
recipe=$(printf '%s\n' "$CONFIG_SITE" "${CONFIGURE[@]}" "$FLAGS" "${SWIG[@]}" "${WRAPPER_FLAGS[@]}" "${LINK_FLAGS[@]}" "$EXPORTS" | sha256sum | cut -c1-16)
readonly recipe

# ---- Talking to the person

log=/dev/null work='' apt='' step=0 running=()
host=() compiler='' # cross.sh: what configure is told, and the compiler's prefix
readonly STEPS=8

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
say() { printf '%s\n' "$*"; }
begin() { step=$((step + 1)); printf '[%d/%d %5s] %s\n' "$step" "$STEPS" "$(elapsed)" "$*" | tee -a "$log"; }

fail() { # what happened, the remedy
  {
    say "pjsua2.sh: $1"
    if [[ -s $log ]]; then
      say "  The last lines of $log:"
      tail -n 15 "$log" | cut -c1-300 | sed 's/^/  | /'
    fi
    say "  Remedy: $2"
  } >&2
  exit 1
}

refuse() { # as fail, where the log has nothing to say
  log=/dev/null
  fail "$@"
}

notice() {
  local line
  say ''
  for line in "$@"; do say "  !! $line"; done
  say ''
}

logged() { # a command whose output goes to the log
  printf '+ %s\n' "$*" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null 9>&-
}

# ---- Leaving nothing behind

cleanup() {
  local job
  for job in "${running[@]}"; do kill -TERM -- "-$job" 2>/dev/null; done
  rm -rf ${work:+"$work"} ${apt:+"$apt"}
}
trap cleanup EXIT
interrupted() { say "pjsua2.sh: interrupted; run it again to begin anew" >&2; exit "$1"; }
trap 'interrupted 130' INT
trap 'interrupted 143' TERM HUP

# ---- The source

pinned() { grep -q "^$1  " "$here/SHA256SUMS"; } # is the sha256 $1 pinned?

digest() { sha256sum <"$1" | cut -d' ' -f1; }

at_least() { [[ $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; } # version $1 is $2 or newer

mirrors() { # this machine's Debian mirrors, the most certain first
  local codename
  # shellcheck disable=SC1091  # the running system's own file
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  # shellcheck disable=SC2016  # apt's own variables
  apt-get indextargets --format '$(LABEL)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' 2>>"$log" |
    awk -F'|' -v codename="$codename" '$2 == codename && $3 == "main" && $4 !~ /^(cdrom|file):/ {
      if ($1 == "Debian") print "1 " $4; else if ($1 == "") print "2 " $4 }' | sort -u | cut -d' ' -f2
}

fetch() { # sets tarball; apt checks Debian's signature on the index and the index's sha256 of the file
  local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg option='' found=''
  apt=$(mktemp -d "${TMPDIR:-/var/tmp}/handset-apt.XXXXXX") || fail "no temporary folder" "check the free space of ${TMPDIR:-/var/tmp}"
  # apt's download user must be able to enter it
  chmod 755 "$apt" && mkdir -p "$apt"/{lists/partial,archives/partial,source}
  ((EUID)) || chown _apt "$apt/source" 2>>"$log"
  [[ -r $keyring ]] && option="[signed-by=$keyring] "
  cat >"$apt/apt.conf" <<END
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
  for mirror in $(mirrors); do
    say "deb-src $option$mirror sid main" >"$apt/sources.list"
    say "sources: $(cat "$apt/sources.list")" >>"$log"
    logged apt-get -c "$apt/apt.conf" update || continue
    (cd "$apt/source" && logged apt-get -c "$apt/apt.conf" --download-only --only-source source asterisk) || continue
    found=$(find "$apt/source" -name '*.orig-Xpjproject.tar.xz' | head -n 1)
    [[ -n $found ]] && break
  done
  [[ -n $found ]] && tarball=$sources/$(basename "$found") && cp "$found" "$tarball.part" && mv "$tarball.part" "$tarball"
  found=$?
  rm -rf "$apt"; apt=''
  ((found == 0)) || fail "the source of PJSIP could not be fetched from this machine's Debian mirror" \
    "check the network and the Debian entry in /etc/apt; or give a copy of the file named in $here/SHA256SUMS as PJSUA2_TARBALL=FILE"
}

obtain() { # sets tarball and sha256: a given copy, the kept pinned one, or Debian's newest
  local sum name
  if [[ -n ${PJSUA2_TARBALL:-} ]]; then
    tarball=$PJSUA2_TARBALL sha256=$(digest "$PJSUA2_TARBALL")
    say "        the copy given: $tarball"
    return
  fi
  while read -r sum name; do
    [[ $sum == \#* || ! -f $sources/$name ]] && continue
    [[ $(digest "$sources/$name") == "$sum" ]] || { rm -f "$sources/$name"; continue; }
    tarball=$sources/$name sha256=$sum
    say "        kept from before: $tarball"
    return
  done < <(tac "$here/SHA256SUMS")
  fetch
  sha256=$(digest "$tarball")
  say "        $(basename "$tarball")"
}

trust() { # refuse a source that nobody vouches for, before anything reads it
  local name line
  name=$(basename "$tarball") line="$sha256  $(basename "$tarball")"
  pinned "$sha256" && return
  if grep -qF "  $name" "$here/SHA256SUMS"; then
    [[ -n ${PJSUA2_TARBALL:-} ]] || rm -f "$tarball"
    refuse "$name is not the file that is pinned: its sha256 is $sha256" "run it again; if it stays so, do not use this mirror or this copy"
  fi
  [[ -z ${PJSUA2_TARBALL:-} ]] || refuse "$tarball is not pinned" "if you trust it, add this line to $here/SHA256SUMS: $line"
  [[ -z ${PJSUA2_PINNED_ONLY:-} ]] || refuse "Debian has moved on to a source that is not pinned, and PJSUA2_PINNED_ONLY is set" \
    "give the pinned source as PJSUA2_TARBALL=FILE; or, if you trust the new one, add this line to $here/SHA256SUMS: $line"
}

judge() { # is it new enough, and the one we know?
  at_least "$version" "$OLDEST" ||
    refuse "PJSIP $version is too old, $OLDEST is needed" "use a Debian mirror with a current sid, or PJSUA2_TARBALL=FILE with a newer source"
  pinned "$sha256" && return
  notice "Debian has moved on: this source of PJSIP $version is not the one Handset was tested with." \
    "Debian's signature on it is good, so it is built. Its sha256 is" "  $sha256" \
    "To pin it, once tested, add this line to $here/SHA256SUMS:" "  $sha256  $(basename "$tarball")" \
    "To refuse such sources set PJSUA2_PINNED_ONLY=1."
}

# ---- The cache: one folder a build, with the wheel, its sha256 and what it was made from

cached() { # sets wheel if a sound build for this Python is there
  local folder made_by made_from
  wheel=''
  while read -r folder; do
    [[ -r $folder/made && -r $folder/SHA256SUMS ]] || continue
    read -r made_by made_from <"$folder/made"
    [[ $made_by == "$recipe" ]] || continue
    if [[ -n ${PJSUA2_TARBALL:-} ]]; then
      [[ $made_from == "$(digest "$PJSUA2_TARBALL")" ]] || continue
    elif [[ -n ${PJSUA2_PINNED_ONLY:-} ]]; then
      pinned "$made_from" || continue
    fi
    (cd "$folder" && sha256sum --check --quiet --strict SHA256SUMS) >>"$log" 2>&1 || { say "  $folder is damaged: not used"; continue; }
    wheel=$(find "$folder" -name '*.whl' | head -n 1)
    [[ -n $wheel ]] || continue
    pinned "$made_from" || notice "This build's source is not pinned in $here/SHA256SUMS: sha256" "  $made_from"
    return 0
  done < <(find "$cache" -maxdepth 1 -name "*-$tag-$arch" | sort -rV)
  return 1
}

keep() { # move the finished wheel into the cache
  local folder=$cache/$version-$tag-$arch part
  if ! {
    part=$(mktemp -d "$cache/.part.XXXXXX") && chmod 755 "$part" && cp "$1" "$part/" &&
      (cd "$part" && sha256sum -- *.whl >SHA256SUMS) && say "$recipe $sha256" >"$part/made" &&
      rm -rf "$folder" && mv "$part" "$folder"
  }; then fail "the cache $cache could not be written" "check its owner and the free space"; fi
  wheel=$folder/$(basename "$1")
}

install() {
  "$python" "$here/wheel.py" install "$wheel" 2>>"$log" && "$python" -c 'import pjsua2' 2>>"$log"
}

# ---- Building

build_packages() {
  local package missing=() root=()
  [[ ${HANDSET_PACKAGES:-} != skip ]] || { say "        left to you (HANDSET_PACKAGES=skip)"; return; }
  local wanted=("${PACKAGES[@]}")
  [[ -f $include/Python.h ]] || {
    [[ $base == /usr ]] || refuse "this Python has no header files ($include/Python.h)" "use a Python that was installed with its headers, e.g. Debian's own"
    wanted+=("libpython$pyversion-dev")
  }
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || { say "        all there"; return; }
  say "        installing with apt, as root: ${missing[*]}"
  if ((EUID)); then
    command -v sudo >/dev/null || refuse "Debian packages are missing and there is no sudo" "as root: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  # shellcheck disable=SC2024  # the log is ours, not root's
  apt_install() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 9>&-; }
  # shellcheck disable=SC2024
  apt_install || { "${root[@]}" apt-get update >>"$log" 2>&1 9>&- && apt_install; } ||
    fail "apt could not install the build packages" "as root: apt-get update && apt-get install ${missing[*]}"
}

unpack() {
  local key part=()
  logged tar -C "$work" --no-same-owner --strip-components=1 --one-top-level=src -xf "$tarball" ||
    fail "$tarball could not be unpacked" "delete it and run this again"
  for key in MAJOR MINOR REV; do
    part+=("$(sed -n "s/^export PJ_VERSION_$key *:= *\([0-9]*\).*/\1/p" "$src/version.mak")")
  done
  version=${part[0]}.${part[1]}${part[2]:+.${part[2]}}
}

configure() {
  say "$CONFIG_SITE" >"$src/pjlib/include/pj/config_site.h"
  # Debian's source lacks this non-free driver, but the Makefile still names it
  [[ -f $src/pjmedia/src/pjmedia-audiodev/bdimad_dev.c ]] || sed -i 's/ bdimad_dev\.o//' "$src/pjmedia/build/Makefile"
  local flags="$FLAGS -ffile-prefix-map=$src=."
  (cd "$src" && logged ./configure "${CONFIGURE[@]}" "${host[@]}" CFLAGS="$flags" CXXFLAGS="$flags -std=c++17") ||
    fail "configuring PJSIP failed" "report it with $log"
}

generate() {
  mkdir "$work/stage"
  (cd "$src/pjsip-apps/src/swig" && logged swig "${SWIG[@]}" "${headers[@]}" -outdir "$work/stage" -o "$work/wrapper.cpp" pjsua2.i) ||
    fail "SWIG failed" "report it with $log"
}

start() { # name, command...: in the background, with a log and a process group of its own
  local name=$1
  shift
  printf '+ %s\n' "$*" >>"$log"
  setsid nice "$@" >"$work/$name.log" 2>&1 </dev/null 9>&- &
  running+=("$!")
  names[$!]=$name
}

finish() { # wait for all that was started, with a sign of life now and then
  local job left rc next=$((SECONDS + 20))
  while ((${#running[@]})); do
    sleep 0.5
    left=()
    for job in "${running[@]}"; do
      if kill -0 "$job" 2>/dev/null; then left+=("$job"); continue; fi
      rc=0
      wait "$job" || rc=$?
      cat "$work/${names[$job]}.log" >>"$log"
      ((rc == 0)) || fail "compiling the ${names[$job]} failed ($rc)" "if the log speaks of memory, see that 0.8 GB is free; else report it with $log"
    done
    running=("${left[@]}")
    if ((SECONDS >= next && ${#running[@]})); then
      for job in "${!running[@]}"; do left[job]=${names[${running[$job]}]}; done
      say "        $(elapsed)  $(find "$src" -name '*.o' | wc -l) files of the libraries compiled; still busy: ${left[*]}"
      next=$((SECONDS + 20))
    fi
  done
}

compile() { # the wrapper is one file and needs no library: it is compiled beside them
  local jobs flags=() available
  jobs=$(nproc)
  available=$(awk '/^(MemAvailable|SwapFree):/ {kb += $2} END {print int(kb / 1024)}' /proc/meminfo)
  mapfile -t flags < <(make -s -C "$src/pjsip-apps/src/swig/python" --no-print-directory -f helper.mak cflags)
  ((available > 800)) || notice "Only $available MB of memory are free, 800 MB are needed: this may take very long or fail."
  start libraries make -C "$src" -j"$jobs" lib
  if ((available < 2000)); then # one after the other, and a compiler that takes 0.65 GB instead of 1.1 but a fifth more time
    finish
    flags+=(--param ggc-min-expand=10 --param ggc-min-heapsize=65536)
  fi
  start wrapper "${compiler}g++" "${flags[@]}" "${WRAPPER_FLAGS[@]}" "-I$include" -c "$work/wrapper.cpp" -o "$work/wrapper.o"
  finish
}

link() {
  local libraries=() folders=()
  mapfile -t libraries < <(make -s -C "$src/pjsip-apps/src/swig/python" --no-print-directory -f helper.mak libs)
  mapfile -t folders < <(make -s -C "$src/pjsip-apps/src/swig/python" --no-print-directory -f helper.mak ldflags)
  printf '%s\n' "$EXPORTS" >"$work/exports"
  logged "${compiler}g++" "${LINK_FLAGS[@]}" "-Wl,--version-script=$work/exports" "$work/wrapper.o" "${folders[@]}" "${libraries[@]/#/-l}" -o "$work/stage/_pjsua2$suffix" ||
    fail "linking failed" "report it with $log"
  mkdir "$work/out"
  [[ -n $compiler ]] || logged "$python" "$here/wheel.py" try "$work/stage" || fail "the module was built but does not work" "report it with $log"
  logged "$python" "$here/wheel.py" pack "$work/stage" "$src/COPYING" "$version" "$work/out" || fail "the wheel could not be packed" "report it with $log"
}

build() {
  local names=() src version tarball sha256 headers=()
  work=$(mktemp -d "$cache/.build.XXXXXX") || fail "$cache cannot be written" "check its owner and the free space"
  src=$work/src
  (($(df -Pm "$cache" | awk 'NR == 2 {print $4}') > 400)) || fail "less than 400 MB are free in $cache" "make room, or set XDG_CACHE_HOME to a larger disk"
  say "Building the SIP engine (PJSIP) for $tag on $arch: two minutes on a PC, ten on a Raspberry Pi, once. Log: $log"
  begin "build packages"; build_packages
  begin "source of PJSIP, from Debian"; obtain
  trust
  begin "unpacking"; unpack; judge
  headers=("-I$src/"{pjlib,pjlib-util,pjnath,pjmedia,pjsip}/include)
  begin "configuring PJSIP $version"; configure
  begin "generating the Python wrapper"; generate
  begin "compiling on $(nproc) cores (the long one)"; compile
  begin "linking and trying it"; link
  keep "$work"/out/*.whl
  rm -rf "$work"; work=''
}

main() {
  local cache python tag suffix include base pyversion arch wheel sources
  [[ $# == 1 && $1 != -* && -x $1 ]] || { sed -n '3,14s/^# \{0,1\}//p' "$0"; exit 2; }
  python=$1
  read -r tag suffix pyversion base include < <("$python" "$here/wheel.py" python) || { say "pjsua2.sh: $python is not the python of a virtual environment" >&2; exit 2; }
  [[ -z ${PJSUA2_TARBALL:-} || -r ${PJSUA2_TARBALL:-} ]] || { say "pjsua2.sh: no such file: PJSUA2_TARBALL=$PJSUA2_TARBALL" >&2; exit 2; }
  [[ -z ${PJSUA2_TARBALL:-} ]] || PJSUA2_TARBALL=$(realpath "$PJSUA2_TARBALL")
  [[ $python == /* ]] || python=$PWD/$python
  arch=$(uname -m)
  cache=${XDG_CACHE_HOME:-${HOME:?HOME or XDG_CACHE_HOME must be set}/.cache}/handset/pjsua2
  sources=$cache/source
  [[ $cache != *[[:space:]]* ]] || fail "PJSIP cannot be built in a folder with a space in its name: $cache" "set XDG_CACHE_HOME to another folder"
  if ! { mkdir -p "$sources" && exec 9>"$cache/.lock"; }; then fail "$cache cannot be written" "check its owner, or set XDG_CACHE_HOME"; fi
  flock -n 9 || { say "waiting for another build to end ($cache/.lock)"; flock 9; }
  rm -rf "$cache"/.build.* "$cache"/.part.* # of builds that were killed
  cache=$(cd "$cache" && pwd) sources=$cache/source # it may have been given as a relative path
  log=$cache/build.log
  cd / || exit 1
  say "pjsua2.sh $* ($(date))" >"$log"
  if cached; then
    install && return
    say "The kept build does not work here (a library it needs may be missing): building anew."
  fi
  build
  begin "installing"
  install || fail "the module could not be installed into $python" "see $log"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@" # cross.sh takes the functions
