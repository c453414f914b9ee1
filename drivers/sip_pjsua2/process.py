# SPDX-License-Identifier: Apache-2.0
"""The SIP process as Handset holds it: started, spoken to without ever waiting, and ended for certain."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, cast

from drivers.sip_pjsua2 import wire

MAX_WAITING: Final = 512
MAX_BATCH: Final = 64
LAST_WORDS: Final = 40
GAVE_UP: Final = 5
"""The exit status of a process that nobody asked to end: Handset had said nothing, or read nothing, for too long."""
GROUP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal or a service manager sends to all processes of a group: Handset alone decides what they mean."""
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_ROOT: Final = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def _deaf_to(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """What is started here is born with them blocked: it takes a while until it can say itself that it ignores them.

    Only this thread is deaf to them meanwhile, so Handset still hears them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def command(*arguments: str) -> tuple[list[str], dict[str, str]]:
    """Argument list and environment of a SIP process: neither ever holds a secret."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = str(_ROOT)
    return [sys.executable, "-m", "drivers.sip_pjsua2.child", *arguments], environment


class ChildProcess:
    """One run of the SIP process. `send*` from any thread; the rest belongs to the thread that made it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        ours.setblocking(False)
        arguments, environment = command(str(theirs.fileno()))
        try:
            with _deaf_to(GROUP_SIGNALS):
                self._process = subprocess.Popen(  # our own module, no shell
                    arguments,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=environment,
                    cwd=_ROOT,
                )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self.last_words: deque[str] = deque(maxlen=LAST_WORDS)
        self.malformed = 0
        self.closed = False
        self._partial = b""
        self._stderr = cast("IO[bytes]", self._process.stderr)
        os.set_blocking(self._stderr.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(ours, selectors.EVENT_READ)
        self._selector.register(self._stderr, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, body: Mapping[str, Any]) -> bool:
        """Queue a control message and send what goes; False when the process has not read for long."""
        packet = wire.encode_control(body)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append(packet)
            while self._waiting and self._send(self._waiting[0]):
                self._waiting.popleft()
        return True

    def send_audio(self, call: int, stream: int, seq: int, pcm: bytes) -> bool:
        """Send now, or drop: False."""
        return self._send(wire.encode_audio(call, stream, seq, time.monotonic_ns(), pcm))

    def _send(self, packet: bytes) -> bool:
        try:
            self._socket.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            # Full, or the process is gone; the reading side notices the latter.
            return False
        return True

    def wait(self, seconds: float) -> list[wire.Control | wire.Audio]:
        """What the process says, at most `MAX_BATCH` messages; sets `closed` once it has gone."""
        messages: list[wire.Control | wire.Audio] = []
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._socket:
                self._read(messages)
            else:
                self._listen()
        return messages

    def _read(self, messages: list[wire.Control | wire.Audio]) -> None:
        for _ in range(MAX_BATCH):
            try:
                packet = self._socket.recv(wire.MAX_PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.closed = True
                return
            try:
                messages.append(wire.decode(packet))
            except wire.Malformed:
                self.malformed += 1

    def _listen(self) -> None:
        text = self._stderr.read(65_536)
        if not text:
            if text == b"":
                self._selector.unregister(self._stderr)
            return
        *lines, self._partial = (self._partial + text).split(b"\n")
        self._partial = self._partial[:4096]
        self.last_words.extend(line.decode("utf-8", "replace")[:400] for line in lines)

    def end(self, grace: float) -> int:
        """Close the socket, wait `grace` seconds for the exit, then kill; return the exit status. Idempotent."""
        self.closed = True
        self._socket.close()
        try:
            status = self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait(5.0)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._listen()
        self._selector.close()
        self._stderr.close()
        return status
