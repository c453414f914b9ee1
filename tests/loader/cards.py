"""Small cards for the boot loader alone: our script, and two systems whose kernels start the board anew at once."""

import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from image import loader
from image.disk import LABEL, MIB

_FAT, _ROOT, _BEGIN = 33, 8, 4
SLOT_BYTES: Final = _ROOT * MIB
OFFSETS: Final = ((_BEGIN + _FAT) * MIB, (_BEGIN + _FAT + _ROOT) * MIB)
"""Where the slots begin, in bytes."""
_RESET: Final = (0x52800120, 0x72B08000, 0xD4000002, 0x14000000)
"""PSCI's SYSTEM_RESET in arm64: mov w0, #9; movk w0, #0x8400, lsl #16; hvc #0; b ."""


def kernel() -> bytes:
    """An arm64 image that resets the machine."""
    head = struct.pack("<IIQQQQQQII", 0x14000010, 0, 0, 0x10000, 0xA, 0, 0, 0, 0x644D5241, 0)
    return head + struct.pack("<4I", *_RESET) + bytes(4096)


def card(folder: Path, systems: str, copies: Sequence[bytes]) -> Path:
    """A card whose slots in `systems` ("A", "AB", "") have a kernel, with these copies of the variables."""
    log, image = folder / "card.log", folder / "card.img"
    loader.compile_script(folder / "boot.scr", 0, log)
    parts = [folder / "fat", folder / "A", folder / "B"]
    _empty(parts[0], _FAT)
    _run("mkfs.vfat", "-F", "32", parts[0])
    _run("mcopy", "-i", parts[0], folder / "boot.scr", "::/")
    for part in parts[1:]:
        _empty(part, _ROOT)
        if part.name in systems:
            tree = folder / f"tree-{part.name}"
            (tree / "boot").mkdir(parents=True)
            (tree / "boot" / "vmlinuz").write_bytes(kernel())
            (tree / "boot" / "initrd.img").write_bytes(bytes(512))
            _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, part)
    _empty(image, _BEGIN + _FAT + 2 * _ROOT + 1)
    starts = [_BEGIN, _BEGIN + _FAT, _BEGIN + _FAT + _ROOT]
    table = f"label: dos\nlabel-id: 0x{LABEL}\nunit: sectors\n\n"
    for start, size, kind in zip(starts, (_FAT, _ROOT, _ROOT), ("c, bootable", "83", "83"), strict=True):
        table += f"start={start * MIB // 512}, size={size * MIB // 512}, type={kind}\n"
    subprocess.run(["sfdisk", "--quiet", str(image)], input=table, text=True, check=True)
    for part, start in zip(parts, starts, strict=True):
        _run("dd", f"if={part}", f"of={image}", "bs=1M", f"seek={start}", "conv=notrunc", "status=none")
    loader.write_variables(image, copies)
    return image


_BOARD: Final = ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "512", "-display", "none")


def device_tree(folder: Path) -> Path:
    """The board's own device tree, with the overlay of our cards laid over it as the firmware of a Pi does."""
    plain, overlay, laid = folder / "virt.dtb", folder / "bootdelay.dtbo", folder / "laid.dtb"
    _run(*_BOARD, "-machine", f"dumpdtb={plain}")
    loader.compile_overlay(overlay, folder / "card.log")
    _run("fdtoverlay", "-i", plain, "-o", laid, overlay)
    return laid


def emulator(card: Path, words: str, log: Path, uboot: Path, tree: Path | None = None) -> Sequence[str]:
    """The command that boots the card. Its serial console goes to `log`; the socket `port` beside it is to type at."""
    port = f"socket,id=port,path={log.with_name('port')},server=on,wait=off,logfile={log}"
    return [
        *("nice", "-n", "19", *_BOARD, "-nic", "none"),
        *("-chardev", port, "-serial", "chardev:port"),
        *(("-dtb", str(tree)) if tree else ()),
        *("-bios", str(uboot), "-kernel", "/dev/null", "-append", words),
        *("-drive", f"file={card},if=none,id=card,format=raw", "-device", "virtio-blk-pci,drive=card"),
    ]


def variables(order: str, a: int, b: int) -> Mapping[str, str]:
    return {"BOOT_ORDER": order, "BOOT_A_LEFT": f"{a:x}", "BOOT_B_LEFT": f"{b:x}"}


def _empty(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size * MIB)


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
