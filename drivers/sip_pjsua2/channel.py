# SPDX-License-Identifier: Apache-2.0
"""The SIP process's end of the socket to Handset. Any thread may send; one thread receives."""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from drivers.sip_pjsua2 import wire

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 1024


class Channel:
    """Sends never block: audio that does not fit is dropped and counted, control waits in a bounded queue."""

    def __init__(self, connection: socket.socket, on_audio: Callable[[wire.Audio], None]) -> None:
        self._socket = connection
        self._on_audio = on_audio
        self._waiting: deque[bytes] = deque()
        self._commands: deque[Mapping[str, Any]] = deque()
        self.closed = threading.Event()
        self.heard_at = time.monotonic()
        self.audio_dropped = 0
        self.malformed = 0
        self._receiver = threading.Thread(target=self._receive, name="socket", daemon=True)

    def start(self) -> None:
        self._receiver.start()

    def commands(self) -> list[Mapping[str, Any]]:
        """Main thread: the commands that arrived since the last time."""
        arrived = []
        while self._commands:
            arrived.append(self._commands.popleft())
        return arrived

    def send(self, body: Mapping[str, Any]) -> None:
        """Main thread: queue a control message, and send what can be sent."""
        if len(self._waiting) >= MAX_WAITING:
            self.closed.set()
            return
        self._waiting.append(wire.encode_control(body))
        self.flush()

    def flush(self) -> None:
        """Main thread: send queued control messages until the socket is full."""
        while self._waiting and self._send(self._waiting[0]):
            self._waiting.popleft()

    def send_audio(self, call: int, stream: int, seq: int, pcm: bytes, taken: int) -> None:
        """Media thread: send at once or never."""
        if not self._send(wire.encode_audio(call, stream, seq, time.monotonic_ns(), pcm, taken)):
            self.audio_dropped += 1

    def _send(self, packet: bytes) -> bool:
        try:
            self._socket.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            self.closed.set()
            return False
        return True

    def _receive(self) -> None:
        while not self.closed.is_set():
            try:
                packet = self._socket.recv(wire.MAX_PACKET)
            except OSError:
                break
            if not packet:
                break
            self._take(packet)
        self.closed.set()

    def _take(self, packet: bytes) -> None:
        try:
            message = wire.decode(packet)
        except wire.Malformed as error:
            self.malformed += 1
            logger.warning("malformed packet from Handset: %s", error)
            return
        self.heard_at = time.monotonic()
        if isinstance(message, wire.Audio):
            self._on_audio(message)
        elif len(self._commands) < MAX_WAITING:
            self._commands.append(message.body)


def adopt(descriptor: int) -> socket.socket:
    """The inherited socket; no process started from here inherits it again."""
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
