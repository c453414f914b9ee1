"""Whom may be called: holds every number to the dial plan, and what agents dial to the day's budget."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from appliance.bus import EventBus
from appliance.call.budget import Ceiling, DialBudget
from appliance.call.call import Call
from appliance.config.schema import Limits, Sip
from appliance.dialplan import counted, read, refusal
from appliance.errors import ApplianceError, RequestInvalid
from appliance.events import Warned
from appliance.interfaces import SentReport

BUDGET_OVER: Final = "dial_budget_used"
_DIALLED: Final = frozenset("@:0123456789*#")
"""Without one of these, what is to be called is a name."""
logger = logging.getLogger(__name__)


def today() -> str:
    """The local day, as the history names it."""
    return time.strftime("%Y-%m-%d")


class Outgoing:
    """Belongs to the loop's thread. `hang_up` ends a call that agents' minutes no longer reach for."""

    def __init__(
        self,
        settings: Sip,
        limits: Limits,
        contacts: Mapping[str, str],
        bus: EventBus,
        hang_up: Callable[[str], object],
    ) -> None:
        self.renew(settings)
        self._bus = bus
        self._hang_up = hang_up
        self._budget = DialBudget(
            Ceiling(limits.dials_per_day, limits.dial_minutes_per_day, limits.dials_to_one_number)
        )
        self._talking: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._refused = 0
        self.on_spent: Callable[[], None] = lambda: None
        """Told that `spent` may be another."""
        self.set_contacts(contacts)

    def set_contacts(self, contacts: Mapping[str, str]) -> None:
        """Names that are taken for numbers, whatever their case."""
        self._contacts = {name.casefold(): target for name, target in contacts.items()}

    def renew(self, settings: Sip) -> None:
        """Other accounts: numbers at any of their servers are ours."""
        self._settings = settings
        self._servers = tuple(account.server for account in settings.each().values() if account.server)

    def load(self, calls: Iterable[tuple[str, float]]) -> None:
        """What agents dialled today before this run: whom, and for how many seconds."""
        self._budget.load(today(), [(self._number(to), seconds) for to, seconds in calls])
        self.on_spent()

    def target(self, to: str, *, by_agent: bool) -> str:
        """What the telephone is told for `to`. Raise EmergencyForbidden, DialForbidden, DialBudgetUsed, and tell of it;
        RequestInvalid for a name that is nobody's."""
        name = to.strip()
        contact = self._contacts.get(name.casefold())
        target = contact if contact is not None else name
        settings = self._settings
        fault = refusal(
            target,
            servers=self._servers,
            by_agent=by_agent,
            contact=contact is not None,
            patterns=settings.dial,
            emergency=settings.emergency_numbers,
            people_call_emergency=settings.emergency_calls == "people",
        )
        if fault is None and by_agent:
            fault = self._budget.refusal(self._number(target), today())
        if fault is not None:
            self._tell(fault)
            raise fault
        if contact is None and not settings.server and not _DIALLED.intersection(name):
            raise RequestInvalid(
                "no contact has that name, and there is no SIP server at which it could be an extension",
                hint="add it to [contacts], set sip.server, or dial sip:user@host",
            )
        if by_agent and contact is None:
            dialled = read(target, self._servers)
            # Told as it was read: what was checked is what is dialled.
            return dialled.plain if dialled is not None else target
        return target

    def dialled(self, target: str) -> None:
        """An agent's call, or transfer, is on its way."""
        self._budget.dialled(self._number(target), today())
        self.on_spent()

    def sent(self, report: SentReport) -> None:
        """A far end had us call somebody: that counts as what agents dial."""
        if report.answered:
            self._talks(report.call)
        else:
            self.dialled(report.to)

    def spent(self) -> tuple[str, Sequence[str] | None]:
        """The day, and whom nobody may have us call on it: `Telephone.bar`."""
        return today(), None if self._left() <= 0 else self._budget.spent(today())

    def connected(self, call: Call) -> None:
        if call.by_agent:
            self._talks(call.id)

    def _talks(self, call: str) -> None:
        self._talking.setdefault(call, time.monotonic())
        self._arm()

    def ended(self, call: Call) -> None:
        began = self._talking.pop(call.id, None)
        if began is not None:
            self._budget.talked(time.monotonic() - began, today())
            self._arm()
            self.on_spent()

    def counters(self) -> Mapping[str, float]:
        return {"dials_refused": self._refused, **self._budget.counters()}

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _number(self, target: str) -> str:
        return counted(target, self._servers)

    def _left(self) -> float:
        now = time.monotonic()
        return self._budget.seconds_left(today()) - sum(now - began for began in self._talking.values())

    def _arm(self) -> None:
        """Wake when the minutes are over, if all these calls go on."""
        self.close()
        left = self._left()
        if self._talking and math.isfinite(left):
            delay = max(0.0, left) / len(self._talking)
            self._timer = asyncio.get_running_loop().call_later(delay, self._minutes_over)

    def _minutes_over(self) -> None:
        self._timer = None
        if self._left() > 0.01:
            self._arm()
            return
        logger.info("%s: %d calls are ended", BUDGET_OVER, len(self._talking))
        self._bus.publish(
            Warned(
                code=BUDGET_OVER,
                message="the day's minutes for calls that agents dial are used up: the call was ended",
                hint="see limits.dial_minutes_per_day",
            )
        )
        for call in tuple(self._talking):
            try:
                self._hang_up(call)
            except ApplianceError as error:
                logger.info("call %s had gone: %s", call, error.code)

    def _tell(self, fault: ApplianceError) -> None:
        self._refused += 1
        logger.info("a number was not dialled: %s", fault.code)
        self._bus.publish(Warned(code=fault.code, message=fault.message, hint=fault.hint))
