"""The verbs `call`, `answer` and `hangup`."""

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


def _on_call(args: argparse.Namespace, command: str, told: str, **more: str | bool) -> int:
    fields: dict[str, Any] = {**({"call": args.call} if args.call else {}), **more}
    with call_daemon(args) as remote:
        data = remote.ask(command, **fields)
    print(json.dumps(data) if args.json else f"call {data['call']} {told}")
    return 0
