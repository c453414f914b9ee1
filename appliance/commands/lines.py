"""The verbs `status`, `say`, `ask`, `mute` and `volume`."""

import argparse
import contextlib
import json
import sys
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
    """1 when nobody can hear it, as in a room without a speaker."""
    with call_daemon(args) as remote:
        data = remote.ask("say", line=args.line, text=args.text)
    warning = data.get("warning")
    if args.json:
        print(json.dumps(data))
    elif not warning:
        print(f"saying it on the line {args.line}")
    if warning:
        print(f"handset: {warning}", file=sys.stderr)
    return 1 if warning else 0


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
    yield "microphone", _microphone(state)
    if state.get("volume") is not None:
        yield "volume", str(state["volume"])
    yield "telephone", _telephone(state)
    yield from _list("provider", _named(state.get("providers", {})))
    yield from _list("line", map(_line, state.get("lines", [])))
    yield from _list("session", state.get("sessions", []))
    yield from _list("call", state.get("calls", []))


def _microphone(state: Mapping[str, Any]) -> str:
    room = next((line for line in state.get("lines", []) if line.get("kind") == "room"), None)
    if room is None or state.get("mute") is None:
        return "no room line"
    if state["mute"]:
        return "muted"
    return "on" if _works(room, "input") else "none found: one that is plugged in is taken at once"


def _telephone(state: Mapping[str, Any]) -> str:
    """Both what it listens on and what became of its account, if it has one."""
    telephone, registration = state.get("telephone", {}), state.get("registration", {})
    told = [telephone.get("state", "off")]
    if telephone.get("state") == "listening":
        told.append(f"at {telephone['address']}")
    elif telephone.get("reason"):
        told.append(f"({telephone['reason']})")
    if registration.get("state", "off") != "off":
        told[-1] += ","
        told.append(f"{registration['state']} at {registration.get('server') or 'no server'}")
        told += [f"({registration['reason']})"] if registration.get("reason") else []
    return " ".join(told)


def _line(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what has no meaning while there is no device to speak and listen with."""
    if line.get("kind") != "room" or (_works(line, "input") and _works(line, "output")):
        return line
    return {key: value for key, value in line.items() if key != "duplex"}


def _works(room: Mapping[str, Any], kind: str) -> bool:
    return bool(room.get("device", {}).get(kind, {}).get("state") in ("present", "recovered"))


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
