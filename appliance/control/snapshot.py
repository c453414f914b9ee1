"""The state of the whole appliance as `hello` and `status` carry it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from appliance.control.ports import CallsPort, LinesPort
from appliance.events import Event, LatencyMeasured, ProviderChanged, Warned
from appliance.health import Health

STAGE_SKIPPED: Final = "stage_skipped"
"""A provider is up and goes without a part of it: what is told of that stays in its state until it connects anew."""
LLM_FAILED: Final = "llm_failed"
"""So does that its models failed, where no other provider is there to go on with, until one answers that session."""


class Snapshot:
    """`ladder` is conversation.providers, first rung first; what became of each is learnt from the events."""

    def __init__(
        self,
        lines: LinesPort[Any],
        calls: CallsPort | None,
        health: Health,
        ladder: Sequence[str] = (),
        panel: Callable[[], Mapping[str, Any]] | None = None,
        facts: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._panel = panel
        self._facts = facts
        self._lines = lines
        self._calls = calls
        self._health = health
        self._unanswered: dict[str, str | None] = {}
        """Of each provider whose models failed, the session that was told so last."""
        self._providers: dict[str, dict[str, Any]] = {
            name: {"rung": rung, "state": "unused", "healthy": None, "code": "", "reason": "", "since": None}
            for rung, name in enumerate(ladder)
        }

    def notice(self, event: Event) -> None:
        """Keep what an event tells of a provider."""
        if isinstance(event, ProviderChanged):
            entry = self._providers.setdefault(event.provider, {"rung": None})
            healthy = event.state != "down"
            entry.update(
                state=event.state, healthy=healthy, code=event.code, reason=event.reason, since=event.at
            )
            if event.state == "up":
                entry["warning"] = ""
                self._unanswered.pop(event.provider, None)
        elif isinstance(event, Warned) and event.provider is not None:
            entry = self._providers.setdefault(event.provider, {"rung": None})
            if event.code == STAGE_SKIPPED:
                entry["warning"] = event.message
            elif event.code == LLM_FAILED:
                entry["warning"] = event.message
                self._unanswered[event.provider] = event.session
        elif isinstance(event, LatencyMeasured) and event.first_text is not None:
            self._answered(event.session)

    def _answered(self, session: str | None) -> None:
        for provider in [name for name, asked in self._unanswered.items() if asked == session]:
            del self._unanswered[provider]
            self._providers[provider]["warning"] = ""

    def _telephone(self) -> dict[str, str]:
        """Whether calls can come in at all, with an account at a server or without."""
        if self._calls is None:
            return {"state": "off", "address": "", "reason": ""}
        fault = self._calls.fault
        return {"state": "down" if fault else "listening", "address": self._calls.address, "reason": fault}

    def take(self) -> dict[str, Any]:
        """The state now. `mute` and `volume` are the room's, as its line has them; null without a room."""
        state: dict[str, Any] = {"lines": [], "sessions": [], **self._lines.status()}
        room: Mapping[str, Any] = next((line for line in state["lines"] if line.get("kind") == "room"), {})
        state.setdefault("mute", room.get("muted"))
        state.setdefault("volume", room.get("volume"))
        using = [(session.get("provider"), session.get("id")) for session in state["sessions"]]
        state["providers"] = {
            name: {**entry, "sessions": [session for provider, session in using if provider == name]}
            for name, entry in self._providers.items()
        }
        state["calls"] = self._calls.status() if self._calls is not None else []
        state["registration"] = (
            dict(self._calls.registration) if self._calls is not None else {"state": "off"}
        )
        state["registrations"] = self._calls.registrations() if self._calls is not None else []
        state["do_not_disturb"] = self._calls is not None and self._calls.do_not_disturb
        state["telephone"] = self._telephone()
        state["panel"] = dict(self._panel()) if self._panel is not None else {"state": "off"}
        state["ready"] = self._health.ready()
        state["reasons"] = self._health.reasons()
        state["counters"] = self._health.counters()
        state.update(self._facts())
        state["at"] = time.time()
        return state
