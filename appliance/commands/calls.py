"""The verbs about calls, and do-not-disturb."""

import argparse
import json
from typing import Any

from appliance.commands.remote import Message, Remote, call_daemon


def call(args: argparse.Namespace) -> int:
    """Dial; with --wait print each state, and end with 0 if the call was answered."""
    with call_daemon(args) as remote:
        chosen = {"agent": args.agent, "account": args.account, "line": "room" if args.room else ""}
        fields = {name: value for name, value in chosen.items() if value}
        name = remote.ask("call.dial", to=args.to, **fields)["call"]
        if not args.wait:
            print(json.dumps({"call": name}) if args.json else f"call {name} to {args.to}")
            return 0
        try:
            return 0 if _follow(remote, name, args) else 1
        except KeyboardInterrupt:
            remote.ask("call.hangup", call=name)
            return 1


def answer(args: argparse.Namespace) -> int:
    place = "room" if args.room else "agent" if args.agent else ""
    return _on_call(args, "call.answer", "answered", **({"line": place} if place else {}))


def record(args: argparse.Namespace) -> int:
    told = "will be recorded" if args.state == "on" else "is not recorded"
    return _on_call(args, "call.record", told, on=args.state == "on")


def hang_up(args: argparse.Namespace) -> int:
    return _on_call(args, "call.hangup", "hung up")


def reject(args: argparse.Namespace) -> int:
    return _on_call(args, "call.reject", "refused")


def hold(args: argparse.Namespace) -> int:
    return _on_call(args, "call.hold", "put on hold")


def resume(args: argparse.Namespace) -> int:
    return _on_call(args, "call.resume", "taken off hold")


def dtmf(args: argparse.Namespace) -> int:
    return _on_call(args, "call.dtmf", f"was sent {args.digits}", digits=args.digits)


def transfer(args: argparse.Namespace) -> int:
    """Hand over; with --wait print each state, and end with 0 if somebody took the call."""
    fields: dict[str, Any] = {
        "to": args.to,
        "mode": "attended" if args.attended else "blind",
        "summary": args.summary,
    }
    if not args.wait:
        return _on_call(args, "call.transfer", f"is being transferred to {args.to}", **fields)
    with call_daemon(args) as remote:
        name = remote.ask("call.transfer", **_named(args), **fields)["call"]
        return 0 if _handed_over(remote, name, args) else 1


def do_not_disturb(args: argparse.Namespace) -> int:
    with call_daemon(args) as remote:
        data = remote.ask("call.dnd", on=args.state == "on")
    told = "callers hear the busy tone" if data["on"] else "callers are let in"
    print(json.dumps(data) if args.json else told)
    return 0


def _handed_over(remote: Remote, name: str, args: argparse.Namespace) -> bool:
    """Follow the call until it is clear whether somebody has taken it."""
    while True:
        event = remote.next_event()
        if event["type"] != "call" or event["call"] != name:
            continue
        print(json.dumps(event) if args.json else _sentence(event), flush=True)
        verdict = taken(event)
        if verdict is not None:
            return verdict


def taken(event: Message) -> bool | None:
    """Whether an event of a call that is transferred says that somebody has taken it; None: not yet known."""
    reason = event.get("reason", "")
    if event["state"] == "ended":
        return bool(reason == "transferred")
    if event["state"] in ("connected", "held"):
        return (
            False if reason.startswith("transfer failed") else True if reason.startswith("joined") else None
        )
    return None


def _follow(remote: Remote, name: str, args: argparse.Namespace) -> bool:
    connected = False
    while True:
        event = remote.next_event()
        if event["type"] != "call" or event["call"] != name:
            continue
        print(json.dumps(event) if args.json else _sentence(event), flush=True)
        connected = connected or event["state"] == "connected"
        if event["state"] == "ended":
            return connected


def _sentence(event: Message) -> str:
    code = f" {event['code']}" if event.get("code") else ""
    reason = f" {event['reason']}" if event.get("reason") else ""
    return f"{event['state']}{code}{reason}"


def _named(args: argparse.Namespace) -> dict[str, Any]:
    return {"call": args.call} if args.call else {}


def _on_call(args: argparse.Namespace, command: str, told: str, **more: Any) -> int:
    with call_daemon(args) as remote:
        data = remote.ask(command, **_named(args), **more)
    print(json.dumps(data) if args.json else f"call {data['call']} {told}")
    return 0
