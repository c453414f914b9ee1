"""The root shell of a box that is tested, over a socket: systemd's debug shell on a console of its own."""

import base64
import itertools
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_QUIET: Final = (
    b"stty -echo; bind 'set enable-bracketed-paste off'; export TERM=dumb SYSTEMD_COLORS=0 PS1= PS2=;"
    b" printf 'RE''ADY\\n'\n"
)
"""Has the shell say what commands say, and nothing else."""
_LINE: Final = 3000
"""A terminal takes no line of more than 4096 characters."""
_LISTENS_SECONDS: Final = 60.0


class Console:
    """One for each start of the box. Nothing is typed until the kernel has `started`: it would stop the boot loader."""

    def __init__(self, path: Path, boot_seconds: float, started: Callable[[], bool]) -> None:
        self._path = path
        self._started = started
        self._boot_seconds = boot_seconds
        self._socket: socket.socket | None = None
        self._numbers = itertools.count(1)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def run(self, command: str, *, seconds: float = 600.0, check: bool = True) -> str:
        """What it printed, without blanks around it. An exit code that is not 0 is an AssertionError."""
        number = next(self._numbers)
        self._connected().sendall(f"{command}\nprintf '\\nEND{number} %s\\n' $?\n".encode())
        said = self._read_to(re.compile(rf"\nEND{number} (\d+)\r?\n"), seconds, command).replace("\r", "")
        output, _, code = said.rpartition(f"\nEND{number} ")
        assert int(code) == 0 or not check, f"{command}: exit {code}{output}"
        return output.strip()

    def put(self, path: str, content: bytes) -> None:
        """Writes a small file in the box."""
        text = base64.b64encode(content).decode()
        self.run(f": > {path}.b64")
        for begin in range(0, len(text), _LINE):
            self.run(f"printf %s {text[begin : begin + _LINE]} >> {path}.b64")
        self.run(f"base64 -d < {path}.b64 > {path}; rm {path}.b64")

    def get(self, path: str) -> bytes:
        """A file of the box."""
        return base64.b64decode(self.run(f"base64 -w 0 {path}; echo"))

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._connect()
            self._await_prompt()
        return self._socket

    def _connect(self) -> socket.socket:
        """The emulator begins to listen some moments after its start."""
        until = time.monotonic() + _LISTENS_SECONDS
        while True:
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                link.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return link

    def _await_prompt(self) -> None:
        """The shell may be there already, or come with the boot: asks until it answers.

        Reads all the time: a console that nobody reads from stops the emulator after some hundred characters.
        """
        assert self._socket is not None
        until = time.monotonic() + self._boot_seconds
        self._socket.settimeout(5.0)
        heard = ""
        while time.monotonic() < until:
            if self._started():
                self._socket.sendall(_QUIET)
            try:
                while "READY" not in heard:
                    received = self._socket.recv(4096)
                    if not received:
                        raise ConnectionError(
                            f"the box ended before there was a shell; it said {heard[-2000:]}"
                        )
                    heard += received.decode(errors="replace")
                return
            except TimeoutError:
                continue
        raise TimeoutError(f"no shell within {self._boot_seconds:.0f} s; it said {heard[-2000:]}")

    def _read_to(self, pattern: re.Pattern[str], seconds: float, command: str) -> str:
        assert self._socket is not None
        until, heard = time.monotonic() + seconds, ""
        while not pattern.search(heard[-200:]):
            self._socket.settimeout(max(0.1, until - time.monotonic()))
            try:
                received = self._socket.recv(65536)
            except TimeoutError:
                raise TimeoutError(
                    f"{command}: not done within {seconds:.0f} s; it said {heard[-2000:]}"
                ) from None
            if not received:
                raise ConnectionError(f"{command}: the box ended meanwhile; it said {heard[-2000:]}")
            heard += received.decode(errors="replace")
        return heard
