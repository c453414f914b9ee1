"""An emulated board that boots the very image: QEMU's `virt`, with the part of the Pi's firmware played here.

    with Machine(image, folder) as box:
        box.ready()                                 # the control API answers
        box.shell("systemctl is-active handset")    # at the root shell that systemd offers for debugging

The image's file is copied, never written to. `pull_the_plug` ends the machine at once; `start` boots the card again.
"""

import base64
import itertools
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from image.disk import FIRST

CARD_BYTES: Final = 8 << 30
"""The card that the image is written to is larger than the image."""
BOOT_SECONDS: Final = float(os.environ.get("HANDSET_BOOT_SECONDS", "1800"))
"""Most that a boot may take; one takes 75 s on a quiet machine."""
PATIENT: Final = (
    "NetworkManager-dispatcher.service",
    "handset-firstboot.service",
    "handset-release.service",
    "handset.service",
)
"""Units that get more time than on a board: an emulated processor is twenty times slower, on a busy machine more."""
_PATIENCE: Final = b"[Service]\nTimeoutStartSec=infinity\nWatchdogSec=900\n"
_QUIET: Final = (
    b"stty -echo; bind 'set enable-bracketed-paste off'; export TERM=dumb SYSTEMD_COLORS=0 PS1= PS2=;"
    b" printf 'RE''ADY\\n'\n"
)
"""Has the shell say what commands say, and nothing else."""


