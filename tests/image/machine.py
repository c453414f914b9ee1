"""An emulated board that boots the very image, with the part of the Pi's firmware played here.

    with Machine(image, folder, forwards={}) as box:
        box.ready()                                 # the control API answers
        box.shell("systemctl is-active handset")    # at the root shell that systemd offers for debugging

The image's file is copied, never written to. `pull_the_plug` ends the machine at once; `start` boots the card again.
"""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from image.disk import FIRST, SECTOR
from tests.image.board import VIRT, Board, Forwards, Plugged
from tests.image.console import Console

CARD_BYTES: Final = 8 << 30
"""The card that the image is written to is larger than the image."""
BOOT_SECONDS: Final = float(os.environ.get("HANDSET_BOOT_SECONDS", "2400"))
"""Most that a boot may take, by this machine's clock; one takes two to three minutes on a quiet machine."""


class Machine:
    """`forwards` are ports of the box that are wanted here; `words` more words for the kernel."""

    def __init__(
        self, image: Path, folder: Path, *, forwards: Forwards, words: str = "", board: Board = VIRT
    ) -> None:
        self.card = folder / "card.img"
        self.folder = folder
        self._board = board
        self._forwards = forwards
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None
        self._console: Console | None = None
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
        path = self.folder / "serial.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def sockets(self) -> Path:
        """Where QEMU listens: `qtest`, `monitor`."""
        return self.folder / "sockets"

    def boot_file(self, name: str) -> bytes:
        """A file of the boot partition, read from the card. The machine must be off, or not write to it."""
        command = ["mtype", "-i", f"{self.card}@@{FIRST}M", f"::/{name}"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def put_boot_file(self, name: str, content: str) -> None:
        """Writes a file to the boot partition, as a person does with the card in a PC."""
        command = ["mcopy", "-o", "-i", f"{self.card}@@{FIRST}M", "-", f"::/{name}"]
        subprocess.run(command, check=True, input=content.encode())

    def data_faults(self) -> str:
        """What is wrong with the file system of the data partition; the machine must be off. Changes nothing."""
        table = json.loads(subprocess.check_output(["sfdisk", "--json", str(self.card)]))["partitiontable"]
        begins = table["partitions"][3]["start"] * SECTOR
        command = ["e2fsck", "-fn", f"{self.card}?offset={begins}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def start(self) -> None:
        """What the firmware does: reads config.txt and cmdline.txt, starts what they name: the boot loader."""
        config = self.boot_file("config.txt").decode()
        settings = dict(re.findall(r"(?m)^(\w+)[= ](\S+)", config))
        kernel = settings["kernel"]
        (self.folder / kernel).write_bytes(self.boot_file(kernel))
        if self._board.tree:
            self._lay_out_tree(re.findall(r"(?m)^dtoverlay=(\w+)$", config))
        (self.folder / "serial.log").unlink(missing_ok=True)
        shutil.rmtree(self.sockets, ignore_errors=True)
        self.sockets.mkdir()
        plugged = Plugged(
            *(self.folder, self.card, self.folder / kernel),
            self._kernel_words(),
            self._forwards,
        )
        command = self._board.command(plugged)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._console = Console(self.sockets / "shell", BOOT_SECONDS, lambda: "Linux version" in self.log)

    def _lay_out_tree(self, overlays: Sequence[str]) -> None:
        """Writes the board's device tree with the overlays that config.txt names laid over it."""
        tree = self.folder / self._board.tree
        tree.write_bytes(self.boot_file(self._board.tree))
        for name in overlays:
            overlay = self.folder / f"{name}.dtbo"
            overlay.write_bytes(self.boot_file(f"overlays/{name}.dtbo"))
            subprocess.run(["fdtoverlay", "-i", tree, "-o", tree, overlay], check=True)

    def _kernel_words(self) -> str:
        """Those of the card, but for its consoles; and a shell for the tests, which nobody else reads from."""
        words = self.boot_file("cmdline.txt").decode().split()
        words = [word for word in words if not word.startswith("console=") and word != "quiet"]
        terminal = self._board.terminal
        words += ["systemd.debug_shell=1", f"systemd.default_debug_tty={terminal}"]
        words += [f"systemd.mask=serial-getty@{terminal}.service"]
        return " ".join((*words, self._board.words, self._words))

    def pull_the_plug(self) -> None:
        """Ends the machine at once; what it had not written is lost."""
        if self._console is not None:
            self._console.close()
            self._console = None
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

    def restarts(self, seconds: float) -> None:
        """Waits until the box begins to start anew by itself, and lets it."""
        assert self._process is not None
        self._process.wait(seconds)
        self.pull_the_plug()
        self.start()

    def port(self, protocol: str, port: int) -> int:
        """Where the box's port is here."""
        return self._forwards[protocol, port]

    def ready(self, port: int = 8765, path: str = "/live") -> float:
        """Waits until the control API answers; the seconds since the start of waiting."""
        began = time.monotonic()
        address = f"http://127.0.0.1:{self.port('tcp', port)}{path}"
        while time.monotonic() - began < BOOT_SECONDS:
            self._must_run()
            try:
                with urllib.request.urlopen(address, timeout=30) as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
                time.sleep(1.0)
        raise TimeoutError(f"nothing answers at {address} within {BOOT_SECONDS:.0f} s:\n{self.log[-3000:]}")

    def _must_run(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"the machine ended:\n{self.log[-3000:]}"

    @property
    def console(self) -> Console:
        assert self._console is not None, "the machine is off"
        return self._console

    def shell(self, command: str, *, seconds: float = 600.0, check: bool = True) -> str:
        """Runs a command as root in the box; what it printed. An exit code that is not 0 is an AssertionError."""
        return self.console.run(command, seconds=seconds, check=check)

    def until(self, true: Callable[[], object], what: str, *, seconds: float = 900.0) -> None:
        """Waits for it, in seconds of this machine's clock; tells the service's log where it does not come."""
        deadline = time.monotonic() + seconds
        while not true():
            self._must_run()
            if time.monotonic() > deadline:
                said = self.shell("journalctl --no-pager -n 60", check=False)
                raise TimeoutError(f"not within {seconds:.0f} s: {what}\n{said}")
            time.sleep(1.0)

    def uptime(self) -> float:
        """Seconds since the kernel started, by the box's clock."""
        return float(self.shell("cut -d ' ' -f 1 /proc/uptime"))

    def local_time(self) -> float:
        """What the box's clock says to people there, as a time of this machine's zone."""
        return datetime.fromisoformat(self.shell("date +%FT%T")).timestamp()
