"""Logging: to stderr, in the journal's own priority prefixes when a service manager reads it.

Speech, transcripts, tool arguments and secrets are never logged: callers pass ids, codes, counts and lengths.
"""

import logging
import os
import sys
from typing import Final

_PRIORITY: Final = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}

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
        prefix = _PRIORITY.get(record.levelno, "<6>")
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def begin(level: str) -> None:
    """Send the log to stderr at `level` (debug, info, warning, error). Idempotent."""
    handler = logging.StreamHandler(sys.stderr)
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
