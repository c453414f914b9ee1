"""Contracts of a tool: how a model sees it, what it may do, when its result is spoken about."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from appliance.interfaces.audio import LineKind


class Delivery(StrEnum):
    """When the model is to speak about a tool's result."""

    IMMEDIATE = "immediate"
    """At once; after the response that is being made, where there is one."""
    WHEN_IDLE = "when_idle"
    """When nobody talks and nothing sounds."""
    INTERRUPT = "interrupt"
    """At once, and what is being said is broken off."""
    SILENT = "silent"
    """Not at all: it is for the model to know."""


@dataclass(frozen=True, slots=True)
class ToolDeclaration:
    """What a provider is told of a tool; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    delivery: Delivery = Delivery.IMMEDIATE
    seconds: float = 0.0
    """How long it may take, where that is more than usual."""


class ToolContext(Protocol):
    """What a tool may do to the session that called it. What is not possible raises an ApplianceError."""

    session: str
    line: str
    line_kind: LineKind

    def now(self) -> float:
        """Unix seconds."""
        ...

    def volume(self) -> int: ...

    def set_volume(self, level: int) -> int:
        """0-100; returns what is in force."""
        ...

    def set_muted(self, on: bool) -> None:
        """Silence the microphone of the session's line."""
        ...

    async def dial(self, to: str) -> str:
        """Call a number, extension, URI or named contact; return the call id.

        From the room, once it is answered: the person there talks on it. Raise NotPossible with the reason otherwise.
        """
        ...

    async def transfer(self, to: str, *, summary: str = "") -> None:
        """Transfer the session's own call once what is being said has been heard; `summary` is spoken to who takes it.

        Return when the call has gone over; raise NotPossible with the reason, for the person, when it stays here.
        """
        ...

    async def record(self, on: bool) -> None:
        """Record the session's own call from now on, which is said first where the law asks for it; or end that."""
        ...

    async def hang_up(self) -> None:
        """End the session's own call, or its session, once what is being said has been heard."""
        ...

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None:
        """Tell the person on this line, or in the room when the line is gone, as soon as the floor is free."""
        ...


class Tool(Protocol):
    """One thing that an agent can do. Group `appliance.tools`; configured by name in `agents.NAME.tools`."""

    declarations: Sequence[ToolDeclaration]
    """The functions of this tool, as a model sees them."""

    def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Awaitable[Mapping[str, Any]]:
        """Do it and return what the model is told; raise an ApplianceError with a sentence for the person otherwise."""
        ...
