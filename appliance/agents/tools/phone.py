"""The telephone: call somebody, hand the caller over, hang up."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from appliance.agents.tools import Services, declare, text_of
from appliance.errors import RequestInvalid
from appliance.interfaces import ToolContext, ToolDeclaration

TRANSFER_SECONDS: Final = 200.0
"""Ringing, the summary and its acceptance have deadlines of their own."""


def _whom(services: Services, verb: str) -> dict[str, Any]:
    names = sorted(services.contacts)
    return {
        "type": "string",
        "description": f"Whom to {verb}: a contact, an extension, a number or a SIP address."
        + (f" Contacts: {', '.join(names)}." if names else ""),
        "examples": names,
    }


def _target(arguments: Mapping[str, Any]) -> str:
    to = text_of(arguments, "to", longest=200)
    if not to:
        raise RequestInvalid("There is nobody named.")
    return to


class CallTool:
    """Implements interfaces.Tool."""

    def __init__(self, services: Services) -> None:
        self.declarations: Sequence[ToolDeclaration] = (
            declare(
                "call",
                "Call a contact, an extension or a number. Ask the person to confirm first. In a room, they "
                "talk on that call; should nobody answer, you are told why.",
                ("to",),
                takes_seconds=TRANSFER_SECONDS,
                to=_whom(services, "call"),
            ),
        )

    async def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Mapping[str, Any]:
        to = _target(arguments)
        return {"to": to, "call": await context.dial(to)}


class TransferTool:
    """Implements interfaces.Tool."""

    def __init__(self, services: Services) -> None:
        self.declarations: Sequence[ToolDeclaration] = (
            declare(
                "transfer_call",
                "Hand this telephone call over to somebody else. Ask the person to confirm first. The person hears it "
                "ring; should nobody take the call, you are told why and go on talking.",
                ("to",),
                takes_seconds=TRANSFER_SECONDS,
                to=_whom(services, "transfer to"),
                summary={
                    "type": "string",
                    "description": "One or two sentences about who calls and why. They are spoken to whoever takes "
                    "the call, before the person is connected.",
                },
            ),
        )

    async def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Mapping[str, Any]:
        to = _target(arguments)
        await context.transfer(to, summary=text_of(arguments, "summary", default="", longest=1000))
        return {"to": to, "transferred": True}


class RecordTool:
    """Implements interfaces.Tool."""

    declarations: Sequence[ToolDeclaration] = (
        declare(
            "record_call",
            "Begin or end the recording of this telephone call. That it is recorded is announced by itself.",
            ("on",),
            on={"type": "boolean", "description": "true to begin, false to end"},
        ),
    )

    def __init__(self, services: Services) -> None:
        del services

    async def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Mapping[str, Any]:
        on = arguments.get("on")
        if not isinstance(on, bool):
            raise RequestInvalid("Say whether to begin or to end the recording.")
        await context.record(on)
        return {"recording": on}


class HangUpTool:
    """Implements interfaces.Tool."""

    declarations: Sequence[ToolDeclaration] = (
        declare(
            "hang_up",
            "End this call or conversation, once what is being said has been heard. Say goodbye first.",
        ),
    )

    def __init__(self, services: Services) -> None:
        del services

    async def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Mapping[str, Any]:
        await context.hang_up()
        return {"ending": True}
