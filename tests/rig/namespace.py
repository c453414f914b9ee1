"""A network of its own for the SIP process of a test: a cable to this machine, whose far end may get another address.

with Namespace() as there:
    with there.inside(): ...          # processes of Python that start now live there
    there.host                        # the address of this machine, as seen from there
    there.move()                      # the next address; there.address

with Namespace(nat=True) as there: ...  # behind a router that masquerades: this machine sees only the router
"""

import contextlib
import itertools
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_numbers = itertools.count()


def namespaces_missing() -> str:
    """Why there can be no namespaces here; empty where there can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if shutil.which("ip") is None:
        return "not installed: iproute2"
    done = subprocess.run(["ip", "netns", "add", "handset-try"], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "del", "handset-try"], check=False, capture_output=True)
    return "" if done.returncode == 0 else "this machine lets nobody make network namespaces"


def nat_missing() -> str:
    """The same of a router that masquerades."""
    return namespaces_missing() or ("" if shutil.which("iptables") else "not installed: iptables")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Namespace:
    """Its networks are taken from 10.64.0.0/10 by process and number: several may be side by side."""

    def __init__(self, *, nat: bool = False, same_ports: bool = False) -> None:
        number = next(_numbers)
        self._nat = nat
        self._same_ports = same_ports
        self._name = f"handset-{os.getpid()}-{number}"
        self._outer = f"10.{64 + os.getpid() % 64}.{(os.getpid() // 64 * 4 + number) % 256}"
        self._inner = "192.168.77"
        self._cable = f"hs{os.getpid() % 100_000}x{number}"
        self._wrapper = Path(tempfile.mkdtemp(prefix="handset-namespace-")) / "python"
        self._last = 2
        self.host = f"{self._outer}.1"

    @property
    def address(self) -> str:
        """The one inside, without NAT the one that this machine sees."""
        return f"{self._inner if self._nat else self._outer}.{self._last}"

    @property
    def seen(self) -> str:
        """The address that this machine sees."""
        return f"{self._outer}.2" if self._nat else self.address

    def __enter__(self) -> Self:
        edge = f"{self._name}-router" if self._nat else self._name
        _ip("netns", "add", edge)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "out", "netns", edge)
        _ip("addr", "add", f"{self.host}/24", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        self._plug(edge, "out", f"{self._outer}.2", self.host)
        if self._nat:
            self._route(edge)
        python = f'#!/bin/sh\nexec ip netns exec {self._name} {sys.executable} "$@"\n'
        self._wrapper.write_text(python)
        self._wrapper.chmod(self._wrapper.stat().st_mode | stat.S_IXUSR)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in (self._name, f"{self._name}-router"):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._cable], check=False, capture_output=True)
        shutil.rmtree(self._wrapper.parent)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Whoever starts Python by `sys.executable` meanwhile starts it there."""
        ours, sys.executable = sys.executable, str(self._wrapper)
        try:
            yield
        finally:
            sys.executable = ours

    def unplug(self) -> None:
        """The address and the route go."""
        _ip("-n", self._name, "addr", "flush", "dev", self._device)

    def move(self) -> None:
        """Another address comes, and the old one goes."""
        self.unplug()
        self._last += 1
        self._plug(self._name, self._device, self.address, self._gateway)

    @property
    def _device(self) -> str:
        return "in" if self._nat else "out"

    @property
    def _gateway(self) -> str:
        return f"{self._inner}.1" if self._nat else self.host

    def _plug(self, name: str, device: str, address: str, gateway: str) -> None:
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
        _ip("-n", name, "link", "set", device, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "route", "replace", "default", "via", gateway)

    def _route(self, edge: str) -> None:
        """Inside behind `edge`, which masquerades."""
        _ip("netns", "add", self._name)
        _ip("-n", edge, "link", "add", "lan", "type", "veth", "peer", "name", "in", "netns", self._name)
        _ip("-n", edge, "addr", "add", f"{self._gateway}/24", "dev", "lan")
        _ip("-n", edge, "link", "set", "lan", "up")
        self._plug(self._name, "in", self.address, self._gateway)
        within = ["ip", "netns", "exec", edge]
        subprocess.run([*within, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True, capture_output=True)
        masquerade = [*within, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "out"]
        if not self._same_ports:
            ports = ["-j", "MASQUERADE", "--to-ports", "20000-29999", "--random"]
            subprocess.run([*masquerade, "-p", "udp", *ports], check=True, capture_output=True)
        subprocess.run([*masquerade, "-j", "MASQUERADE"], check=True, capture_output=True)
        # What nobody asked for is dropped, and leaves no trace by which another port would be made up.
        unasked = [*within, "iptables", "-A", "INPUT", "-i", "out", "-p", "udp", "-j", "DROP"]
        subprocess.run(unasked, check=True, capture_output=True)
