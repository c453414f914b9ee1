"""A prompt's items as steps that every API takes: well formed by construction, whatever stood in the history. Pure.

A step is what one side said, or all calls that the model made at one time, each with its outcome: there is no way to
write a call without its outcome, or an outcome without its call. The first step is the user's; the last one is the
user's, or calls.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.stages import Remembered, Said, ToolUse

OPENING: Final = "(The conversation begins.)"
"""Stands before what an assistant says unasked: some services and chat templates take no such beginning."""
GO_ON: Final = "(Go on.)"
"""Stands after what an assistant said last, which some servers would continue in the middle of the word."""
NAME_BOUND: Final = 64
"""Characters of a call's or a tool's name."""
MALFORMED_BOUND: Final = 2_000
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """`role` is user or assistant; never empty."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call with its outcome. `call_id` is unique among the steps, `arguments` an object without odd values."""

    call_id: str
    tool: str
    arguments: Json
    outcome: str
    opaque: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of one step of the model; at least one."""

    calls: tuple[PastCall, ...]


Step = Text | Calls


def steps(items: Sequence[Remembered]) -> list[Step]:
    """Bring the items of a prompt into order; neighbours of one role are one step, and empty texts none."""
    names = _Names()
    found: list[Step] = []
    for (kind, key), group in itertools.groupby(items, _belongs):
        if kind == "calls":
            found.append(Calls(tuple(_past(item, names) for item in group if isinstance(item, ToolUse))))
        else:
            _add_text(found, key, [clean(item.text) for item in group if isinstance(item, Said)])
    if not found or not _is_from(found[0], "user"):
        found.insert(0, Text("user", OPENING))
    if _is_from(found[-1], "assistant"):
        found.append(Text("user", GO_ON))
    return found


def clean(text: str) -> str:
    """Without what is no UTF-8 or ends a C string."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def object_of(text: str) -> Json | None:
    """The JSON object that `text` is; None where it is none, or has a value that JSON has not."""
    try:
        value = json.loads(text)
        plain = json.dumps(value, ensure_ascii=False, allow_nan=False)
        value = json.loads(clean(plain))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def json_text(value: Mapping[str, Any]) -> str:
    """`value` as object_of() returned it."""
    return json.dumps(value, ensure_ascii=False)


def tool_name(name: str) -> str:
    """A name that every API takes; that of a declared tool is left as it is."""
    plain = _NO_NAME.sub("_", name)[:NAME_BOUND] or "unknown"
    return plain if plain[0].isalpha() or plain[0] == "_" else f"_{plain}"[:NAME_BOUND]


def taken_names(items: Sequence[Remembered]) -> frozenset[str]:
    """The calls of a prompt."""
    return frozenset(item.call_id for item in items if isinstance(item, ToolUse))


def _belongs(item: Remembered) -> tuple[str, str]:
    """What joins neighbours: the role, or the answer of the model that the calls came in."""
    if isinstance(item, Said):
        return "said", "assistant" if item.role == "assistant" else "user"
    together = item.opaque.get("step")
    return "calls", together if isinstance(together, str) and together else f"alone {id(item)}"


def _add_text(found: list[Step], role: str, texts: list[str]) -> None:
    text = "\n".join(text for text in texts if text.strip())
    if not text:
        return
    if found and isinstance(last := found[-1], Text) and last.role == role:
        found[-1] = Text(role, f"{last.text}\n{text}")
    else:
        found.append(Text(role, text))


def _is_from(step: Step, role: str) -> bool:
    return isinstance(step, Text) and step.role == role


def _past(item: ToolUse, names: "_Names") -> PastCall:
    arguments = object_of(item.arguments or "{}")
    if arguments is None:
        # The model is shown what it wrote; the outcome tells it what was wrong.
        arguments = {"malformed": clean(item.arguments)[:MALFORMED_BOUND]}
    outcome = clean(item.outcome)
    return PastCall(
        names.new(item.call_id),
        tool_name(item.tool),
        arguments,
        outcome if outcome.strip() else "{}",
        item.opaque,
    )


class _Names:
    """Names of calls, each given once: an outcome belongs to one call, whatever the history says."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, wanted: str) -> str:
        plain = _NO_NAME.sub("_", wanted)[:NAME_BOUND]
        names: Iterator[str] = (f"call_{number:04}" for number in itertools.count(len(self._given)))
        name = next(name for name in itertools.chain([plain], names) if name and name not in self._given)
        self._given.add(name)
        return name
