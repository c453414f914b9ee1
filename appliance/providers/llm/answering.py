"""What an answer is put together from, the same for every service. Pure."""

import re
import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.providers.llm.conversation import clean, json_text, object_of
from appliance.providers.llm.unspoken import UnspokenFilter
from appliance.providers.llm.written_calls import calls_in, may_be_calls
from appliance.stages import AnswerCall, AnswerCut, AnswerOdd, AnswerPart, AnswerText, AnswerUsage

TEXT_BOUND: Final = 100_000
"""Characters of an answer: an hour of talk. A model that goes on is stopped."""
ARGUMENTS_BOUND: Final = 100_000
CALLS_BOUND: Final = 32
WRITTEN_BOUND: Final = 4_000
"""Characters that an answer is held back for, because it may be nothing but a call."""
SHORTEST_ID: Final = 9
"""A shorter name, as "0" or "call_1", comes again in the next answer."""
_ID: Final = re.compile(rf"^[A-Za-z0-9_-]{{{SHORTEST_ID},64}}$")
_ALPHABET: Final = string.ascii_letters + string.digits


@dataclass(slots=True)
class _Piecewise:
    """A call as far as it has come."""

    id: str = ""
    tool: str = ""
    arguments: str = ""
    opaque: dict[str, Any] = field(default_factory=dict)


