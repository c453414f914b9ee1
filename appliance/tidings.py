"""What became of the settings on the boot partition, told once; `handset-firstboot.service` leaves it for us."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance import private
from appliance.errors import ApplianceError
from appliance.events import EventBus, Provisioned, Warned

LEFT_HERE: Final = Path("/run/handset-provisioned.json")
LABEL: Final = "provisioned"
_TOLD: Final = "provisioned.told"
_MOST: Final = 20
"""Faults that are told one by one; more stand in the file on the card."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tidings:
    """`at` in Unix seconds by the clock of then; `faults` with file, line, key, message and hint."""

    at: float
    ok: bool
    sentence: str
    faults: tuple[dict[str, Any], ...]


def read(path: Path) -> Tidings | None:
    """None where nothing was left, or nothing that can be understood."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        faults = tuple(fault for fault in found["faults"] if isinstance(fault, dict))
        return Tidings(float(found["at"]), bool(found["ok"]), str(found["sentence"]), faults)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("what was left in %s cannot be read: %s", path, type(error).__name__)
        return None


def tell(tidings: Tidings, directory: Path, bus: EventBus, say: Callable[[str, str], None]) -> bool:
    """As events, and aloud unless an earlier run has: `directory` keeps which. Return whether it was said."""
    count = len(tidings.faults)
    bus.publish(Provisioned(ok=tidings.ok, message=tidings.sentence, faults=count))
    for fault in tidings.faults[:_MOST]:
        where = f"{fault.get('file') or 'settings'}, line {fault.get('line', 0)}"
        key = f"{fault['key']}: " if fault.get("key") else ""
        message = f"{where}: {key}{fault.get('message', '')}"
        bus.publish(Warned(code="provisioning_fault", message=message, hint=str(fault.get("hint", ""))))
    marker = directory / _TOLD
    if _marked(marker) == repr(tidings.at):
        return False
    try:
        say(tidings.sentence, LABEL)
    except ApplianceError as error:
        logger.info("the settings on the card are told to nobody: %s", error.message)
        return False
    _mark(marker, repr(tidings.at))
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
