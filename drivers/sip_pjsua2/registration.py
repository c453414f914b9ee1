# SPDX-License-Identifier: Apache-2.0
"""When to register, when to ask the registrar whether it lives, and what to say about it.

Pure: time comes in, actions come out. The library would take 38 s to notice a dead registrar. So the registrar is
asked (OPTIONS) every `keep_alive` seconds; once it has answered one, silence means that it is gone, and an answer
that took long means that it was away and may have forgotten us. A restart between two questions shows nowhere: so it
is told who we are every REMIND seconds, however long it grants.

A registrar may be found at several targets, best first. One in trouble makes the next one asked at once; once all are,
there is a pause, and it begins with the first. Registered at another than the first, the first is asked every
`come_back` seconds whether it lives again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

REFUSED: Final = frozenset({401, 403, 404, 407})
ASK_TIMEOUT: Final = 2.0
SLOW_ANSWER: Final = 1.2
MISSES: Final = 2
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 30.0
FIRST_REFUSED_RETRY: Final = 30.0
LAST_REFUSED_RETRY: Final = 600.0
ATTEMPT_TIMEOUT: Final = 40.0
SHORT_ATTEMPT: Final = 5.0
"""While there is another target to try."""
LONGEST_WAIT: Final = 3600.0
REMIND: Final = 60.0


class State(StrEnum):
    OFF = "off"
    TRYING = "trying"
    REGISTERED = "registered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Action:
    """Base of what the machine asks for."""


@dataclass(frozen=True, slots=True)
class Register(Action):
    """Send a REGISTER to the `target`th of the targets now."""

    target: int = 0


@dataclass(frozen=True, slots=True)
class AskFirst(Action):
    """Find out whether the first target lives, and say `first_lives` if so."""


@dataclass(frozen=True, slots=True)
class AskAlive(Action):
    """Send an OPTIONS to the registrar; `token` comes back with its answer."""

    token: int


@dataclass(frozen=True, slots=True)
class Report(Action):
    """Tell Handset; made only when something changed."""

    state: State
    code: int
    reason: str


class Registration:
    """One account. `targets` is how many there are, settable while it does nothing or is registered."""

    def __init__(
        self, keep_alive: float, come_back: float = 20.0, jitter: Callable[[], float] = random.random
    ) -> None:
        self._keep_alive = keep_alive
        self._come_back = come_back
        self._jitter = jitter
        self._reported: Report | None = None
        self.state = State.OFF
        self._due: float | None = None
        self._attempt_ends: float | None = None
        self._failures = 0
        self._refusals = 0
        self._ask_at: float | None = None
        self._remind_at: float | None = None
        self._asked: tuple[int, float] | None = None
        self._token = 0
        self._misses = 0
        self._answers = False
        self.targets = 1
        self.target = 0
        self._tried = 0
        self._return_at: float | None = None

    def trying(self) -> list[Action]:
        """Said before it is known where to register at."""
        return self._report(State.TRYING, 0, "")

    def start(self, now: float) -> list[Action]:
        """There are targets, or others: begin with the first."""
        self.target = self._tried = 0
        told = [] if self.state is State.REGISTERED else self.trying()
        return [*told, *self._attempt(now)]

    def unreachable(self, reason: str) -> list[Action]:
        """There is nowhere to register at yet."""
        self._due = self._attempt_ends = self._remind_at = None
        return self._report(State.FAILED, 0, reason)

    def registered(self, now: float) -> list[Action]:
        """A REGISTER was accepted."""
        self._due = self._attempt_ends = None
        self._failures = self._refusals = self._misses = self._tried = 0
        self._return_at = (self._return_at or now + self._come_back) if self.target else None
        if self._keep_alive > 0:
            self._remind_at = now + REMIND
            if self._ask_at is None and self._asked is None:
                self._ask_at = now + self._keep_alive
        return self._report(State.REGISTERED, 200, "OK")

    def failed(self, now: float, code: int, reason: str, wait_at_least: float = 0.0) -> list[Action]:
        """A REGISTER was refused, or nobody answered; `wait_at_least` is the server's Retry-After."""
        self._attempt_ends = self._return_at = self._remind_at = None
        if code not in REFUSED and self._has_next():
            told = self._report(State.FAILED, code, reason) if self.state is State.REGISTERED else []
            return [*told, *self._next(now)]
        self._tried = self.target = 0
        if code in REFUSED:
            self._refusals += 1
            wait = min(FIRST_REFUSED_RETRY * 2 ** (self._refusals - 1), LAST_REFUSED_RETRY)
        else:
            self._failures += 1
            wait = min(FIRST_RETRY * 2 ** min(self._failures - 1, 8), LAST_RETRY)
        self._ask_at = self._asked = None
        self._due = now + max(wait * (1 + 0.2 * self._jitter()), min(wait_at_least, LONGEST_WAIT))
        return self._report(State.FAILED, code, reason)

    def answered(self, now: float, token: int) -> list[Action]:
        """The registrar answered an OPTIONS, with whatever code."""
        if self._asked is None or token > self._token:
            return []
        slow = self._misses > 0 or now - self._asked[1] > SLOW_ANSWER
        self._answers = True
        self._asked, self._misses = None, 0
        self._ask_at = now + self._keep_alive
        if slow and self._attempt_ends is None:
            return self._attempt(now)
        return []

    def first_lives(self, now: float) -> list[Action]:
        """The first target answers again."""
        if self.state is not State.REGISTERED or not self.target:
            return []
        self.target = 0
        self._return_at = None
        return self._attempt(now)

    def moved(self, now: float) -> list[Action]:
        """Our address is another: say so, wherever things stood."""
        self._failures = self._misses = self._tried = 0
        self._ask_at = self._asked = None
        return self._attempt(now)

    def tick(self, now: float) -> list[Action]:
        """Call at least twice a second."""
        if self._attempt_ends is not None and now >= self._attempt_ends:
            return self.failed(now, 408, "no answer from the registrar")
        if self._due is not None and now >= self._due:
            return self._attempt(now)
        if self._asked is not None and now - self._asked[1] >= ASK_TIMEOUT:
            return self._missed(now)
        if self._remind_at is not None and now >= self._remind_at:
            return self._attempt(now)
        if self._ask_at is not None and now >= self._ask_at:
            return self._ask(now)
        if self._return_at is not None and now >= self._return_at:
            self._return_at = now + self._come_back
            return [AskFirst()]
        return []

    def _attempt(self, now: float) -> list[Action]:
        self._due = self._remind_at = None
        self._attempt_ends = now + (SHORT_ATTEMPT if self.targets > 1 else ATTEMPT_TIMEOUT)
        return [Register(self.target)]

    def _has_next(self) -> bool:
        return self._tried + 1 < self.targets

    def _next(self, now: float) -> list[Action]:
        self._tried += 1
        self.target = (self.target + 1) % self.targets
        self._ask_at = self._asked = None
        return self._attempt(now)

    def _ask(self, now: float) -> list[Action]:
        self._token += 1
        self._ask_at, self._asked = None, (self._token, now)
        return [AskAlive(self._token)]

    def _missed(self, now: float) -> list[Action]:
        self._asked = None
        self._misses += 1
        if self._misses < MISSES:
            return self._ask(now)
        if not self._answers:
            # It never answered one: it does not do OPTIONS, which proves nothing.
            self._misses = 0
            return []
        self._misses = 0
        self._failures += 1
        told = self._report(State.FAILED, 408, "the registrar does not answer")
        return [*told, *(self._next(now) if self._has_next() else self._attempt(now))]

    def _report(self, state: State, code: int, reason: str) -> list[Action]:
        self.state = state
        report = Report(state, code, reason)
        if report == self._reported:
            return []
        self._reported = report
        return [report]
