"""The log as records with fields, for systemd's journal: journalctl HANDSET_CALL=c1, or HANDSET_CODE=device_lost.

| field | has |
|---|---|
| PRIORITY, LOGGER, CODE_FILE, CODE_LINE, CODE_FUNC, THREAD_NAME | what the journal's readers know |
| HANDSET_CALL, HANDSET_SESSION, HANDSET_LINE, HANDSET_ACCOUNT | whom a record is about |
| HANDSET_CODE | the stable code of a warning or an error |

Never speech, transcripts, tool arguments or secrets: of an event only its ids and its code are taken.
"""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Final

from appliance import plugins
from appliance.bus import EventBus
from appliance.errors import ApplianceError
from appliance.events import Event, Failed, Warned
from appliance.interfaces import Journal

PRIORITY: Final = {
    logging.DEBUG: "7",
    logging.INFO: "6",
    logging.WARNING: "4",
    logging.ERROR: "3",
    logging.CRITICAL: "2",
}
_PLACEHOLDER: Final = re.compile(r"(?:\b(call|session|line|account) )?%(?:[-#0 +]*\d*(?:\.\d+)?)([a-zA-Z%])")
_ABOUT: Final = "about"
logger = logging.getLogger(__name__)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """The journal's fields of a record, its message aside. "call %s" in a message's pattern names the call."""
    fields = {
        "PRIORITY": PRIORITY.get(record.levelno, "6"),
        "SYSLOG_IDENTIFIER": "handset",
        "LOGGER": record.name,
        "THREAD_NAME": record.threadName or "",
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName,
    }
    about = {**_named_in(record), **getattr(record, _ABOUT, {})}
    return fields | {f"HANDSET_{name.upper()}": value for name, value in about.items() if value}


def _named_in(record: logging.LogRecord) -> dict[str, str]:
    if not isinstance(record.msg, str) or not isinstance(record.args, tuple):
        return {}
    places = [match for match in _PLACEHOLDER.finditer(record.msg) if match.group(2) != "%"]
    return {
        match.group(1): str(value)
        for match, value in zip(places, record.args, strict=False)
        if match.group(1) and isinstance(value, str)
    }


class JournalHandler(logging.Handler):
    """Writes records to `journal`; what it does not take goes to stderr."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)
        try:
            self._journal.write(message, fields_of(record))
        except OSError:
            print(f"<{PRIORITY.get(record.levelno, '6')}>{message}", file=sys.stderr)


def journal_handler(environ: Mapping[str, str] = os.environ) -> logging.Handler | None:
    """A handler for the journal, where stderr leads there and its library is installed."""
    if not _leads_to_journal(environ.get("JOURNAL_STREAM", "")):
        return None
    with contextlib.suppress(ApplianceError):
        return JournalHandler(plugins.load("appliance.journals", "systemd")())
    return None


def _leads_to_journal(stream: str) -> bool:
    """$JOURNAL_STREAM is "device:inode" of what the service manager made stderr; somebody may have led it elsewhere."""
    try:
        here = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{here.st_dev}:{here.st_ino}"


def follow(bus: EventBus) -> None:
    """Write a record, by code and ids alone, for each event `warning` and `error`, where the journal takes fields."""
    if any(isinstance(handler, JournalHandler) for handler in logging.getLogger().handlers):
        bus.listen(_note)


def _note(event: Event) -> None:
    if not isinstance(event, Warned | Failed):
        return
    level = logging.WARNING if isinstance(event, Warned) else logging.ERROR
    about = {
        "code": event.code,
        "session": event.session,
        "line": event.line,
        "call": getattr(event, "call", None),
    }
    logger.log(level, "event %s: %s", event.topic, event.code, extra={_ABOUT: about})
