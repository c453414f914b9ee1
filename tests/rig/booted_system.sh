#!/usr/bin/env bash
# Puts a Debian with systemd and this checkout's release into the directory $1, from this machine's own Debian mirror. As root.
# The suite is the one whose Python .venv has: its packages are the release's.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$1
command -v mmdebstrap >/dev/null || { echo "mmdebstrap is needed: apt-get install mmdebstrap" >&2; exit 1; }
test "$(id -u)" = 0 || { echo "a system is made and started by root" >&2; exit 1; }
python=.venv/bin/python
version=$($python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
  3.11) suite=bookworm ;;
  3.13) suite=trixie ;;
  *) echo "no Debian has Python $version" >&2; exit 1 ;;
esac

if [ ! -e "$root/ready" ]; then
  sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u \
    | awk -v suite=$suite '$3 == "main" && $2 !~ /-/ { print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1, suite, $3 }' | sort -u)
  test -n "$sources" || { echo "apt knows no Debian mirror" >&2; exit 1; }
  rm -rf "$root" && mkdir -p "$root"
  packages=$(sed 's/#.*//; s/ *$//; /^$/d' provisioning/packages/device.txt | paste -sd,)
  nice mmdebstrap --variant=minbase --include="python3,systemd-sysv,dbus,udev,kmod,procps,curl,iproute2,$packages" \
    --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$root" - <<<"$sources" 2>"$root.log" || { tail -n 20 "$root.log" >&2; exit 1; }
  : >"$root/etc/machine-id"
  touch "$root/ready"
fi

# What lasts, and what an earlier run left, begins anew.
rm -rf "$root"/{usr/lib/handset,opt/handset,etc/handset,etc/credstore/handset.*,var/lib/handset,var/log/journal}
release=$root/usr/lib/handset/release
mkdir -p "$release/bin" "$root/usr/lib/systemd/system/handset.service.d"
cp -a "$($python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" "$release/site"
rm -rf "$release/site"/{systemd,__editable__*,handset-*,pip,setuptools,mypy,mypyc,ruff*,hypothesis,_pytest,pytest,elevenlabs,xdist}
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git ls-files -z --cached --others --exclude-standard -- appliance drivers provisioning pyproject.toml README.md LICENSE NOTICE | xargs -0 cp --parents -t "$source"
$python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation --target "$release/site" "$source"
install -m 755 provisioning/release/handset.sh "$release/bin/handset"
cp systemd/*.{service,path,timer} "$root/usr/lib/systemd/system/"
[ $suite = bookworm ] || cp systemd/handset.service.d/*.conf "$root/usr/lib/systemd/system/handset.service.d/"
cp systemd/sysusers.d/* "$root/usr/lib/sysusers.d/"
cp systemd/tmpfiles.d/* "$root/usr/lib/tmpfiles.d/"
cp systemd/80-handset.preset "$root/usr/lib/systemd/system-preset/"
ln -sfn /opt/handset/current/bin/handset "$root/usr/bin/handset"
systemctl --quiet --root="$root" enable handset.service handset-release.service handset-firstboot.service handset-reset.path
