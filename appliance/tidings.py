"""What became of the settings on the boot partition, told once; `handset-firstboot.service` leaves it for us."""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance import private
from appliance.aloud import Aloud, Say
from appliance.bus import EventBus
from appliance.errors import ApplianceError
from appliance.events import Provisioned, SetupChanged, Warned

LEFT_HERE: Final = Path("/run/handset-provisioned.json")
SET_UP_HERE: Final = Path("/run/handset-setup.json")
"""How to reach the network that the appliance opened to be set up, while it is open."""
LOOK_SECONDS: Final = 5.0
LABEL: Final = "provisioned"
_MOST: Final = 20
"""Faults that are told one by one; more stand in the file on the card."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tidings:
    """`at` in Unix seconds by the clock of then; `faults` with file, line, key, message and hint.

    `waiting`: the set-up page is open.
    """

    at: float
    ok: bool
    sentence: str
    faults: tuple[dict[str, Any], ...]
    waiting: bool = False


def read(path: Path) -> Tidings | None:
    """None where nothing was left, or nothing that can be understood."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        faults = tuple(fault for fault in found["faults"] if isinstance(fault, dict))
        waiting = bool(found.get("waiting"))
        return Tidings(float(found["at"]), bool(found["ok"]), str(found["sentence"]), faults, waiting)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("what was left in %s cannot be read: %s", path, type(error).__name__)
        return None


async def watch(
    directory: Path, bus: EventBus, say: Say, places: Sequence[Path] = (LEFT_HERE, SET_UP_HERE)
) -> None:
    """Tell what is new in `places`, aloud until it was heard once, also over restarts; and whether it waits to be set
    up. Without end."""
    told: dict[Path, float] = {}
    aloud = Aloud(bus, say)
    waiting = False
    while True:
        left = {path: found for path in places if (found := await asyncio.to_thread(read, path)) is not None}
        waits = any(found.waiting for found in left.values())
        if waits is not waiting:
            waiting = waits
            bus.publish(SetupChanged(state="open" if waits else "closed"))
        for path in places:
            marker = directory / f"{path.stem}.told"
            found = left.get(path)
            if found is None:
                aloud.drop(marker.name)
            elif told.get(path) != found.at:
                told[path] = found.at
                tell(found, bus, aloud, marker)
        await asyncio.sleep(LOOK_SECONDS)


def tell(tidings: Tidings, bus: EventBus, aloud: Aloud, marker: Path) -> bool:
    """As events, and aloud unless the file `marker` says that it was heard. Return whether it is being said."""
    count = len(tidings.faults)
    bus.publish(Provisioned(ok=tidings.ok, message=tidings.sentence, faults=count))
    for fault in tidings.faults[:_MOST]:
        where = f"{fault.get('file') or 'settings'}, line {fault.get('line', 0)}"
        key = f"{fault['key']}: " if fault.get("key") else ""
        message = f"{where}: {key}{fault.get('message', '')}"
        bus.publish(Warned(code="provisioning_fault", message=message, hint=str(fault.get("hint", ""))))
    at = repr(tidings.at)
    # Whatever is still owed is outdated: a password of a network that is not there any more, for example.
    aloud.drop(marker.name)
    if _marked(marker) == at:
        return False
    try:
        aloud.tell(marker.name, tidings.sentence, LABEL, lambda: _mark(marker, at))
    except ApplianceError as error:
        logger.info("what became of the settings is told to nobody: %s", error.message)
        return False
    return True


def _marked(marker: Path) -> str:
    try:
        return marker.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _mark(marker: Path, text: str) -> None:
    try:
        with open(marker, "w", encoding="ascii", opener=private.opener) as file:
            file.write(text)
    except OSError as error:
        logger.warning("%s cannot be written: it will be said again", marker)
        logger.debug("because of %s", error.strerror)
