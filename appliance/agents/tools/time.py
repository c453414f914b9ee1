"""The time and the date."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from appliance.agents.tools import Services, declare
from appliance.interfaces import ToolContext, ToolDeclaration

CAVEAT: Final = "But my clock has not been set from the network yet, so that may be wrong."


class TimeTool:
    """Implements interfaces.Tool."""

    declarations: Sequence[ToolDeclaration] = (
        declare(
            "get_time",
            "The present local time and date. Returns time HH:MM, date YYYY-MM-DD, weekday, the zone, and a caveat "
            "to be told where it is not empty.",
        ),
    )

    def __init__(self, services: Services) -> None:
        self._believed = services.clock_believed

    async def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Mapping[str, Any]:
        now = datetime.fromtimestamp(context.now()).astimezone()
        return {
            "time": now.strftime("%H:%M"),
            "date": now.date().isoformat(),
            "weekday": now.strftime("%A"),
            "zone": now.tzname() or "",
            "caveat": "" if self._believed() else CAVEAT,
        }