class Machine:
    """`forwards` are ports of the box that are wanted here: (protocol, port) of the box to the port here."""

    def __init__(
        self, image: Path, folder: Path, *, forwards: dict[tuple[str, int], int], words: str = ""
    ) -> None:
        self.card = folder / "card.img"
        self._folder = folder
        self._forwards = forwards
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None
        self._shell: socket.socket | None = None
        self._numbers = itertools.count(1)
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(image), str(self.card)], check=True)
        with self.card.open("r+b") as file:
            file.truncate(CARD_BYTES)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pull_the_plug()

    @property
    def log(self) -> str:
        """What the serial console said since the last start."""
        path = self._folder / "serial.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def boot_file(self, name: str) -> bytes:
        """A file of the boot partition, read from the card. The machine must be off, or not write to it."""
        command = ["mtype", "-i", f"{self.card}@@{FIRST}M", f"::/{name}"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def put_boot_file(self, name: str, content: str) -> None:
        """Writes a file to the boot partition, as a person does with the card in a PC."""
        command = ["mcopy", "-o", "-i", f"{self.card}@@{FIRST}M", "-", f"::/{name}"]
        subprocess.run(command, check=True, input=content.encode())

    def start(self) -> None:
        """What the firmware does: reads config.txt and cmdline.txt, loads kernel and initramfs, starts the kernel."""
        config = self.boot_file("config.txt").decode()
        settings = dict(re.findall(r"(?m)^(\w+)[= ](\S+)", config))
        for name in (settings["kernel"], settings["initramfs"]):
            (self._folder / name).write_bytes(self.boot_file(name))
        words = self.boot_file("cmdline.txt").decode().split()
        words = [word for word in words if not word.startswith("console=") and word != "quiet"]
        # A shell for the tests; a watchdog that forgives an emulator on a busy machine.
        words += ["console=ttyAMA0", "systemd.debug_shell=1", "systemd.default_debug_tty=hvc0"]
        words += ["systemd.mask=serial-getty@hvc0.service"]  # two would read what one says
        words += ["systemd.watchdog_sec=600", *self._words.split()]
        patience = base64.b64encode(_PATIENCE).decode()
        words += [f"systemd.set_credential_binary=systemd.unit-dropin.{unit}:{patience}" for unit in PATIENT]
        (self._folder / "serial.log").unlink(missing_ok=True)
        shutil.rmtree(self._folder / "sockets", ignore_errors=True)
        (self._folder / "sockets").mkdir()
        command = self._command(settings["kernel"], settings["initramfs"], " ".join(words))
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _command(self, kernel: str, initramfs: str, words: str) -> list[str]:
        folder, sockets = self._folder, self._folder / "sockets"
        forwards = "".join(
            f",hostfwd={protocol}:127.0.0.1:{here}-:{port}"
            for (protocol, port), here in self._forwards.items()
        )
        return [
            *(
                "nice",
                "-n",
                "19",
                "qemu-system-aarch64",
                "-M",
                "virt",
                "-cpu",
                "cortex-a72",
                "-smp",
                "2",
                "-m",
                "1024",
            ),
            *("-display", "none", "-no-reboot", "-serial", f"file:{folder / 'serial.log'}"),
            *("-kernel", str(folder / kernel), "-initrd", str(folder / initramfs), "-append", words),
            *(
                "-drive",
                f"file={self.card},if=none,id=card,format=raw",
                "-device",
                "virtio-blk-pci,drive=card",
            ),
            *(
                "-netdev",
                f"user,id=net{forwards}",
                "-device",
                "virtio-net-pci,netdev=net",
                "-device",
                "i6300esb",
            ),
            *("-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"),
            *("-chardev", f"socket,id=shell,path={sockets / 'shell'},server=on,wait=off"),
            *("-qtest", f"unix:{sockets / 'qtest'},server=on,wait=off"),
            *("-monitor", f"unix:{sockets / 'monitor'},server=on,wait=off"),
        ]

    def pull_the_plug(self) -> None:
        """Ends the machine at once; what it had not written is lost."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def shut_down(self) -> None:
        """Switches it off as a person does who asks it to."""
        self.shell("systemctl poweroff --no-block")
        assert self._process is not None
        self._process.wait(BOOT_SECONDS)
        self.pull_the_plug()

    def port(self, protocol: str, port: int) -> int:
        """Where the box's port is here."""
        return self._forwards[protocol, port]

    def ready(self, port: int = 8765, path: str = "/live") -> float:
        """Waits until the control API answers; the seconds since the start of waiting."""
        began = time.monotonic()
        address = f"http://127.0.0.1:{self.port('tcp', port)}{path}"
        while time.monotonic() - began < BOOT_SECONDS:
            assert self._process is not None
            assert self._process.poll() is None, f"the machine ended:\n{self.log[-3000:]}"
            try:
                with urllib.request.urlopen(address, timeout=30) as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
                time.sleep(1.0)
        raise TimeoutError(f"nothing answers at {address}:\n{self.log[-3000:]}")

    def shell(self, command: str, *, seconds: float = 600.0, check: bool = True) -> str:
        """Runs a command as root in the box; what it printed. An exit code that is not 0 is an AssertionError."""
        number = next(self._numbers)
        self._connected(seconds).sendall(f"{command}\nprintf '\\nEND{number} %s\\n' $?\n".encode())
        said = self._read_to(re.compile(rf"\nEND{number} (\d+)\r?\n"), seconds).replace("\r", "")
        output, _, code = said.rpartition(f"\nEND{number} ")
        assert int(code) == 0 or not check, f"{command}: exit {code}{output}"
        return output.strip()

    def _connected(self, seconds: float) -> socket.socket:
        if self._shell is None:
            self._shell = socket.socket(socket.AF_UNIX)
            self._shell.connect(str(self._folder / "sockets" / "shell"))
            self._await_prompt(seconds)
        return self._shell

    def _await_prompt(self, seconds: float) -> None:
        """The shell may be there already, or come with the boot: asks until it answers."""
        assert self._shell is not None
        until = time.monotonic() + max(seconds, BOOT_SECONDS)
        self._shell.settimeout(5.0)
        heard = ""
        while time.monotonic() < until:
            self._shell.sendall(_QUIET)
            try:
                while "READY" not in heard:
                    heard += self._shell.recv(4096).decode(errors="replace")
                return
            except TimeoutError:
                continue
        raise TimeoutError(f"no shell:\n{self.log[-3000:]}")

    def _read_to(self, pattern: re.Pattern[str], seconds: float) -> str:
        assert self._shell is not None
        self._shell.settimeout(seconds)
        heard = ""
        while not pattern.search(heard):
            heard += self._shell.recv(65536).decode(errors="replace")
        return heard
