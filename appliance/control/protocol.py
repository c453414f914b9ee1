"""The language of the control API, without I/O: commands in, results, errors and events out."""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final

from appliance.control import fields
from appliance.control.fields import BadField, Field
from appliance.errors import ApplianceError, Forbidden, RequestInvalid
from appliance.events import Event

PROTOCOL: Final = 1
SUBPROTOCOL: Final = "handset.v1"
MESSAGE_BYTES: Final = 1 << 20


class Close(IntEnum):
    """WebSocket close codes."""

    MALFORMED = 4400
    UNAUTHORIZED = 4401
    SCOPE = 4403
    IDLE = 4408
    BUSY = 4409
    TOO_FAST = 4429


class Scope(StrEnum):
    """What a token allows; each includes those before it."""

    OBSERVE = "observe"
    TALK = "talk"
    CONTROL = "control"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(other)


class Malformed(Exception):
    """Not a command at all: the connection is closed with 4400."""


class Unsupported(ApplianceError):
    """The command is known, but this version or configuration cannot do it."""

    code = "not_supported"


class TookTooLong(ApplianceError):
    """The command's work did not end in time; it may still take effect."""

    code = "timeout"
    retryable = True


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed command: `fields` holds every field of its table row, defaults filled in."""

    command: str
    id: str | int
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that is answered with an error straight away; `id` is None where the caller gave no usable one."""

    id: str | int | None
    error: ApplianceError


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table: the scope that is needed, and the fields."""

    scope: Scope
    fields: Mapping[str, Field] = field(default_factory=dict)


def _topics(kind: type[Event] = Event) -> Iterator[str]:
    for child in kind.__subclasses__():
        if child.topic:
            yield child.topic
        yield from _topics(child)


TOPICS: Final = tuple(sorted(set(_topics())))
ON_REQUEST: Final = frozenset({"audio.level", "metrics"})
"""Topics that only reach those who ask for them; the first to be dropped for a slow client."""

_NAME: Final = Field(fields.name)
_NEEDED: Final = Field(fields.name, required=True)
_TEXT: Final = Field(fields.text, required=True)
_PLACE: Final = Field(fields.one_of("agent", "room"), default="")
_ANY_CALL: Final = Command(Scope.CONTROL, {"call": _NAME})
_PAGE: Final = Command(
    Scope.OBSERVE, {"limit": Field(fields.whole(1, 500), default=50), "before": Field(fields.number)}
)
_PRIORITY: Final = Field(fields.one_of("normal", "high"), default="normal")

COMMANDS: Final[Mapping[str, Command]] = {
    "ping": Command(Scope.OBSERVE),
    "status": Command(Scope.OBSERVE),
    "subscribe": Command(
        Scope.OBSERVE, {"topics": Field(fields.prefixes(TOPICS), example='["call.", "transcript"]')}
    ),
    "session.open": Command(
        Scope.TALK,
        {
            "line": Field(fields.one_of("client"), default="client"),
            "sample_rate": Field(fields.rate, default=16_000),
            "agent": Field(fields.label, default=""),
            "user": Field(fields.label, default=""),
        },
    ),
    "session.close": Command(Scope.TALK, {"session": _NAME}),
    "session.interrupt": Command(Scope.TALK, {"session": _NAME}),
    "text": Command(Scope.TALK, {"session": _NAME, "text": _TEXT}),
    "say": Command(
        Scope.CONTROL,
        {
            "session": _NAME,
            "line": _NAME,
            "text": _TEXT,
            "interruptible": Field(fields.switch, default=True),
            "priority": _PRIORITY,
        },
    ),
    "notify": Command(
        Scope.CONTROL,
        {
            "session": _NAME,
            "line": _NAME,
            "text": _TEXT,
            "label": Field(fields.label, default=""),
            "priority": _PRIORITY,
        },
    ),
    "agent.transfer": Command(Scope.CONTROL, {"session": _NEEDED, "agent": _NEEDED}),
    "behaviour.set": Command(Scope.CONTROL, {"session": _NEEDED, "key": _NEEDED, "preset": _NEEDED}),
    "mute": Command(Scope.CONTROL, {"line": _NAME, "on": Field(fields.switch, required=True)}),
    "volume": Command(Scope.CONTROL, {"line": _NAME, "level": Field(fields.whole(0, 100), required=True)}),
    "ptt.press": Command(Scope.TALK, {"line": _NAME}),
    "ptt.release": Command(Scope.TALK, {"line": _NAME}),
    "call.dial": Command(
        Scope.CONTROL,
        {
            "to": _NEEDED,
            "agent": Field(fields.label, default=""),
            "account": Field(fields.label, default=""),
            "line": _PLACE,
        },
    ),
    "call.answer": Command(Scope.CONTROL, {"call": _NAME, "line": _PLACE}),
    "call.reject": _ANY_CALL,
    "call.hangup": _ANY_CALL,
    "call.hold": _ANY_CALL,
    "call.resume": _ANY_CALL,
    "call.transfer": Command(
        Scope.CONTROL,
        {
            "call": _NAME,
            "to": _NEEDED,
            "mode": Field(fields.one_of("blind", "attended"), default="blind"),
            "summary": Field(fields.text, default=""),
        },
    ),
    "call.dtmf": Command(Scope.CONTROL, {"call": _NAME, "digits": Field(fields.digits, required=True)}),
    "call.dnd": Command(Scope.CONTROL, {"on": Field(fields.switch, required=True)}),
    "call.record": Command(
        Scope.CONTROL,
        {"call": _NAME, "on": Field(fields.switch, required=True), "paused": Field(fields.switch)},
    ),
    "history.list": _PAGE,
    "history.get": Command(Scope.OBSERVE, {"session": _NEEDED}),
    "history.calls": _PAGE,
    "config.reload": Command(Scope.ADMIN),
    "diagnose": Command(Scope.ADMIN),
}


def parse(message: str) -> Request | Refusal:
    """Read one text frame. Raise Malformed when it is not a JSON object."""
    body = _object(message)
    caller = _caller_id(body.get("id"))
    try:
        if caller is None:
            raise RequestInvalid(
                "every command needs an `id`: a text of 1 to 128 characters or a whole number",
                hint='for example {"type": "ping", "id": "1"}',
            )
        command = _command(body)
        return Request(command, caller, _fields_of(command, body))
    except RequestInvalid as error:
        return Refusal(caller, error)


def authorize(request: Request, scope: Scope) -> None:
    """Raise Forbidden when `scope` does not reach as far as the command needs."""
    needed = COMMANDS[request.command].scope
    if not scope.includes(needed):
        raise Forbidden(
            f"{request.command} needs the scope {needed}; this token has {scope}",
            hint=f"make a token with: handset pair --scope {needed}",
        )


def suggestion(word: str, known: list[str]) -> str:
    """ "did you mean X?" or nothing."""
    close = difflib.get_close_matches(word[: fields.NAME_LENGTH], known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def result(caller: str | int, data: Mapping[str, Any]) -> str:
    return encode({"type": "result", "id": caller, "data": data})


def failure(caller: str | int | None, error: ApplianceError) -> str:
    return encode(
        {"type": "error", "id": caller, "code": error.code, "message": error.message, "hint": error.hint}
    )


def event(happened: Event) -> str:
    return encode(happened.wire())


def hello(
    version: str, device: Mapping[str, Any], capabilities: list[str], scope: Scope, state: Mapping[str, Any]
) -> str:
    return encode(
        {
            "type": "hello",
            "protocol": PROTOCOL,
            "version": version,
            "device": device,
            "capabilities": capabilities,
            "scope": str(scope),
            "state": state,
        }
    )


def encode(body: Mapping[str, Any]) -> str:
    """Strict JSON: numbers that JSON does not know become null."""
    try:
        return json.dumps(body, allow_nan=False, default=_plain, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(body), allow_nan=False, default=_plain, separators=(",", ":"))


def _object(message: str) -> dict[str, Any]:
    try:
        body = json.loads(message, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed("a text frame must be JSON") from None
    if not isinstance(body, dict):
        raise Malformed("a text frame must be a JSON object")
    return body


def _no_constant(constant: str) -> None:
    raise ValueError(constant)


def _caller_id(value: Any) -> str | int | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        return value
    return value if isinstance(value, str) and 0 < len(value) <= 128 else None


def _command(body: Mapping[str, Any]) -> str:
    command = body.get("type")
    if not isinstance(command, str):
        raise RequestInvalid(
            "every command needs a `type`: a text", hint='for example {"type": "ping", "id": "1"}'
        )
    if command not in COMMANDS:
        hint = suggestion(command, list(COMMANDS)) or "docs/control-api.md lists the commands"
        raise UnknownCommand(f"there is no command {command[: fields.NAME_LENGTH]!r}", hint=hint)
    return command


class UnknownCommand(RequestInvalid):
    """No such command."""

    code = "unknown_command"


def _fields_of(command: str, body: Mapping[str, Any]) -> dict[str, Any]:
    row = COMMANDS[command].fields
    for given in body:
        if given not in row and given not in ("type", "id"):
            hint = suggestion(given, list(row)) or f"it takes {', '.join(row) or 'no fields'}"
            raise RequestInvalid(f"{command} has no field {given[: fields.NAME_LENGTH]!r}", hint=hint)
    return {name: _value(command, name, wanted, body) for name, wanted in row.items()}


def _value(command: str, name: str, wanted: Field, body: Mapping[str, Any]) -> Any:
    given = body.get(name)
    if given is None:
        if wanted.required:
            raise RequestInvalid(
                f"{command} needs the field `{name}`", hint=f"it takes {', '.join(COMMANDS[command].fields)}"
            )
        return wanted.default
    try:
        return wanted.check(given)
    except BadField as error:
        raise RequestInvalid(
            f"the field `{name}` of the command {command} {error}",
            hint=f"for example {wanted.example}"
            if wanted.example
            else "docs/control-api.md lists the fields",
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
