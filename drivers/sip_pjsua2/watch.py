# SPDX-License-Identifier: Apache-2.0
"""What a call's stream has carried, and whether anything still comes. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

REPORT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one stream since it began. `far_lost` of `sent` is what the far end reported by RTCP; times in ms."""

    received: int = 0
    lost: int = 0
    discarded: int = 0
    jitter_ms: float = 0.0
    buffer_ms: float = 0.0
    round_trip_ms: float = 0.0
    sent: int = 0
    far_lost: int = 0
    reports: int = 0

    def message(self) -> Mapping[str, Any]:
        return asdict(self)


def read(stat: Any) -> Counts:
    """From the library's StreamStat, which the caller keeps alive meanwhile."""
    rtcp, buffer = stat.rtcp, stat.jbuf
    received, sent = rtcp.rxStat, rtcp.txStat
    return Counts(
        received=int(received.pkt),
        lost=int(received.loss),
        discarded=int(buffer.discard),
        jitter_ms=round(received.jitterUsec.mean / 1000, 2),
        buffer_ms=float(buffer.avgDelayMsec),
        round_trip_ms=round(rtcp.rttUsec.last / 1000, 2),
        sent=int(sent.pkt),
        far_lost=int(sent.loss),
        reports=int(sent.updateCount),
    )


class Finding(StrEnum):
    SILENT = "silent"
    """Nothing has come for `silent_after`."""
    BACK = "back"
    """... and now something does."""
    DEAD = "dead"
    """Nothing has come for `dead_after`: the call is of no use."""


class Watch:
    """Of one call. `look` twice a second or so; times are monotonic seconds.

    A phone with silence suppression sends nothing but RTCP for long: once its sound has come, RTCP counts as life.
    """

    def __init__(self, silent_after: float, dead_after: float, now: float) -> None:
        self._silent_after = silent_after
        self._dead_after = dead_after
        self._moved_at = now
        self._heard_at = now
        self._seen = (0, 0)
        self._silent = False
        self._reported_at = now
        self.counts = Counts()

    @property
    def ever(self) -> bool:
        """Sound has come at least once."""
        return self.counts.received > 0

    def rest(self, now: float) -> None:
        """Nothing is expected now: held, or without media. What comes after is a new stream."""
        self._moved_at = self._heard_at = self._reported_at = now
        self._seen = (0, 0)
        self._silent = False

    def look(self, counts: Counts, now: float) -> Finding | None:
        self.counts = counts
        received, life = counts.received, counts.received + counts.reports
        if received != self._seen[0]:
            self._heard_at = now
        if life != self._seen[1]:
            self._moved_at = now
        self._seen = (received, life)
        if now - self._moved_at > self._dead_after:
            return Finding.DEAD
        quiet_since = self._moved_at if self.ever else self._heard_at
        if not self._silent and now - quiet_since > self._silent_after:
            self._silent = True
            return Finding.SILENT
        if self._silent and quiet_since == now:
            self._silent = False
            return Finding.BACK
        return None

    def due(self, now: float) -> bool:
        """True every five seconds: time to report the counts."""
        if now - self._reported_at < REPORT_SECONDS:
            return False
        self._reported_at = now
        return True
