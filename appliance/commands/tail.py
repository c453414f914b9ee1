"""The verb `tail`: what happens, one event a line."""

import argparse
import json
import time
from typing import Final

from appliance.commands.remote import Message, call_daemon

_SHOWN_FIRST: Final = ("line", "session")


def tail(args: argparse.Namespace) -> int:
    """Print events until Ctrl-C or until the daemon ends."""
    with call_daemon(args) as remote:
        if args.topics:
            remote.ask("subscribe", topics=[topic for topic in args.topics.split(",") if topic])
        try:
            while True:
                event = remote.next_event()
                print(json.dumps(event) if args.json else sentence(event), flush=True)
        except KeyboardInterrupt:
            return 0


def sentence(event: Message) -> str:
    """An event as a line for a person."""
    at = time.strftime("%H:%M:%S", time.localtime(event.get("at", 0.0)))
    where = " ".join(str(event[key]) for key in _SHOWN_FIRST if event.get(key))
    rest = {
        key: value for key, value in event.items() if key not in ("type", "at", *_SHOWN_FIRST) and value != ""
    }
    told = " ".join(f"{key}={_short(value)}" for key, value in rest.items())
    return f"{at}  {event['type']:15} {where:24} {told}".rstrip()


def _short(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if " " in value or not value.isprintable() else value
    return json.dumps(value, ensure_ascii=False)
