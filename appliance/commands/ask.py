"""The verb `ask`: a question typed into a session of its own, and what is answered, until nothing is asked back."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.commands.remote import Refused, Remote, call_daemon
from appliance.errors import NotPossible

SETTLE_SECONDS: Final = 2.0
"""An answer may have a second part; and a turn may end in silence before somebody says that there is no answer."""
MOST_REPLIES: Final = 8
_HARMLESS: Final = frozenset({"stage_skipped"})
"""What a provider tells of itself and answers all the same."""
_YES: Final = "yes"
_ASKED_BACK: Final = "it asks back: give --yes to say yes, or ask on a terminal, where you can reply"


def ask(args: argparse.Namespace) -> int:
    """Type the text into a session of its own and print the answer; reply to what it asks back, where that can be."""
    with call_daemon(args) as remote:
        fields = {"agent": args.agent} if args.agent else {}
        session = remote.ask("session.open", line="client", **fields)["session"]
        _talk(remote, session, args)
        # It may have ended by itself, as after "hang up".
        with contextlib.suppress(Refused):
            remote.ask("session.close", session=session)
    return 0


def _talk(remote: Remote, session: str, args: argparse.Namespace) -> None:
    text = args.text
    for _ in range(MOST_REPLIES):
        turn = remote.ask("text", session=session, text=text)["turn"]
        answer = _answer(remote, session, turn, args)
        if not args.json:
            print(answer.text or "(nothing to say)", flush=True)
        if answer.ended or not answer.asks or not (text := _reply(args)):
            return


def _reply(args: argparse.Namespace) -> str:
    """What is said to a question; empty where nobody can."""
    if args.yes:
        return _YES
    if not args.json and sys.stdin.isatty() and sys.stdout.isatty():
        with contextlib.suppress(EOFError):
            return input("> ").strip()
        return ""
    print(_ASKED_BACK, file=sys.stderr)
    return ""


def _answer(remote: Remote, session: str, turn: int, args: argparse.Namespace) -> "Answer":
    """What came of `turn`. Raise NotPossible where nobody can answer, and say why."""
    answer = Answer(session, turn, time.monotonic() + args.timeout)
    while (left := answer.until - time.monotonic()) > 0:
        try:
            event = remote.next_event(left)
        except TimeoutError:
            break
        if event.get("session") != session:
            continue
        if args.json:
            print(json.dumps(event), flush=True)
        if event["type"] in ("error", "warning") and (reason := _nobody(remote)):
            raise NotPossible(reason, hint=event.get("hint") or "run: handset doctor")
        if answer.take(event, time.monotonic()):
            break
    if not answer.pieces and (answer.fault or not answer.silent):
        raise NotPossible(answer.reason(args.timeout), hint=answer.hint or "run: handset doctor")
    return answer


def _nobody(remote: Remote) -> str:
    """Why no provider is there to answer; empty while one may be."""
    providers = remote.ask("status").get("providers", {}).values()
    rungs = [provider for provider in providers if provider.get("rung") is not None]
    if not rungs or any(provider.get("state") != "down" for provider in rungs):
        return ""
    return str(rungs[0].get("reason") or rungs[0].get("code"))


@dataclass
class Answer:
    """What comes in answer to one turn of a session, event by event. Pure: the caller tells the monotonic time."""

    session: str
    turn: int
    deadline: float
    pieces: list[str] = field(default_factory=list)
    silent: bool = False
    """The turn is over, and nothing was said."""
    ended: bool = False
    hint: str = ""
    fault: str = ""
    """Why there is none, as far as that was told."""
    _own_lines: set[str] = field(default_factory=set)
    """What the appliance says itself, of a provider that refuses, say: no answer."""
    _settled: float | None = None

    @property
    def until(self) -> float:
        return self.deadline if self._settled is None else min(self.deadline, self._settled)

    @property
    def text(self) -> str:
        return " ".join(self.pieces)

    @property
    def asks(self) -> bool:
        return self.text.rstrip().endswith("?")

    def reason(self, seconds: float) -> str:
        """Why there is none."""
        waited = f"there was no answer within {seconds:g} s"
        return self.fault or ("the session ended without an answer" if self.ended else waited)

    def take(self, event: Mapping[str, Any], now: float) -> bool:
        """Whether that was all."""
        match event["type"]:
            case "error":
                self.fault, self.hint = event["message"], event.get("hint", "")
            case "warning":
                self._warned(event)
            case "provider" if event["state"] == "up":
                self.fault = self.hint = ""
            case "transcript" if self._answers(event):
                self.pieces.append(event["text"])
                self._settled = now + SETTLE_SECONDS
            case "session.state" if event["to"] == "closed":
                self.ended = True
                self.fault = self.fault or _why(event)
                return True
            case "turn":
                return self._turned(event, now)
        return False

    def _warned(self, event: Mapping[str, Any]) -> None:
        if not event.get("provider"):
            self._own_lines.add(event["message"])
            self.fault = self.fault or event["message"]
        elif event["code"] not in _HARMLESS:
            self.fault = event["message"]

    def _turned(self, event: Mapping[str, Any], now: float) -> bool:
        idle = event["state"] == "idle" and event["turn"] >= self.turn
        if idle and self.pieces:
            return True
        self.silent = idle
        self._settled = now + SETTLE_SECONDS if idle else None
        return False

    def _answers(self, event: Mapping[str, Any]) -> bool:
        final = event["role"] == "assistant" and event["final"] and event["turn"] >= self.turn
        return bool(final and event["text"] and event["text"] not in self._own_lines)


def _why(event: Mapping[str, Any]) -> str:
    return f"the session ended without an answer: {event.get('reason') or 'no reason given'}"
