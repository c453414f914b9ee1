#!/usr/bin/env bash
# Puts into this checkout what Handset needs, says so beforehand, and does it once:
#
#   provisioning/setup.sh run     Debian packages, .venv with the locked runtime, the SIP library
#   provisioning/setup.sh check   and the tools that check the code
#   provisioning/setup.sh test    and the servers and phones that the tests run against
#   provisioning/setup.sh image   and what an SD image is built and booted with
#   provisioning/setup.sh pjsua2  the SIP library, compiled from source, also where a wheel would do
#
# PYTHON=/path/to/python3 takes another Python; HANDSET_PACKAGES=skip leaves the Debian packages to you.
set -euo pipefail
cd "$(dirname "$0")/.."

goal=${1:-run}
python=${PYTHON:-python3}
venv=.venv
pjsua2=drivers/sip_pjsua2/build
lists=(provisioning/packages/{device,build}.txt)
locks=(requirements.txt)

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

case $goal in
  run | pjsua2) ;;
  check) locks=(requirements-dev.txt) ;;
  test) locks=(requirements-dev.txt) lists+=(provisioning/packages/test.txt) ;;
  image) locks=(requirements-dev.txt) lists+=(provisioning/packages/{test,image}.txt) ;;
  *) fail "no such goal: $goal" "use: provisioning/setup.sh run|check|test|image|pjsua2" ;;
esac

# The Python of .venv stays in use until it is gone or PYTHON names another.
find_python() {
  local remedy="On Debian 12 or newer: apt-get install python3. Or name one: PYTHON=/path/to/python3.11 make ..."
  local probe='import platform, sys; print("%d.%d" % sys.version_info[:2], platform.machine(), sys.base_prefix)'
  facts=$([ -z "${PYTHON:-}" ] && "$venv/bin/python" -c "$probe" 2>/dev/null) || facts=$("$python" -c "$probe") ||
    fail "$python does not run; Python 3.11 or newer is needed." "$remedy"
  read -r version machine prefix <<<"$facts"
  case $version in
    3.11 | 3.12 | 3.13) ;;
    *) fail "Python 3.11, 3.12 or 3.13 is needed: the locked packages serve these. $python is $version." "$remedy" ;;
  esac
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Names in the lists $@ that are not installed.
missing_packages() {
  local name _
  cat "$@" | while read -r name _; do
    case $name in '' | '#'*) continue ;; esac
    case $name in python3-*) [ "$prefix" = /usr ] || continue ;; esac
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
  done
}

have_candidates() {
  local name
  for name; do apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]' || return 1; done
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"; }

