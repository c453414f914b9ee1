"""The verbs `status`, `say`, `ask`, `mute` and `volume`."""

import argparse
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from appliance.commands.remote import Refused, Remote, call_daemon
from appliance.errors import NotPossible

_SETTLE: Final = 2.0


def status(args: argparse.Namespace) -> int:
    """Print the snapshot."""
    with call_daemon(args) as remote:
        hello = remote.hello
    if args.json:
        print(json.dumps(hello["state"]))
        return 0
    name = hello["device"].get("name", "handset")
    print(f"{name}, version {hello['version']}")
    for heading, text in _rows(hello["state"]):
        print(f"{heading:14}{text}")
    return 0


def say(args: argparse.Namespace) -> int:
    return _simple(args, "say", f"saying it on the line {args.line}", line=args.line, text=args.text)


def mute(args: argparse.Namespace) -> int:
    on = args.state == "on"
    told = "the microphone is muted" if on else "the microphone is on"
    return _simple(args, "mute", told, line=args.line, on=on)


def volume(args: argparse.Namespace) -> int:
    with call_daemon(args) as remote:
        data = remote.ask("volume", line=args.line, level=args.level)
    print(json.dumps(data) if args.json else f"volume {data['level']}")
    return 0


def ask(args: argparse.Namespace) -> int:
    """Type the text into a session of its own and print the answer."""
    with call_daemon(args) as remote:
        fields = {"agent": args.agent} if args.agent else {}
        session = remote.ask("session.open", line="client", **fields)["session"]
        turn = remote.ask("text", session=session, text=args.text)["turn"]
        answer = _answer(remote, session, turn, args)
        # It may have ended by itself, as after "hang up".
        with contextlib.suppress(Refused):
            remote.ask("session.close", session=session)
    if answer and not args.json:
        print(answer)
    return 0 if answer else 1


def _answer(remote: Remote, session: str, turn: int, args: argparse.Namespace) -> str:
    """What the assistant said in `turn`, once it has said it all."""
    pieces: list[str] = []
    deadline = time.monotonic() + args.timeout
    settled = deadline
    while (left := min(deadline, settled) - time.monotonic()) > 0:
        try:
            event = remote.next_event(left)
        except TimeoutError:
            break
        if event.get("session") != session:
            continue
        if args.json:
            print(json.dumps(event), flush=True)
        if event["type"] == "error":
            raise NotPossible(event["message"], hint=event.get("hint", ""))
        if _is_final_answer(event, turn):
            pieces.append(event["text"])
            settled = time.monotonic() + _SETTLE
        elif _is_over(event) and pieces:
            break
        elif event["type"] == "session.state" and event["to"] == "closed":
            raise NotPossible(f"the session ended without an answer: {event['reason'] or 'no reason given'}")
        elif event["type"] == "turn":
            settled = deadline
    if not pieces:
        raise NotPossible(
            f"there was no answer within {args.timeout:g} s", hint="handset status shows the provider"
        )
    return " ".join(pieces)


def _is_over(event: Mapping[str, Any]) -> bool:
    """Nothing more is to be said: the floor is free, or the session has ended by itself."""
    if event["type"] == "session.state":
        return bool(event["to"] == "closed")
    return bool(event["type"] == "turn" and event["state"] == "idle")


def _is_final_answer(event: Mapping[str, Any], turn: int) -> bool:
    said = event["type"] == "transcript" and event["role"] == "assistant" and event["final"]
    return bool(said and event["turn"] >= turn and event["text"])


def _simple(args: argparse.Namespace, command: str, told: str, **fields: Any) -> int:
    with call_daemon(args) as remote:
        data = remote.ask(command, **fields)
    print(json.dumps(data) if args.json else told)
    return 0


def _rows(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reasons = state.get("reasons") or []
    yield "ready", "yes" if state.get("ready") else f"no: {'; '.join(reasons) or 'starting'}"
    yield "microphone", {None: "no room line", True: "muted", False: "on"}[state.get("mute")]
    if state.get("volume") is not None:
        yield "volume", str(state["volume"])
    registration = state.get("registration", {})
    at = f" at {registration['server']}" if registration.get("server") else ""
    because = f" ({registration['reason']})" if registration.get("reason") else ""
    yield "telephone", f"{registration.get('state', 'off')}{at}{because}"
    yield from _list("provider", _named(state.get("providers", {})))
    yield from _list("line", state.get("lines", []))
    yield from _list("session", state.get("sessions", []))
    yield from _list("call", state.get("calls", []))


def _named(entries: Any) -> list[Any]:
    if isinstance(entries, Mapping):
        return [
            {"name": name, **(entry if isinstance(entry, Mapping) else {"state": entry})}
            for name, entry in entries.items()
        ]
    return list(entries)


def _list(heading: str, entries: Any) -> Iterator[tuple[str, str]]:
    for entry in _named(entries):
        plain = {
            key: value for key, value in entry.items() if isinstance(value, str | int | float) and value != ""
        }
        identity = next((plain.pop(key) for key in ("id", heading, "name") if key in plain), "")
        told = "  ".join(f"{key} {_shown(value)}" for key, value in plain.items() if not key.endswith("_at"))
        yield heading, f"{identity}  {told}".strip()


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
