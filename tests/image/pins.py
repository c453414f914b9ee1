"""The lines of an emulated board's GPIO chip (a PL061), from outside: what is pressed, and what is lit.

with Pins(box.sockets) as pins:
    pins.drive(4, True)         # as a button does
    pins.level(1)               # what the box drives
"""

import contextlib
import re
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

CHIP: Final = re.compile(r"/(device\[\d+\]) \(pl061\)")
_SECONDS: Final = 120.0


class Pins:
    """One at a time, for as long as the machine runs: QEMU reports outputs to one listener."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._heard = ""
        self._levels: dict[int, bool] = {}
        self.edges: list[tuple[float, int, bool]] = []
        """When which line went where, by this machine's clock."""

    def __enter__(self) -> Self:
        self._chip = f"/machine/unattached/{_chip(self._sockets / 'monitor')}"
        self._link = socket.socket(socket.AF_UNIX)
        self._link.connect(str(self._sockets / "qtest"))
        self._ask(f"irq_intercept_out {self._chip}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()

    def drive(self, line: int, high: bool) -> None:
        """Sets an input of the box, which stays so."""
        self._ask(f"set_irq_in {self._chip} unnamed-gpio-in {line} {int(high)}")

    def level(self, line: int) -> bool:
        """What the box drives; low where it never said."""
        self._link.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            while True:
                self._line()
        return self._levels.get(line, False)

    def _ask(self, command: str) -> None:
        self._link.settimeout(_SECONDS)
        self._link.sendall(command.encode() + b"\n")
        while (answer := self._line()) != "OK":
            assert not answer.startswith(("FAIL", "ERR")), f"{command}: {answer}"

    def _line(self) -> str:
        """The next line of QEMU's; what it tells of outputs is kept on the way."""
        while "\n" not in self._heard:
            self._heard += self._link.recv(65536).decode()
        line, _, self._heard = self._heard.partition("\n")
        if told := re.fullmatch(r"IRQ (raise|lower) (\d+)", line):
            self._levels[int(told[2])] = told[1] == "raise"
            self.edges.append((time.monotonic(), int(told[2]), told[1] == "raise"))
        return line


def _chip(monitor: Path) -> str:
    """Which of the machine's devices the chip is: a wrong one would end QEMU."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(monitor))
        link.settimeout(_SECONDS)
        link.sendall(b"info qom-tree\n")
        said = ""
        while "(pl061)" not in said or not said.rstrip().endswith("(qemu)"):
            said += link.recv(65536).decode(errors="replace")
    (chip,) = CHIP.findall(said)
    return str(chip)
