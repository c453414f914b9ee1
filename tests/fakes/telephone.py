"""A telephone without SIP: a strict implementation of `interfaces.Telephone` with use-cases."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance.errors import UnknownName
from appliance.interfaces import (
    CallReport,
    CaptureSink,
    DtmfReport,
    IncomingCall,
    MediaReport,
    PlayoutSource,
    SentReport,
    TelephoneEvent,
    TelephoneLost,
    TelephoneReady,
)


class FakeTelephone:
    """Remembers what it was told in `told`; refuses calls that it does not know, as the real one does."""

    rate = 16_000
    silent_for = 0.0

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self._post: Callable[[TelephoneEvent], None] = lambda _: None
        self._calls: set[str] = set()
        self._numbers = itertools.count(1)
        self.locked: set[str] = set()
        """Calls whose far end may not transfer us."""
        self.barred: tuple[str, ...] | None = ()
        """Whom no far end may have us call; None: nobody."""
        self.media: dict[str, tuple[CaptureSink, PlayoutSource]] = {}

    async def start(self, post: Callable[[TelephoneEvent], None]) -> None:
        self._post = post
        post(TelephoneReady("127.0.0.1:5060"))

    async def stop(self) -> None:
        for call in sorted(self._calls):
            self.ends(call, 0, "shutdown")

    def rings_in(
        self,
        source: str = "127.0.0.1:5070",
        peer: str = "sip:ann@127.0.0.1",
        account: str = "default",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Somebody calls."""
        call = f"call-{next(self._numbers)}"
        self._calls.add(call)
        self._post(IncomingCall(call, peer, source, headers=headers or {}, account=account))
        return call

    def reports(self, call: str, state: str, code: int = 0, reason: str = "") -> None:
        self._post(CallReport(call, state, code, reason))
        if state == "connected":
            self._post(MediaReport(call, True, "PCMU/8000"))

    def ends(self, call: str, code: int = 200, reason: str = "Normal") -> None:
        """The far side hangs up."""
        self._calls.discard(call)
        self._post(CallReport(call, "ended", code, reason))

    def presses(self, call: str, digit: str) -> None:
        self._post(DtmfReport(call, digit, 100))

    def crashes(self) -> None:
        lost = sorted(self._calls)
        self._calls.clear()
        self._post(TelephoneLost("signal 11", lost))

    def is_sent(self, call: str, to: str, *, answered: bool = False) -> None:
        """A far end has us call somebody."""
        self._post(SentReport(call, to, answered))

    def bar(self, day: str, numbers: Sequence[str] | None) -> None:
        self.barred = None if numbers is None else tuple(numbers)

    def may_be_sent_to(self) -> str:
        """Whom far ends may have us call, in words."""
        return "to nobody" if self.barred is None else f"not to {' '.join(self.barred)}"

    def listen_to(self, networks: Sequence[str]) -> None:
        self.told.append(("listen_to", *networks))

    def renew(self, settings: Mapping[str, Any]) -> None:
        self.told.append(("renew", *settings["accounts"]))

    def dial(self, to: str, *, account: str = "") -> str:
        call = f"call-{next(self._numbers)}"
        self._calls.add(call)
        self.told.append(("dial", call, to, account) if account else ("dial", call, to))
        return call

    def ring(self, call: str) -> None:
        self._tell("ring", call)
        self._post(CallReport(call, "ringing", 180, "Ringing"))

    def answer(self, call: str) -> None:
        self._tell("answer", call)
        self.reports(call, "connected", 200, "OK")

    def reject(self, call: str, code: int, reason: str = "") -> None:
        self._tell("reject", call, str(code))
        self.ends(call, code, reason)

    def lock(self, call: str, on: bool) -> None:
        if call not in self._calls:
            raise UnknownName(f"there is no call {call}")
        (self.locked.add if on else self.locked.discard)(call)

    def hang_up(self, call: str) -> None:
        self._tell("hang_up", call)
        self.ends(call)

    def hold(self, call: str) -> None:
        self._tell("hold", call)
        self.reports(call, "held")

    def resume(self, call: str) -> None:
        self._tell("resume", call)
        self.reports(call, "connected")

    def transfer(self, call: str, to: str) -> None:
        self._tell("transfer", call, to)
        self.reports(call, "transferring")

    def join(self, call: str, other: str) -> None:
        self._tell("join", call, other)

    def send_dtmf(self, call: str, digits: str) -> None:
        self._tell("send_dtmf", call, digits)

    def attach(self, call: str, capture: CaptureSink, playout: PlayoutSource) -> None:
        self._tell("attach", call)
        self.media[call] = (capture, playout)

    def heard_lag_ms(self, call: str) -> float:
        return 0.0

    def counters(self) -> Mapping[str, int]:
        return {}

    def _tell(self, verb: str, call: str, *more: str) -> None:
        if call not in self._calls:
            raise UnknownName(f"there is no call {call}")
        self.told.append((verb, call, *more))
