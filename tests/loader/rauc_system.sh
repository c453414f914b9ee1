#!/bin/sh
# Runs "$@" where this machine looks like an appliance that runs from slot $SLOT of the card image $CARD: RAUC's service on a bus of its own, with
# our settings, handlers and verbs, in a mount namespace; systemctl and systemd-run are stand-ins that write down what they are asked. As root.
#   rauc_system.sh FOLDER CHECKOUT COMMAND...     environment: CARD, SLOT, VERSION, OFFSET_A, OFFSET_B, SLOT_BYTES
set -eu
if [ "${INSIDE:-}" != yes ]; then
  INSIDE=yes exec unshare --mount --propagation private "$0" "$@"
fi
folder=$1 checkout=$2
shift 2
mkdir -p "$folder/opt" "$folder/bin"
for place in /etc /usr/lib /opt; do
  mkdir -p "$folder/upper$place" "$folder/work$place"
  mount -t overlay overlay -o "lowerdir=$place,upperdir=$folder/upper$place,workdir=$folder/work$place" "$place"
done
mkdir -p /opt/handset /etc/rauc /usr/lib/handset/release/bin
mount --bind "$folder/opt" /opt/handset
cp "$checkout"/image/overlay/update/usr/lib/handset/slot-* /usr/lib/handset/
printf '#!/bin/sh\nexec "%s/.venv/bin/python" -m appliance.cli "$@"\n' "$checkout" >/usr/lib/handset/release/bin/handset
chmod 755 /usr/lib/handset/release/bin/handset
ln -sfn /usr/lib/handset/release /opt/handset/current
sed -i '/^IMAGE_VERSION=/d' /usr/lib/os-release
printf 'IMAGE_VERSION="%s"\n' "$VERSION" >>/usr/lib/os-release
printf 'ro quiet rauc.slot=%s\n' "$SLOT" >"$folder/cmdline"
mount --bind "$folder/cmdline" /proc/cmdline
printf '%s\n' "$BOOT" >"$folder/boot_id"
mount --bind "$folder/boot_id" /proc/sys/kernel/random/boot_id

printf '#!/bin/sh\necho "$0 $*" >>"%s/asked"\ncase $1 in show) printf "ActiveState=active\\nNRestarts=0\\nMainPID=1\\n" ;; esac\n' "$folder" >"$folder/bin/systemctl"
cp "$folder/bin/systemctl" "$folder/bin/systemd-run"
chmod 755 "$folder"/bin/*
export PATH="$folder/bin:$PATH"

a=$(losetup --find --show --offset "$OFFSET_A" --sizelimit "$SLOT_BYTES" "$CARD")
trap 'losetup -d "$a"' EXIT
b=$(losetup --find --show --offset "$OFFSET_B" --sizelimit "$SLOT_BYTES" "$CARD")
trap 'losetup -d "$a" "$b"' EXIT
cp "$folder/keyring.pem" /etc/rauc/keyring.pem
sed "s#^/dev/handset-card#$CARD#" "$checkout/image/overlay/update/etc/fw_env.config" >/etc/fw_env.config
# This kernel may have no dm-verity, and Debian's RAUC here be older than the image's.
sed -e "s#/dev/disk/by-partuuid/48414e44-02#$a#; s#/dev/disk/by-partuuid/48414e44-03#$b#" \
  -e 's/^bundle-formats=.*/bundle-formats=plain verity/' -e "s#^data-directory=.*#statusfile=$folder/status.raucs#" \
  "$checkout/image/overlay/update/etc/rauc/system.conf" >/etc/rauc/system.conf
printf '<busconfig><type>session</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>\n' "$folder" >"$folder/bus.conf"
export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$folder/bus"
dbus-daemon --config-file="$folder/bus.conf" --nofork --nopidfile &
bus=$!
sleep 1
rauc service >"$folder/rauc.log" 2>&1 &
service=$!
sleep 1
status=0
"$@" || status=$?
kill $service $bus || true
wait || true
umount /run/rauc/bundle 2>/dev/null || true
sync
exit $status
