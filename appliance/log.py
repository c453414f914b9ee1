"""Logging: to systemd's journal with fields, else to stderr, in the journal's own priority prefixes when it reads that.

Speech, transcripts, tool arguments and secrets are never logged: callers pass ids, codes, counts and lengths.
"""

import logging
import os
import sys
from typing import Final

from appliance.journal import PRIORITY, journal_handler

_CHATTY: Final = (
    "asyncio",
    "cartesia",
    "google_genai",
    "hassil",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "livekit",
    "openai",
    "websockets",
)
"""Below warnings they tell nothing that helps, and some of them what was said."""


class _JournalFormatter(logging.Formatter):
    """systemd reads a `<N>` prefix as the priority and adds the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{PRIORITY.get(record.levelno, '6')}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def begin(level: str) -> None:
    """Send the log to the journal or to stderr at `level` (debug, info, warning, error). Idempotent."""
    root = logging.getLogger()
    root.handlers[:] = [journal_handler() or _stderr_handler()]
    root.setLevel(level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def _stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    return handler
