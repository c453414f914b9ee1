#!/usr/bin/env bash
# Runs "${@:3}" beside a real NetworkManager (root directory $1), which has a network eth0 with a DHCP server that is given the option $2.
# To be started by: unshare --net --mount --pid --fork --kill-child --propagation private.
set -euo pipefail
root=$1 option=$2
mount -t tmpfs tmpfs /run && mkdir -p /run/netns
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys" # read-only: without udev, as in a container
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run" && mkdir -p "$root"/run/{dbus,NetworkManager}
test -s "$root/etc/machine-id" || tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
ip link set lo up
ip link add eth0 type veth peer name srv0
ip netns add srv && ip link set srv0 netns srv
ip netns exec srv ip addr add 10.99.0.1/24 dev srv0 && ip netns exec srv ip link set srv0 up
ip netns exec srv chroot "$root" dnsmasq --no-daemon --port=0 --interface=srv0 --dhcp-range=10.99.0.10,10.99.0.20,1h "--dhcp-option=$option" &>/dev/null &
chroot "$root" dbus-daemon --system --fork
chroot "$root" NetworkManager --no-daemon &>"$root.NetworkManager.log" &
for _ in $(seq 240); do
  chroot "$root" nmcli -t -f STATE general 2>/dev/null | grep -q '^connected' && break
  sleep 0.25
done
"${@:3}"
