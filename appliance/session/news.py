"""What is told about a session's connection: events, the log, errors and spoken lines, no oftener than it is news."""

import logging
from collections.abc import Callable
from typing import Final

from appliance.bus import EventBus
from appliance.errors import ApplianceError, ProviderUnavailable, RateLimited, SetupRejected
from appliance.events import Failed, ProviderChanged
from appliance.session.phrases import Phrase, phrase_for

OUTAGE_SECONDS: Final = 5.0
"""An outage that lasts longer is told."""
OUTAGE_HINT: Final = "look at the network and at the provider's own status page; run: handset doctor"
logger = logging.getLogger(__name__)


class ConnectionNews:
    """`say` has one of the appliance's own lines spoken. The caller tells the monotonic time."""

    def __init__(self, session: str, line: str, bus: EventBus, say: Callable[[Phrase], None]) -> None:
        self._session = session
        self._line = line
        self._bus = bus
        self._say = say
        self._rung: int | None = None
        self._down_since: float | None = None
        self._faults: dict[str, str] = {}
        self._said: set[str] = set()
        self._explained = False
        self._outage: ApplianceError | None = None
        self._outage_failed = False
        self._outage_said = False

    def started(self, now: float) -> None:
        """The first dial begins."""
        self._down_since = now

    def rose(self, provider: str, rung: int) -> None:
        """Connected. A step down is told in one line, a step up in none."""
        self._faults.pop(provider, None)
        self._tell(provider, "up")
        if self._rung is not None and rung > self._rung and not self._explained:
            self._fail_for_outage()
            self._say(Phrase.STEPPED_DOWN)
        self._rung = rung
        self._down_since = self._outage = None
        self._explained = self._outage_failed = self._outage_said = False

    def renewing(self, provider: str, reason: str) -> None:
        self._tell(provider, "renewing", reason)

    def fell(self, provider: str, fault: ApplianceError, now: float) -> None:
        """The connection broke."""
        self._down_since = now
        self._outage = fault
        self._tell(provider, "down", fault.message, fault)
        if _refuses(fault):
            self._faults[provider] = fault.code
            self._fail(fault)
            self._say_once(fault.code)

    def dial_failed(self, provider: str, fault: ApplianceError, *, aloud: bool) -> None:
        """Told once until the provider is up again, or fails in another way."""
        self._outage = fault
        if self._faults.get(provider) == fault.code:
            return
        self._faults[provider] = fault.code
        self._tell(provider, "down", fault.message, fault)
        if _refuses(fault):
            self._fail(fault)
            if aloud:
                self._say_once(fault.code)

    def nobody_left(self, code: str) -> None:
        """Every provider refuses, the one that may be tried first with `code`."""
        self._say_once(code)

    def look(self, now: float, *, aloud: bool) -> None:
        """There is no connection. `aloud`: somebody waits, and could be told."""
        if self._down_since is None or now - self._down_since < OUTAGE_SECONDS:
            return
        if self._outage is None:
            # Nothing has failed: a small device is still loading the provider's library.
            return
        self._fail_for_outage()
        if aloud and not self._outage_said and not self._explained:
            self._outage_said = True
            self._say(Phrase.OUTAGE)

    def _say_once(self, code: str) -> None:
        line = phrase_for(code)
        if line is not None and code not in self._said:
            self._said.add(code)
            self._explained = True
            self._say(line)

    def _fail_for_outage(self) -> None:
        fault = self._outage
        if fault is not None and not _refuses(fault) and not self._outage_failed:
            self._outage_failed = True
            self._fail(fault, OUTAGE_HINT)

    def _fail(self, fault: ApplianceError, hint: str = "") -> None:
        self._bus.publish(
            Failed(
                session=self._session,
                line=self._line,
                code=fault.code,
                message=fault.message,
                hint=fault.hint or hint,
            )
        )

    def _tell(self, provider: str, state: str, reason: str = "", fault: ApplianceError | None = None) -> None:
        level, why = (logging.INFO, "") if fault is None else (logging.WARNING, f" ({_logged(fault)})")
        logger.log(level, "session %s: provider %s is %s%s", self._session, provider, state, why)
        self._bus.publish(
            ProviderChanged(
                session=self._session,
                line=self._line,
                provider=provider,
                state=state,
                reason=reason,
                code=fault.code if fault is not None else "",
            )
        )


def _logged(fault: ApplianceError) -> str:
    """The reason that is told, but for a refusal's: it may quote what the service said."""
    return fault.code if isinstance(fault, SetupRejected) else f"{fault.code}: {fault.message}"


def _refuses(fault: ApplianceError) -> bool:
    return not isinstance(fault, ProviderUnavailable) or isinstance(fault, RateLimited)