class Answer:
    """Collects one answer of a model. What its methods return is to be yielded, in that order.

    `progressed` is set when something of the answer has come: a piece of text, or of a call; thoughts are none.
    """

    def __init__(
        self,
        taken: frozenset[str] = frozenset(),
        *,
        tools: frozenset[str] = frozenset(),
        thinking: bool = False,
    ) -> None:
        """`taken` are the names of the conversation's calls, `tools` those of the tools that may be called."""
        self.progressed = False
        self.full = False
        """It became too long: nothing more is to be read."""
        self._taken = set(taken)
        self._tools = tools
        self._filter = UnspokenFilter(inside=thinking)
        self._may_be_call: str | None = "" if tools else None
        """The answer so far, while it may be nothing but calls; None once it is not."""
        self._length = 0
        self._calls: dict[int | str, _Piecewise] = {}
        self._last: _Piecewise | None = None
        self._usage: AnswerUsage | None = None
        self._step = secrets.token_hex(6)

    def text(self, piece: object) -> list[AnswerPart]:
        """The next piece of what is said; anything but text is nothing."""
        if not isinstance(piece, str) or not piece or self.full:
            return []
        parts = self._say(self._not_a_call(self._filter.feed(piece)))
        self.progressed |= self._filter.calling
        return parts

    def call_piece(
        self, place: int | str | None, call_id: object = "", tool: object = "", arguments: object = ""
    ) -> None:
        """A piece of the call at `place`, or the whole of it.

        A server may name no place, and then a new name begins a new call; it may give several calls the same place,
        each with an id of its own; it may repeat id and tool with every piece.
        """
        call = self._call_at(place, _text(call_id), tool=bool(_text(tool)), more=bool(arguments))
        if call is None:
            return
        self.progressed = True
        call.id = call.id or _text(call_id)
        if (name := _text(tool)) and name != call.tool and not call.arguments:
            call.tool += name
        if isinstance(arguments, Mapping):
            arguments = json_text(arguments)
        if isinstance(arguments, str):
            call.arguments = (call.arguments + arguments)[: ARGUMENTS_BOUND + 1]

    def whole_call(
        self,
        place: int | str,
        call_id: object,
        tool: object,
        arguments: object,
        opaque: Mapping[str, Any] | None = None,
    ) -> None:
        """The call at `place` as it finally is: overrules its pieces. Without `opaque`, what was known of it stays."""
        name = _text(tool)
        call = self._calls.get(place)
        if not name or (call is None and len(self._calls) >= CALLS_BOUND):
            return
        call = self._calls[place] = call or _Piecewise()
        self.progressed = True
        call.id = _text(call_id) or call.id
        call.tool = name
        if isinstance(arguments, Mapping):
            arguments = json_text(arguments)
        call.arguments = _text(arguments)[: ARGUMENTS_BOUND + 1] or call.arguments
        call.opaque.update(opaque or {})

    def usage(self, inputs: object, outputs: object) -> None:
        """The newest count holds; a count that is none is passed over."""
        if _is_count(inputs) and _is_count(outputs):
            self._usage = AnswerUsage(int(inputs), int(outputs))  # type: ignore[call-overload]

    def finish(self, cut: str = "") -> list[AnswerPart]:
        """The answer is complete, or was `cut` off by the service: length, filter or other."""
        parts = self._say(self._not_a_call(self._filter.end()))
        parts += self._take_written()
        if self._filter.unopened:
            parts.append(
                AnswerOdd(
                    "thought_spoken", "the model's template begins its thoughts: set llm_starts_thinking"
                )
            )
        parts += self._whole_calls(only_sound=bool(cut))
        if cut or self.full:
            parts.append(AnswerCut(cut or "length"))
        return parts

    def counted(self) -> list[AnswerPart]:
        """The last part."""
        return [self._usage] if self._usage is not None else []

    @property
    def empty(self) -> bool:
        """Nothing has come that is said or done."""
        return not (self._length or self._calls or self._may_be_call or self._filter.written)

    def _not_a_call(self, text: str) -> str:
        """`text`, or nothing while the answer may be a call that no mark surrounds."""
        if self._may_be_call is None or not text:
            return text
        self.progressed = True
        held = self._may_be_call + text
        if len(held) <= WRITTEN_BOUND and may_be_calls(held):
            self._may_be_call = held
            return ""
        self._may_be_call = None
        return held

    def _take_written(self) -> list[AnswerPart]:
        """Calls that were written as text; nothing of them is said."""
        written, parts = self._filter.written, []
        if self._may_be_call and (self._calls or not calls_in(self._may_be_call, self._tools)):
            parts = self._say(self._may_be_call)
        elif self._may_be_call:
            written = [*written, self._may_be_call]
        # A server that gives calls as calls leaves nothing in the text but a shadow of them.
        shadows = bool(self._calls)
        unread = 0
        for text in written:
            calls = [] if shadows else calls_in(text, self._tools)
            unread += not calls and not shadows
            for name, arguments in calls:
                self.whole_call(f"written {len(self._calls)}", "", name, arguments)
        if unread:
            parts.append(AnswerOdd("call_not_understood", "the language model wrote a call that is none"))
        return parts

    def _say(self, text: str) -> list[AnswerPart]:
        if not text:
            return []
        self.progressed = True
        text = text[: TEXT_BOUND - self._length]
        self._length += len(text)
        self.full = self._length >= TEXT_BOUND
        return [AnswerText(clean(text))]

    def _call_at(self, place: int | str | None, call_id: str, *, tool: bool, more: bool) -> _Piecewise | None:
        found = self._calls.get(place) if place is not None else self._last
        is_new = (
            found is None
            or bool(call_id and found.id and call_id != found.id)
            # A tool's name, and arguments, after arguments that are whole already.
            or (tool and more and object_of(found.arguments) is not None)
        )
        if is_new:
            if len(self._calls) >= CALLS_BOUND:
                return None
            key = place if place is not None and found is None else f"more {len(self._calls)}"
            if place is not None and found is not None:
                # Several calls at one place: pieces that follow belong to the newest.
                self._calls[key] = found
                del self._calls[place]
                key = place
            found = self._calls[key] = _Piecewise()
        self._last = found
        return found

    def _whole_calls(self, *, only_sound: bool) -> Iterator[AnswerPart]:
        """Of an answer that was cut off, only calls whose arguments are whole."""
        step = {"step": self._step}
        for call in self._calls.values():
            arguments = call.arguments if call.arguments.strip() else "{}"
            if not call.tool or (only_sound and object_of(arguments) is None):
                continue
            yield AnswerCall(self._name(call.id), call.tool, clean(arguments), {**step, **call.opaque})

    def _name(self, wanted: str) -> str:
        """A name that no other call of the conversation has."""
        name = wanted
        while not _ID.match(name) or name in self._taken:
            # Letters and digits, nine of them: the only form that every service takes back.
            name = "".join(secrets.choice(_ALPHABET) for _ in range(SHORTEST_ID))
        self._taken.add(name)
        return name


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1_000_000_000
