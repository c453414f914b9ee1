"""The verbs `status`, `say`, `mute` and `volume`."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from appliance.commands.remote import call_daemon


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
    yield "panel", _panel(state.get("panel", {}))
    if (power := state.get("power", {})).get("falls"):
        yield "power", _power(power)
    yield from _list("provider", _named(state.get("providers", {})))
    yield from _list("line", map(_line, state.get("lines", [])))
    yield from _list("session", state.get("sessions", []))
    yield from _list("call", state.get("calls", []))


def _microphone(state: Mapping[str, Any]) -> str:
    room = next((line for line in state.get("lines", []) if line.get("kind") == "room"), None)
    if room is None or state.get("mute") is None:
        return "no room line"
    if state["mute"]:
        return "off, by the switch at the box" if "switch" in room.get("shut_by", ()) else "muted"
    if "hook" in room.get("shut_by", ()):
        return "off, the receiver is on the hook"
    return "on" if _works(room, "input") else "none found: one that is plugged in is taken at once"


def _power(power: Mapping[str, Any]) -> str:
    times = "once" if power["falls"] == 1 else f"{power['falls']} times"
    last = moment(power["fell_at"], time.time())
    mended = "" if power["state"] == "low" else ", not any more"
    return f"the supply's voltage fell {times} since the start, last at {last}{mended}"


def _panel(panel: Mapping[str, Any]) -> str:
    """Buttons, switches and lights."""
    active = ", ".join(panel.get("active", ()))
    reason = panel.get("reason") or (f"active: {active}" if active else "")
    return f"{panel.get('state', 'off')} ({reason})" if reason else str(panel.get("state", "off"))


def _telephone(state: Mapping[str, Any]) -> str:
    """Both what it listens on and what became of its account, if it has one."""
    telephone = state.get("telephone", {})
    told = [telephone.get("state", "off")]
    if telephone.get("state") == "listening":
        told.append(f"at {telephone['address']}")
    elif telephone.get("reason"):
        told.append(f"({telephone['reason']})")
    if state.get("do_not_disturb"):
        told[-1] += ","
        told.append("do not disturb")
    registered = [one for one in state.get("registrations", ()) if one.get("state", "off") != "off"]
    for one in registered:
        told[-1] += ","
        told += [one["account"]] if len(registered) > 1 else []
        failed = one["state"] == "failed"
        told += [one["state"], *([str(one["code"])] if failed and one.get("code") else [])]
        told.append(f"at {one.get('server') or 'no server'}")
        why = "; ".join(filter(None, (one.get("reason"), one.get("hint") if failed else "")))
        told += [f"({why})"] if why else []
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
        told = "  ".join(
            f"{key} {_shown(key, value)}" for key, value in plain.items() if not key.endswith("_at")
        )
        yield heading, f"{identity}  {told}".strip()


def moment(at: float, now: float) -> str:
    """Unix seconds as a local time of day, with the date where that is another."""
    then = time.localtime(at)
    same = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M:%S", then)


def _shown(key: str, value: object) -> str:
    if key == "since" and isinstance(value, float | int):
        return moment(value, time.time())
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
