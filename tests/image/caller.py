"""A caller from outside an emulated box, through forwarded ports, by the box's clock: a packet leaves when one came.

The box's clock goes slower than this machine's, and not evenly; its packets tell it. So what the box hears has no gaps
that a caller in the same world would not have made, and `heard` is what such a caller would have heard.
"""

import contextlib
import threading
import time
from collections.abc import Callable

import numpy as np

from tests.image.board import HOST
from tests.image.machine import Machine
from tests.rig.raw_caller import SILENCE, RawCaller
from tests.rig.sounds import Samples
from tests.rig.spoken import sounding
from tests.rig.telephone_sound import RATE, Talker, from_mu_law

SIP_PORT = 5060
RTP_PORTS = range(40000, 40008)
FORWARDED = [("udp", port) for port in (SIP_PORT, *RTP_PORTS)]
_ANSWER_SECONDS = 300.0


class OutsideCaller(RawCaller):
    """Calls on entering, hangs up on leaving."""

    def __init__(self, box: Machine) -> None:
        super().__init__(box.port("udp", SIP_PORT))
        self._box = box
        self._came = threading.Semaphore(0)
        self._sip.settimeout(_ANSWER_SECONDS)

    def say(self, what: str) -> None:
        """Begins to say it."""
        Talker(self).say(what)

    def heard(self, since: int = 0) -> Samples:
        """What came since packet number `since`, at 8 kHz."""
        return from_mu_law(b"".join(payload for _, payload in self.arrived[since:]))

    def hears_an_answer(self, since: int, *, seconds: float = 900.0) -> Samples:
        """Waits until something was said and a second of silence followed; all that was heard."""

        def over() -> bool:
            spans = sounding(self.heard(since), RATE)
            return bool(spans) and len(self.heard(since)) / RATE - spans[-1][1] > 1.0

        wait(over, seconds, "an answer on the call")
        return self.heard(since)

    def _offer(self, direction: str = "", connection: str = HOST) -> str:
        return super()._offer(direction, connection)

    def _listen(self) -> None:
        self._rtp.settimeout(0.5)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                packet = self._rtp.recv(2048)
                if len(packet) > 12 and packet[1] & 0x7F == 0:
                    self.arrived.append((time.monotonic(), packet[12:]))
                    self._came.release()

    def _talk(self) -> None:
        place = ("127.0.0.1", self._box.port("udp", self._media[1]))
        for sequence in range(65_536):
            if sequence > 1 and not self._tick():
                return
            payload = self._next.popleft() if self._next else SILENCE
            head = b"\x80\x00" + sequence.to_bytes(2, "big") + (sequence * 160).to_bytes(4, "big") + b"outs"
            self._rtp.sendto(head + payload, place)
            self.sent.append((time.monotonic(), payload))

    def _tick(self) -> bool:
        """Waits for a packet; whether the call goes on."""
        while not self._came.acquire(timeout=0.5):
            if self._over.is_set():
                return False
        return True


def wait(true: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def loudest(samples: Samples) -> int:
    return int(np.abs(samples.astype(np.int32)).max()) if len(samples) else 0
