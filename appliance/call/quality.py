"""How good a call is to hear: the E-model of ITU-T G.107, and what a stream's counts say by it. Pure.

The E-model adds up what impairs a conversation to a rating R, and R gives a mean opinion score (MOS), 1 to 4.5. All of
its parameters but delay and loss have the values that the recommendation gives as defaults.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SLR, RLR, STMR, TELR, WEPL = 8.0, 2.0, 15.0, 65.0, 110.0
DS, DR, NC, NFOR, PS, PR, QDU = 3.0, 3.0, -70.0, -64.0, 35.0, 35.0, 1.0

CODECS: Final[Mapping[str, tuple[float, float]]] = {
    "PCMU": (0.0, 25.1),
    "PCMA": (0.0, 25.1),
    "G722": (0.0, 25.1),
    "OPUS": (0.0, 25.1),
    "L16": (0.0, 25.1),
    "G729": (11.0, 19.0),
    "GSM": (20.0, 10.0),
    "ILBC": (11.0, 32.0),
    "SPEEX": (11.0, 20.0),
}
"""Equipment impairment Ie and robustness against loss Bpl (ITU-T G.113, with concealment); wideband as narrowband."""
_UNKNOWN: Final = (5.0, 15.0)
PACKET_MS: Final = 20.0
OWN_MS: Final = 30.0
"""Of one-way delay, what a phone and we take for packets and sound card, beside network and jitter buffer."""


def rating(
    delay_ms: float, loss_percent: float, *, ie: float = 0.0, bpl: float = 25.1, burst: float = 1.0
) -> float:
    """R, 0 to 100. `delay_ms` is mouth to ear, one way; `burst` 1 for losses at random, more for those in a row."""
    noise = _noise()
    signal = 15 - 1.5 * (SLR + noise)
    loss_impairment = ie + (95 - ie) * loss_percent / (loss_percent / burst + bpl) if loss_percent else ie
    value = (
        signal - _simultaneous(signal, noise, delay_ms) - _delayed(signal, noise, delay_ms) - loss_impairment
    )
    return min(100.0, max(0.0, value))


def mos(r: float) -> float:
    """Mean opinion score of a rating (G.107, Annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _noise() -> float:
    overall = SLR + RLR
    send = PS - SLR - DS - 100 + 0.004 * (PS - overall - DS - 14) ** 2
    sidetone = PR + 10 * math.log10(1 + 10 ** ((10 - (STMR + DR)) / 10))
    receive = RLR - 121 + sidetone + 0.008 * (sidetone - 35) ** 2
    return 10 * math.log10(sum(10 ** (part / 10) for part in (NC, send, receive, NFOR + RLR)))


def _simultaneous(signal: float, noise: float, delay_ms: float) -> float:
    """Is: too loud, sidetone, quantising."""
    loud = SLR + RLR + 0.2 * (64 + noise - RLR)
    too_loud = 20 * ((1 + (loud / 8) ** 8) ** (1 / 8) - loud / 8)
    sidetone = -10 * math.log10(10 ** (-STMR / 10) + math.exp(-delay_ms / 4) * 10 ** (-TELR / 10))
    own_voice = (
        12 * (1 + ((sidetone - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((sidetone + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((sidetone - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    quantising = 37 - 15 * math.log10(QDU)
    coarse = 1.07 + 0.258 * quantising + 0.0602 * quantising**2
    first, second = (signal - 100) / 15 + 46 / 8.4 - coarse / 9, 46 / 30 - coarse / 40
    return float(too_loud + own_voice + 15 * math.log10(1 + 10**first + 10**second))


def _delayed(signal: float, noise: float, delay_ms: float) -> float:
    """Id: talker's echo, listener's echo, and delay itself. The round trip is twice the one way."""
    echo_loss = (
        TELR - 40 * math.log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) + 6 * math.exp(-0.3 * delay_ms**2)
    )
    gap = -1.5 * (noise - RLR) - (80 + 2.5 * (echo_loss - 14))
    talker = (gap / 2 + math.sqrt(gap**2 / 4 + 100) - 1) * (1 - math.exp(-delay_ms))
    listener_gap = signal - 10.5 * (WEPL + 7) * (2 * delay_ms + 1) ** -0.25
    listener = listener_gap / 2 + math.sqrt(listener_gap**2 / 4 + 169)
    return float(talker + listener + _long(delay_ms))


def _long(delay_ms: float) -> float:
    """Idd: even without echo, a conversation suffers."""
    if delay_ms <= 100:
        return 0.0
    x = math.log2(delay_ms / 100)
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """Of a call's stream since it began; `far_lost` of `sent` is what the far end reported. Times in milliseconds."""

    received: int = 0
    lost: int = 0
    discarded: int = 0
    jitter_ms: float = 0.0
    buffer_ms: float = 0.0
    round_trip_ms: float = 0.0
    sent: int = 0
    far_lost: int = 0

    @classmethod
    def told(cls, counts: Mapping[str, float]) -> "StreamCounts":
        """From a telephone's report; what is missing is 0."""

        def of(name: str) -> int:
            return int(counts.get(name, 0))

        return cls(
            of("received"),
            of("lost"),
            of("discarded"),
            counts.get("jitter_ms", 0.0),
            counts.get("buffer_ms", 0.0),
            counts.get("round_trip_ms", 0.0),
            of("sent"),
            of("far_lost"),
        )

    def since(self, before: "StreamCounts") -> "StreamCounts":
        """What came after `before`; all of it where the stream began anew."""
        if self.received < before.received or self.sent < before.sent:
            return self
        return StreamCounts(
            self.received - before.received,
            max(0, self.lost - before.lost),
            max(0, self.discarded - before.discarded),
            self.jitter_ms,
            self.buffer_ms,
            self.round_trip_ms,
            self.sent - before.sent,
            max(0, self.far_lost - before.far_lost),
        )

    def plus(self, more: "StreamCounts") -> "StreamCounts":
        """Both together; the times are those of the later."""
        return StreamCounts(
            self.received + more.received,
            self.lost + more.lost,
            self.discarded + more.discarded,
            more.jitter_ms,
            more.buffer_ms,
            more.round_trip_ms,
            self.sent + more.sent,
            self.far_lost + more.far_lost,
        )


@dataclass(frozen=True, slots=True)
class Quality:
    """As the event `call.quality` tells it. `loss_percent`: lost on the way, or too late to be played."""

    mos: float
    loss_percent: float
    jitter_ms: float
    round_trip_ms: float
    buffer_ms: float
    far_loss_percent: float

    def wire(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def judge(counts: StreamCounts, codec: str) -> Quality:
    """`codec` as negotiated: "PCMU/8000"."""
    expected = counts.received + counts.lost
    gone = min(expected, counts.lost + counts.discarded)
    loss = 100 * gone / expected if expected else 100.0
    far_loss = 100 * min(counts.far_lost, counts.sent) / counts.sent if counts.sent else 0.0
    ie, bpl = CODECS.get(codec.split("/")[0].upper(), _UNKNOWN)
    delay = counts.round_trip_ms / 2 + counts.buffer_ms + PACKET_MS + OWN_MS
    return Quality(
        mos=round(mos(rating(delay, loss, ie=ie, bpl=bpl)), 2),
        loss_percent=round(loss, 2),
        jitter_ms=round(counts.jitter_ms, 1),
        round_trip_ms=round(counts.round_trip_ms, 1),
        buffer_ms=round(counts.buffer_ms, 1),
        far_loss_percent=round(far_loss, 2),
    )


class CallQuality:
    """One call's, from report to report. A call has several streams: after hold, or in another leg."""

    def __init__(self) -> None:
        self._done = StreamCounts()
        self._now = StreamCounts()
        self._codec = ""
        self.latest: Quality | None = None
        """Of the time since the last report but one."""
        self._worst: float | None = None

    def take(self, counts: StreamCounts, codec: str) -> Quality | None:
        """How it was since the last report; None where nothing has gone either way."""
        fresh = counts.since(self._now)
        if fresh is counts:
            self._done = self._done.plus(self._now)
        self._now, self._codec = counts, codec or self._codec
        if not fresh.received and not fresh.lost and not fresh.sent:
            return None
        self.latest = judge(fresh, self._codec)
        self._worst = min(self.latest.mos, self._worst if self._worst is not None else 5.0)
        return self.latest

    def summary(self) -> dict[str, Any] | None:
        """Of the whole call, with the worst score of any report, or None where nothing was measured."""
        whole = self._done.plus(self._now)
        if self._worst is None:
            return None
        return {**judge(whole, self._codec).wire(), "worst_mos": self._worst, "packets": whole.received}