# Installs what is missing of the lists $@. Starts no service, removes nothing.
install_packages() {
  [ "${HANDSET_PACKAGES:-}" != skip ] || return 0
  command -v apt-get dpkg-query >/dev/null ||
    fail "This is no Debian: install the equivalents of what stands in: $*" "then say HANDSET_PACKAGES=skip make ..."
  local names command policy=/usr/sbin/policy-rc.d
  mapfile -t names < <(missing_packages "$@")
  ((${#names[@]})) || return 0
  command="apt-get install --no-install-recommends ${names[*]}"
  say "these Debian packages will be installed:"
  grep -hE "^($(IFS='|'; echo "${names[*]//+/\\+}"))[[:space:]]" "$@" | sed 's/^/  /'
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "This takes root, and there is no sudo. As root: $command" "then try again."
    [ -t 0 ] || sudo -n true 2>/dev/null || fail "This takes root, and sudo asks for a password. First: sudo $command" "then try again."
  fi
  have_candidates "${names[@]}" || apt update || say "apt-get update had trouble, see above; trying all the same"
  if [ ! -e "$policy" ]; then # Debian's own switch against starting services
    # shellcheck disable=SC2064
    trap "as_root rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  apt install --yes --no-remove --no-install-recommends "${names[@]}" ||
    { apt update && apt install --yes --no-remove --no-install-recommends "${names[@]}"; } ||
    fail "the packages could not be installed. To see why: $command"
  for name in kamailio coturn mosquitto; do # they would take ports 5060, 3478 and 1883 at the next start of the machine
    case " ${names[*]} " in *" $name "*) as_root update-rc.d "$name" disable ;; esac
  done
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input -qq "$@"; }

uv() { "$venv/bin/uv" --quiet --system-certs pip install --python "$venv/bin/python" "$@"; }

make_venv() {
  local made_here=$PWD/$venv # its programs name this folder
  if ! grep -q "^command = .* $made_here\$" "$venv/pyvenv.cfg" 2>/dev/null || ! "$venv/bin/python" -c "
import sys; sys.exit(['%d.%d' % sys.version_info[:2], sys.base_prefix] != sys.argv[1:])" "$version" "$prefix" 2>/dev/null; then
    say "making $venv with Python $version"
    "$python" -m venv --clear "$venv" || fail "$python cannot make $venv. On Debian: apt-get install python3-venv"
  fi
  say "installing the locked Python packages"
  install_fast || { say "uv could not, see above; pip tries" && install_as_ever; } ||
    fail "the Python packages could not be installed; the lines above say why."
}

# By uv, in a fifth of pip's time. It knows the index that pip is told, and no more of pip's settings: what it cannot do, pip does.
install_fast() {
  local index
  pip install --require-hashes -r requirements-install.txt || return 1
  index=${PIP_INDEX_URL:-$(pip config get global.index-url 2>/dev/null)} && export UV_DEFAULT_INDEX=$index
  uv --require-hashes -r requirements-build.txt &&
    uv --require-hashes --no-build-isolation "${locks[@]/#/-r}" &&
    uv --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
}

# What is imported is compiled then: to compile all of it would take as long as the rest.
install_as_ever() {
  pip install --require-hashes -r requirements-build.txt &&
    pip install --no-compile --require-hashes --no-build-isolation "${locks[@]/#/-r}" &&
    pip install --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
}

# systemd's Python module has no wheel: Debian's is taken, where it was made for this Python.
link_systemd() {
  local module
  module=$("$venv/bin/python" -c 'import sysconfig; print("/usr/lib/python3/dist-packages/systemd/_daemon" + sysconfig.get_config_var("EXT_SUFFIX"))')
  [ ! -e "$module" ] || ln -sfn "${module%/*}" "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/systemd"
}

# pjsua2: a wheel is good enough for development, where there is one; else it is compiled.
install_pjsua2() {
  local own=
  "$venv/bin/python" -c 'import pjsua2' 2>/dev/null && ! pip show pjsua2-python >/dev/null 2>&1 && own=yes
  if [ "$goal" != pjsua2 ] && [ "$machine" = x86_64 ] && [ "$version" != 3.13 ]; then
    [ -n "$own" ] || uv --require-hashes -r requirements-pjsua2.txt || pip install --require-hashes -r requirements-pjsua2.txt ||
      fail "pjsua2 could not be installed."
    return
  fi
  [ -x "$pjsua2/pjsua2.sh" ] || fail "$pjsua2/pjsua2.sh is missing: this checkout is not whole."
  [ -n "$own" ] || pip uninstall --yes pjsua2-python
  "$pjsua2/pjsua2.sh" "$venv/bin/python" || fail "pjsua2 could not be compiled; the lines above say why."
}

mkdir -p .cache
exec 9>.cache/setup.lock
flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }
find_python
state=$({ echo "$PWD $facts"; cat "$0" pyproject.toml "${lists[@]}" "${locks[@]}" requirements-{build,install,pjsua2}.txt; } | sha256sum)
stamp=$venv/.setup-$goal
[ "$goal" = pjsua2 ] || [ ! -e "$stamp" ] || [ "$(<"$stamp")" != "$state" ] || exit 0
install_packages "${lists[@]}"
make_venv
link_systemd
install_pjsua2
echo "$state" >"$stamp"
say "ready for: make $goal"
