"""A host that answers datagrams for a test, on a thread of its own, from `with` to its end."""

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class DatagramHost(ABC):
    """Bound from the beginning, to `host` and `port`; each datagram is answered with what `answer` makes of it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._link = socket.socket(type=socket.SOCK_DGRAM)
        self._link.bind((host, port))
        self.address = f"{host}:{self._link.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(
            OSError
        ):  # an unconnected socket says that it is none, and ends the wait all the same
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()

    @abstractmethod
    def answer(self, packet: bytes) -> bytes:
        """Nothing is sent where it is empty."""

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                packet, client = self._link.recvfrom(8192)
                if not packet:
                    return
                if told := self.answer(packet):
                    self._link.sendto(told, client)
