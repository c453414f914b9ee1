"""Asks for a factory reset: the daemon may not touch settings and secrets, so it leaves a request that the system sees.

`handset-reset.path` waits for the file; `handset-reset.service` stops the daemon, runs `handset factory-reset`, and
starts the machine anew.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

from appliance import private
from appliance.errors import NotPossible

REQUEST: Final = "factory-reset"
WATCHED: Final = Path("/var/lib/handset")
"""The state directory that `handset-reset.path` looks into; in any other nobody would see the request."""
logger = logging.getLogger(__name__)


async def ask(directory: Path) -> None:
    """Leave the request in the state directory. Raise NotPossible where that cannot be written."""
    await asyncio.to_thread(_leave, directory / REQUEST)
    logger.warning("a factory reset was asked for")


def _leave(path: Path) -> None:
    try:
        with open(path, "w", encoding="ascii", opener=private.opener):
            pass
    except OSError as error:
        raise NotPossible(
            f"a factory reset cannot be asked for: {error.strerror}", hint="as root: handset factory-reset"
        ) from error
