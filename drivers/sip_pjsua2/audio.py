# SPDX-License-Identifier: Apache-2.0
"""Where the audio of each call goes: the SIP client thread's side of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appliance.frames import BYTES_PER_SAMPLE, FRAME_MS
from appliance.interfaces import CaptureSink, PlayoutSource
from drivers.sip_pjsua2.wire import Audio, sequence_gap

AHEAD: Final = 2
"""So many frames are on their way or queued in the SIP process after each tick: 20 to 40 ms of the far end's future."""


@dataclass(slots=True)
class Route:
    """One call's two functions. `sent` and `taken` count frames of `stream`."""

    capture: CaptureSink
    playout: PlayoutSource
    stream: int = 0
    sent: int = 0
    taken: int = 0
    seq: int = 0


class Routes:
    """`attach` and its kin belong to the loop's thread, `carry` to the client's; dict operations are atomic."""

    def __init__(self, rate: int) -> None:
        self._routes: dict[int, Route] = {}
        self._samples = rate * FRAME_MS // 1000
        self._silence = bytes(self._samples * BYTES_PER_SAMPLE)
        self._dropped = 0
        self._lost = 0
        self._unclaimed = 0
        self._faults = 0

    def attach(self, call: int, capture: CaptureSink, playout: PlayoutSource) -> None:
        route = self._routes.get(call)
        if route is None:
            self._routes[call] = Route(capture, playout)
        else:
            route.capture, route.playout = capture, playout

    def detach(self, call: int) -> None:
        self._routes.pop(call, None)

    def clear(self) -> None:
        self._routes.clear()

    def lag_ms(self, call: int) -> float:
        route = self._routes.get(call)
        return float(max(0, route.sent - route.taken) * FRAME_MS) if route else 0.0

    def counters(self) -> dict[str, int]:
        return {
            "playout_dropped": self._dropped,
            "capture_lost": self._lost,
            "capture_unclaimed": self._unclaimed,
            "audio_faults": self._faults,
        }

    def carry(self, message: Audio, send: Callable[[int, int, int, bytes], bool]) -> None:
        """Hand one received frame to the capture sink, and send what the far end needs next."""
        route = self._routes.get(message.call)
        if route is None:
            self._unclaimed += 1
            return
        self._follow(route, message)
        try:
            route.capture(message.pcm, message.at / 1e9)
        except Exception:  # noqa: BLE001  # a sink's fault must not stop the other calls' audio
            self._faults += 1
        while route.sent - route.taken < AHEAD:
            if not send(message.call, route.stream, route.sent + 1, self._pull(route)):
                self._dropped += 1
                return
            route.sent += 1

    def _follow(self, route: Route, message: Audio) -> None:
        if message.stream != route.stream:
            route.stream, route.sent = message.stream, message.taken
        else:
            self._lost += max(0, sequence_gap(message.seq, route.seq) - 1)
        route.seq, route.taken = message.seq, message.taken

    def _pull(self, route: Route) -> bytes:
        try:
            pcm = route.playout(self._samples)
        except Exception:  # noqa: BLE001
            self._faults += 1
            return self._silence
        if len(pcm) != len(self._silence):
            self._faults += 1
            return pcm[: len(self._silence)].ljust(len(self._silence), b"\0")
        return pcm
