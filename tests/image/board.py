"""Emulated boards: what QEMU is told, and which words the kernel gets besides those of the card.

The processor of `virt` does a thousand million instructions a second by its own clock, about what the smallest Pi does,
however slow or busy this machine is (`-icount`): the box's clock goes slower then, and its deadlines mean what they do
on a board.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Forwards = Mapping[tuple[str, int], int]
"""Ports of the box that are wanted here: (protocol, port) of the box to the port here."""
UBOOT: Final = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
"""The boot loader for `virt`; that of the card is made for a Pi."""
HOST: Final = "10.0.2.2"
"""This machine, as the box sees it."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """What a board is started with: `kernel` is what the card's config.txt names, its boot loader.

    `folder` gets serial.log, and has `sockets/`: shell, qtest, monitor.
    """

    folder: Path
    card: Path
    kernel: Path
    words: str
    forwards: Forwards


@dataclass(frozen=True, slots=True)
class Board:
    """`tree` is the device tree's file on the card, empty where QEMU makes one; on `terminal` is the tests' shell."""

    words: str
    terminal: str
    tree: str
    command: Callable[[Plugged], list[str]]


def _common(plugged: Plugged) -> list[str]:
    sockets = plugged.folder / "sockets"
    return [
        *("-display", "none", "-no-reboot", "-qtest-log", "none"),
        *("-append", plugged.words),
        *("-chardev", f"socket,id=shell,path={sockets / 'shell'},server=on,wait=off"),
        *("-qtest", f"unix:{sockets / 'qtest'},server=on,wait=off"),
        *("-monitor", f"unix:{sockets / 'monitor'},server=on,wait=off"),
    ]


def _virt(plugged: Plugged) -> list[str]:
    forwards = "".join(
        f",hostfwd={protocol}:127.0.0.1:{here}-:{port}" for (protocol, port), here in plugged.forwards.items()
    )
    return [
        # With a firmware and ACPI, QEMU leaves out the chip that buttons and lights hang on.
        *("qemu-system-aarch64", "-M", "virt,acpi=off", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024"),
        *("-icount", "shift=0,sleep=on"),
        # With no kernel of QEMU's own, the words get into the device tree all the same, as the firmware does it.
        *("-bios", str(UBOOT), "-kernel", os.devnull),
        *_common(plugged),
        *("-serial", f"file:{plugged.folder / 'serial.log'}"),
        *("-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"),
        *("-drive", f"file={plugged.card},if=none,id=card,format=raw"),
        *("-device", "virtio-blk-pci,drive=card"),
        *("-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net"),
        *("-device", "i6300esb"),
    ]


def _raspi3b(plugged: Plugged) -> list[str]:
    return [
        *("qemu-system-aarch64", "-M", "raspi3b"),
        *_common(plugged),
        *("-kernel", str(plugged.kernel)),
        *("-dtb", str(plugged.folder / RASPI3B.tree)),
        # The first port, which the board has for Bluetooth, tells what the kernel says; the second is the header's.
        *("-serial", f"file:{plugged.folder / 'serial.log'}", "-serial", "chardev:shell"),
        *("-drive", f"file={plugged.card},if=sd,format=raw"),
    ]


VIRT: Final = Board("console=ttyAMA0 systemd.watchdog_sec=600", "hvc0", "", _virt)
RASPI3B: Final = Board(
    # The emulated watchdog resets at once instead of counting.
    "console=ttyAMA0,115200 systemd.watchdog_sec=0",
    "ttyS1",
    "bcm2837-rpi-3-b.dtb",
    _raspi3b,
)
