"""The loudness of the speaker, and the microphone's switch."""

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.agents.tools import Services, declare, number_of
from appliance.errors import RequestInvalid
from appliance.interfaces import ToolContext, ToolDeclaration


class VolumeTool:
    """Implements interfaces.Tool."""

    declarations: Sequence[ToolDeclaration] = (
        declare(
            "set_volume",
            "Set the speaker's volume to a level, or change it by some percent; without either, tell it.",
            level={"type": "integer", "minimum": 0, "maximum": 100},
            change={"type": "integer", "minimum": -100, "maximum": 100},
        ),
        declare(
            "set_muted",
            "Switch the microphone off (on=true) or on again (on=false).",
            ("on",),
            on={"type": "boolean"},
        ),
    )

    def __init__(self, services: Services) -> None:
        del services

    async def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Mapping[str, Any]:
        if function == "set_muted":
            on = arguments.get("on")
            if not isinstance(on, bool):
                raise RequestInvalid("on must be true or false.")
            context.set_muted(on)
            return {"muted": on}
        level = number_of(arguments, "level", 0, 100)
        change = number_of(arguments, "change", -100, 100)
        if level is None and change is None:
            return {"level": context.volume()}
        wanted = level if level is not None else context.volume() + (change or 0)
        return {"level": context.set_volume(round(min(100, max(0, wanted))))}
